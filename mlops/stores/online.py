"""Reading features online: the port, its values, and a working fake."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from itertools import islice
from typing import Any, Protocol

from mlops.errors import NotFound
from mlops.plan import FeaturePlan, PlannedView

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

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


@dataclass(frozen=True)
class ViewRead:
    """The features to read of one view."""

    view: PlannedView
    features: tuple[str, ...]

    def references(self) -> tuple[str, ...]:
        return self._references

    @cached_property
    def _references(self) -> tuple[str, ...]:
        return tuple(f"{self.view.name}:{feature}" for feature in self.features)


EntityColumns = Mapping[str, Sequence[Any]]
"""n values per join key, in the types of the plan's entities."""


@dataclass(slots=True)
class ViewTable:
    """What one view answers for n entity rows, feature by feature."""

    read: ViewRead
    statuses: Sequence[FeatureStatus]
    """Of the rows; all features of a row have it, but for those of `exceptions`."""
    events: Sequence[int]
    """Event times in microseconds since 1970; nothing is said by those of rows without one."""
    values: Sequence[Sequence[Any]]
    """Per feature n Python values, None wherever the status is not PRESENT."""
    exceptions: Mapping[int, Sequence[FeatureStatus]]
    """By the place of a feature: its statuses, where some of its values are NULL or INVALID."""
    is_plain: bool = False
    """Every value is PRESENT and a finite number; events and values may be NumPy arrays."""

    def columns(self) -> list[list[Any]]:
        """The values of each feature as Python's own."""
        return [c.tolist() if hasattr(c, "tolist") else list(c) for c in self.values]

    def statuses_of(self, place: int) -> Sequence[FeatureStatus]:
        """The statuses of a feature, by its place."""
        return self.exceptions.get(place, self.statuses)


@dataclass(slots=True)
class PlainRows:
    """What all views answer for n entity rows where every value is PRESENT and a finite number.

    As nearly all answers are; a table for each view costs more than reading them.
    """

    reads: Sequence[ViewRead]
    count: int
    events: Sequence[Sequence[int]]
    """By view, event times in microseconds since 1970. These and the values may be NumPy arrays."""
    values: Sequence[Sequence[Any]]
    """By feature, those of the first view first."""

    def tables(self) -> list[ViewTable]:
        """The same view by view."""
        statuses, columns = [FeatureStatus.PRESENT] * self.count, iter(self.values)
        return [
            ViewTable(read, statuses, events, list(islice(columns, len(read.features))), {}, True)
            for read, events in zip(self.reads, self.events, strict=True)
        ]


TIMELESS = (FeatureStatus.NOT_FOUND, FeatureStatus.INVALID)
"""Statuses of rows that have no event time."""


Tell = Callable[[Any, Exception | None], None]
"""Is told once, from a callback, what came of a question: answers, or an error in place of them."""


class OnlineReader(Protocol):
    """Chosen features of a plan, compiled once and read many times."""

    async def read(self, rows: Sequence[EntityRow], *, now: datetime) -> list[FeatureRow]:
        """The features of each entity row, in order, every reference in every row.

        rows: each carries every join key of the plan. now: what ttl is measured against.
        Raises Unavailable.
        """

    async def read_columns(self, entities: EntityColumns, *, now: datetime) -> list[ViewTable]:
        """The same in columns, view by view.

        entities: as many values for each join key of the plan, and at least one.
        """

    def start(self, entities: EntityColumns, tell: Tell, *, now: datetime) -> bool:
        """Ask now for what `read_columns` reads, and wait for nothing; `finish` reads what is told.

        Whether that could be done: where it could not, or an error is told, `read_columns` knows
        what to do.
        """

    def finish(
        self, answers: Any, entities: EntityColumns, *, now: datetime
    ) -> PlainRows | list[ViewTable] | None:
        """What these answers say; None where more has to be asked for, as `read_columns` does."""


class OnlineStore(Protocol):
    """Where features are read from while a caller waits."""

    def reader(self, plan: FeaturePlan, references: Sequence[str]) -> OnlineReader:
        """Compile the reading of these 'view:feature'. Raises NotFound for one not planned."""

    async def ping(self) -> None:
        """Raises Unavailable."""

    async def close(self) -> None:
        """Let go of the connections."""


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
    is_deleted: bool = False


@dataclass
class MemoryOnlineStore:
    """A working fake with the same rules, for tests."""

    rows: dict[tuple[str, tuple[Any, ...]], _StoredRow] = field(default_factory=dict)
    down: Exception | None = None
    """Raised by every read and ping while set."""

    def put(
        self,
        view: str,
        key: tuple[Any, ...],
        event_time: datetime,
        values: Mapping[str, Any],
        *,
        is_deleted: bool = False,
    ) -> None:
        """Store a row; `key` holds the view's join key values in the view's order."""
        self.rows[view, key] = _StoredRow(event_time, values, is_deleted)

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

    async def read_columns(self, entities: EntityColumns, *, now: datetime) -> list[ViewTable]:
        names = list(entities)
        rows = [dict(zip(names, r, strict=True)) for r in zip(*entities.values(), strict=True)]
        found = await self.read(rows, now=now)
        return [_table(read, found) for read in self.reads]

    def start(self, entities: EntityColumns, tell: Tell, *, now: datetime) -> bool:
        return False

    def finish(self, answers: Any, entities: EntityColumns, *, now: datetime) -> None:
        return None

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
    if stored is None or stored.is_deleted:
        return NOT_FOUND
    if is_outdated(view, stored.event_time, now):
        return FeatureValue(FeatureStatus.OUTSIDE_MAX_AGE, None, stored.event_time)
    value = stored.values.get(feature)
    status = FeatureStatus.NULL if value is None else FeatureStatus.PRESENT
    return FeatureValue(status, value, stored.event_time)


def _table(read: ViewRead, rows: Sequence[FeatureRow]) -> ViewTable:
    columns = [[row[reference] for row in rows] for reference in read.references()]
    of_rows = [_as_row(value.status) for value in columns[0]]
    statuses = [[value.status for value in column] for column in columns]
    return ViewTable(
        read,
        of_rows,
        [_microseconds(value.event_time) for value in columns[0]],
        [[value.value for value in column] for column in columns],
        {place: found for place, found in enumerate(statuses) if found != of_rows},
    )


def _as_row(status: FeatureStatus) -> FeatureStatus:
    return FeatureStatus.PRESENT if status is FeatureStatus.NULL else status


def _microseconds(moment: datetime | None) -> int:
    return 0 if moment is None else (moment - _EPOCH) // _MICROSECOND


def to_datetime(microseconds: int) -> datetime:
    """An event time, from microseconds since 1970."""
    return _EPOCH + microseconds * _MICROSECOND
