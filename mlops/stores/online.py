"""Reading features online: the port, its values, and a working fake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from mlops.errors import NotFound
from mlops.plan import FeaturePlan, PlannedView

EntityRow = Mapping[str, Any]
"""Join keys by name, in the types of the plan's entities."""


class FeatureStatus(StrEnum):
    """How a feature was found; the names are Feast's."""

    PRESENT = "PRESENT"
    NULL = "NULL"
    """The row exists and holds no value for this feature."""
    NOT_FOUND = "NOT_FOUND"
    """The entity has no row in this view."""
    OUTSIDE_MAX_AGE = "OUTSIDE_MAX_AGE"
    """The row is older than the view's ttl, by the platform's clock."""
    INVALID = "INVALID"
    """What is stored cannot be read."""


@dataclass(frozen=True, slots=True)
class FeatureValue:
    """A feature of one entity; `value` is None unless the status is PRESENT."""

    status: FeatureStatus
    value: Any = None
    event_time: datetime | None = None


NOT_FOUND = FeatureValue(FeatureStatus.NOT_FOUND)
INVALID = FeatureValue(FeatureStatus.INVALID)

FeatureRow = Mapping[str, FeatureValue]
"""The features of one entity row, by 'view:feature'."""


class OnlineReader(Protocol):
    """Chosen features of a plan, compiled once and read many times."""

    async def read(self, rows: Sequence[EntityRow], *, now: datetime) -> list[FeatureRow]:
        """The features of each entity row, in order, every reference in every row.

        rows: each carries every join key of the plan. now: what ttl is measured against.
        Raises Unavailable.
        """


class OnlineStore(Protocol):
    """Where features are read from while a caller waits."""

    def reader(self, plan: FeaturePlan, references: Sequence[str]) -> OnlineReader:
        """Compile the reading of these 'view:feature'. Raises NotFound for one not planned."""

    async def ping(self) -> None:
        """Raises Unavailable."""

    async def close(self) -> None:
        """Let go of the connections."""


@dataclass(frozen=True)
class ViewRead:
    """The features to read of one view."""

    view: PlannedView
    features: tuple[str, ...]

    def references(self) -> list[str]:
        return [f"{self.view.name}:{feature}" for feature in self.features]


def view_reads(plan: FeaturePlan, references: Sequence[str]) -> list[ViewRead]:
    """Group references by view, in the plan's order. Raises NotFound for one not planned."""
    unknown = sorted(set(references) - set(plan.references))
    if unknown:
        raise NotFound(
            f"Feature service '{plan.service}' has no {', '.join(unknown)}. "
            "Run 'mlops features apply' where it is defined."
        )
    wanted = set(references)
    reads = (
        ViewRead(view, tuple(f.name for f in view.features if f"{view.name}:{f.name}" in wanted))
        for view in plan.views
    )
    return [read for read in reads if read.features]


def is_outdated(view: PlannedView, event_time: datetime, now: datetime) -> bool:
    """Whether a row is older than its view's ttl; a ttl of 0 never ends."""
    return view.ttl_seconds > 0 and now - event_time > timedelta(seconds=view.ttl_seconds)


@dataclass(frozen=True)
class _StoredRow:
    event_time: datetime
    values: Mapping[str, Any]


@dataclass
class MemoryOnlineStore:
    """A working fake with the same rules, for tests."""

    rows: dict[tuple[str, tuple[Any, ...]], _StoredRow] = field(default_factory=dict)
    down: Exception | None = None
    """Raised by every read and ping while set."""

    def put(
        self, view: str, key: tuple[Any, ...], event_time: datetime, values: Mapping[str, Any]
    ) -> None:
        """Store a row; `key` holds the view's join key values in the view's order."""
        self.rows[view, key] = _StoredRow(event_time, values)

    def reader(self, plan: FeaturePlan, references: Sequence[str]) -> OnlineReader:
        return _MemoryReader(self, view_reads(plan, references))

    async def ping(self) -> None:
        if self.down:
            raise self.down

    async def close(self) -> None:
        self.rows = {}


@dataclass(frozen=True)
class _MemoryReader:
    store: MemoryOnlineStore
    reads: Sequence[ViewRead]

    async def read(self, rows: Sequence[EntityRow], *, now: datetime) -> list[FeatureRow]:
        await self.store.ping()
        return [self._row(row, now) for row in rows]

    def _row(self, row: EntityRow, now: datetime) -> FeatureRow:
        found: dict[str, FeatureValue] = {}
        for read in self.reads:
            stored = self.store.rows.get(
                (read.view.name, tuple(row[key] for key in read.view.join_keys))
            )
            for feature, reference in zip(read.features, read.references(), strict=True):
                found[reference] = _value(read.view, feature, stored, now)
        return found


def _value(
    view: PlannedView, feature: str, stored: _StoredRow | None, now: datetime
) -> FeatureValue:
    if stored is None:
        return NOT_FOUND
    if is_outdated(view, stored.event_time, now):
        return FeatureValue(FeatureStatus.OUTSIDE_MAX_AGE, None, stored.event_time)
    value = stored.values.get(feature)
    status = FeatureStatus.NULL if value is None else FeatureStatus.PRESENT
    return FeatureValue(status, value, stored.event_time)
