"""The online store, as far as upsync needs it: the port, and a working fake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import pyarrow as pa

from mlops.stores.redis.batches import to_microseconds
from mlops.stores.redis.views import StoredView
from pipelines.features.upsync.state import CREATED, EVENT, OLD_CREATED, OLD_EVENT


@dataclass(frozen=True)
class Written:
    """What became of some rows."""

    written: int = 0
    older: int = 0
    removed: int = 0
    refused: int = 0
    reasons: tuple[str, ...] = ()
    bytes: int = 0


class OnlineTarget(Protocol):
    """Where rows are loaded to. Everything raises Unavailable where it does not answer."""

    def identity(self) -> str:
        """Which server this is; one that was restarted or took over is another."""

    def write(self, view: StoredView, rows: pa.RecordBatch, *, ties: bool = False) -> Written:
        """Write staged rows, newest wins; returns when they are there.

        ties: a row takes the place of one with the same times, too.
        """

    def write_together(self, batches: Sequence[tuple[StoredView, pa.RecordBatch]]) -> list[Written]:
        """As `write`, rows of several views with the same keys in the same order."""

    def exchange(self, view: StoredView, rows: pa.RecordBatch, *, until: datetime) -> Written:
        """Put a row in the place of an older one, or nothing where it has no event time, if the
        older one, known by its times, still stands there. Where another row does, newest wins.

        until: a row up to this event time has vanished; what is older does not bring it back,
        unless these methods write it.
        """

    def settle(self) -> None:
        """Return when replicas have what was written, if there are any."""

    def mark(self, view: str) -> str | None:
        """The last run of the view that this store holds."""

    def set_mark(self, view: str, run: str) -> None:
        """Remember the run, in the store itself: the mark goes when the data go."""


@dataclass
class MemoryTarget:
    """A working fake with the same rules."""

    rows: dict[tuple[str, tuple[Any, ...]], dict[str, Any]] = field(default_factory=dict)
    gone: set[tuple[str, tuple[Any, ...]]] = field(default_factory=set)
    """Where a tombstone stands for a row that vanished."""
    marks: dict[str, str] = field(default_factory=dict)
    server: str = "one"
    down: list[Exception] = field(default_factory=list)
    """Raised by the next calls, one each."""
    together: list[int] = field(default_factory=list)
    """How many views each call wrote side by side."""

    def identity(self) -> str:
        return self.server

    def write(self, view: StoredView, rows: pa.RecordBatch, *, ties: bool = False) -> Written:
        if self.down:
            raise self.down.pop(0)
        outcomes = [self._put(view, row, ties=ties) for row in rows.to_pylist()]
        return Written(written=sum(outcomes), older=len(outcomes) - sum(outcomes))

    def write_together(self, batches: Sequence[tuple[StoredView, pa.RecordBatch]]) -> list[Written]:
        written = [self.write(view, rows) for view, rows in batches]
        self.together.append(len(batches))
        return written

    def exchange(self, view: StoredView, rows: pa.RecordBatch, *, until: datetime) -> Written:
        written = removed = 0
        for row in rows.to_pylist():
            key = (view.name, _key(view, row))
            stood = self.rows.get(key)
            if stood and _times(stood) == (row.pop(OLD_EVENT), row.pop(OLD_CREATED)):
                del self.rows[key]
                if row[EVENT] is None and stood[EVENT] <= to_microseconds(until):
                    self.gone.add(key)
                removed += row[EVENT] is None
            if row[EVENT] is not None:
                written += self._put(view, row)
        return Written(written, rows.num_rows - written - removed, removed)

    def settle(self) -> None:
        """There are no replicas."""

    def mark(self, view: str) -> str | None:
        return self.marks.get(view)

    def set_mark(self, view: str, run: str) -> None:
        self.marks[view] = run

    def _put(self, view: StoredView, row: dict[str, Any], *, ties: bool = False) -> bool:
        key = (view.name, _key(view, row))
        stood = self.rows.get(key)
        wins = (
            stood is None
            or _order(row) > _order(stood)
            or (ties and _order(row) == _order(stood) and row != stood)
        )
        if wins:
            self.rows[key] = row
            self.gone.discard(key)
        return wins


def _key(view: StoredView, row: dict[str, Any]) -> tuple[Any, ...]:
    names: Sequence[str] = view.keys.names
    return tuple(row[name] for name in names)


def _times(row: dict[str, Any]) -> tuple[int, int | None]:
    return row[EVENT], row[CREATED]


def _order(row: dict[str, Any]) -> tuple[int, int]:
    event, created = _times(row)
    return event, -(2**62) if created is None else created
