"""How a feature view's values travel: its columns, its push source, and what of it is logged.

Compiled from a view's tags at apply; the proxy, the SDK and the consumer read this document.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlops.errors import InputError
from mlops.objects import Documents
from mlops.plan import PlannedField

FLOWS = "feast/flows/"


class Kind(StrEnum):
    """How a value came to be logged."""

    SERVED = "served"
    """The proxy read it for a prediction."""
    READ = "read"
    """The proxy read it for a caller who asked for features."""
    PUSHED = "pushed"
    """Somebody wrote it through a push source."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Thinning(_Frozen):
    """How much of what happens is kept: first a random part, then at most so often per key."""

    ratio: Annotated[float, Field(gt=0, le=1)] = 1.0
    by: Literal["row", "key"] = "row"
    """Whether every row is drawn for itself, or a key with all of its rows."""
    seed: int = 0
    interval_us: Annotated[int, Field(ge=0)] = 0
    """Microseconds of event time between two rows of a key; 0 keeps all."""


class Flow(_Frozen):
    """One feature view."""

    version: Literal[1] = 1
    project: str
    view: str
    keys: tuple[PlannedField, ...]
    features: tuple[PlannedField, ...]
    ttl_seconds: int = 0
    """0 means that rows never expire online."""
    deleted: str | None = None
    """The Bool feature that is true in a deleted row."""
    push_source: str | None = None
    logs: tuple[Kind, ...] = ()
    """What goes to the offline store; nothing where it is empty."""
    thinning: Thinning = Thinning()

    @cached_property
    def schema_version(self) -> str:
        """Changes with a name or a type of a column."""
        columns = [(field.name, field.dtype) for field in (*self.keys, *self.features)]
        return hashlib.sha256(repr(columns).encode()).hexdigest()[:12]

    def table(self, kind: Kind) -> str:
        """The table of the offline store."""
        return f"{self.view}_{kind.value}".lower()


def flow_key(view: str) -> str:
    return f"{FLOWS}{view}.json"


def flow_body(flow: Flow) -> bytes:
    return flow.model_dump_json(indent=1).encode()


def load_flows(documents: Documents) -> dict[str, Flow]:
    """Every applied flow, by view. Raises InputError for a document that is none."""
    return {flow.view: flow for flow in _read(documents)}


def _read(documents: Documents) -> Iterator[Flow]:
    for key in documents.keys(FLOWS):
        try:
            yield Flow.model_validate_json(documents.get(key).body)
        except ValidationError as exc:
            raise InputError(
                f"{key} is no flow that this version reads ({exc.error_count()} fields are wrong). "
                "Run 'mlops features apply'."
            ) from exc
