"""The feature store, as datasets use it: which rows to read, and the join that reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import pandas as pd
import pyarrow as pa
from pydantic import BaseModel

from mlops.errors import Refused
from mlops.plan import FeaturePlan, PlannedView, Transformation
from pipelines.datasets.record import Cost, TableRead

Take = Callable[[pa.RecordBatch], None]


@dataclass(frozen=True)
class Span:
    """The first and the last entity time, UTC; without them, all time."""

    first: datetime | None = None
    last: datetime | None = None


class Scan(BaseModel):
    """What a build will scan and cost at most."""

    bytes: int
    price: float
    currency: str
    tables: tuple[tuple[str, int], ...]
    """Names and bytes."""


class Features(Protocol):
    """What building a dataset asks of the feature store."""

    def plan(self, service: str) -> FeaturePlan:
        """The service as it is applied. Raises NotFound."""

    def functions(self, plan: FeaturePlan) -> dict[str, Transformation]:
        """The on-demand functions that the plan pins. Raises Refused."""

    def tables(
        self, plan: FeaturePlan, span: Span, as_of: datetime | None
    ) -> tuple[TableRead, ...]:
        """What readers see now, or saw at a past moment, of the days that matter.

        Raises NotFound for a table without any of them.
        """

    def query(self, sql: str) -> tuple[pa.Table, Cost]:
        """The rows of a query, in no order."""

    def join(
        self,
        plan: FeaturePlan,
        keys: pd.DataFrame,
        tables: Sequence[TableRead],
        as_of: datetime | None,
        take: Take,
    ) -> Cost:
        """Hand on batches of ordinals and stored features, in no order."""

    def scan(
        self, plan: FeaturePlan, entities: pd.DataFrame | str, tables: Sequence[TableRead]
    ) -> Scan:
        """What joining keys, or the rows of a query, would scan; nothing is scanned to tell."""


def check_unchanged(recorded: FeaturePlan, applied: FeaturePlan) -> None:
    """Raises Refused when a view no longer joins as a dataset was joined."""
    now = {view.name: view for view in applied.views}
    for view in recorded.views:
        found = now.get(view.name)
        if found is None or _rules(found) != _rules(view) or not _fields(view) <= _fields(found):
            raise Refused(
                f"View '{view.name}' of service '{recorded.service}' is no longer what it was: "
                f"{_rules(view)}; it is {_rules(found) if found else 'gone'}. Apply the feature "
                "repo of that time to build the dataset again."
            )


def _rules(view: PlannedView) -> str:
    return (
        f"keys {', '.join(view.join_keys)}, ttl {view.ttl_seconds} s, "
        f"delay {view.publication_delay_seconds} s"
    )


def _fields(view: PlannedView) -> set[tuple[str, str]]:
    return {(feature.name, feature.dtype) for feature in view.features}
