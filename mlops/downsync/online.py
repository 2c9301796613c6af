"""Writing pushed rows to the online store: the port, and a working fake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mlops.downsync.events import moment_of
from mlops.downsync.flow import Flow
from mlops.stores.online import MemoryOnlineStore


@dataclass(frozen=True, slots=True)
class OnlineRow:
    """A row of a view, in Python's values; every feature is there, None for null."""

    key: Mapping[str, Any]
    values: Mapping[str, Any]
    time_us: int
    """Event time, in microseconds since 1970."""


class OnlineWriter(Protocol):
    """Where rows are written."""

    def check(self, flow: Flow) -> None:
        """Raises Refused where rows of this view cannot be kept."""

    def write(self, flow: Flow, rows: Sequence[OnlineRow]) -> None:
        """Write rows; of a key the newest event time wins, the last written of equal ones.

        Returns when the store has them. Raises Unavailable; writing them again does no harm.
        """

    def close(self) -> None:
        """Let go of the connections."""


@dataclass
class MemoryWriter:
    """A working fake: writes to the fake that is read."""

    store: MemoryOnlineStore = field(default_factory=MemoryOnlineStore)

    def check(self, flow: Flow) -> None:
        pass

    def write(self, flow: Flow, rows: Sequence[OnlineRow]) -> None:
        if self.store.down:
            raise self.store.down
        for row in rows:
            place = (flow.view, tuple(row.key[field.name] for field in flow.keys))
            known, moment = self.store.rows.get(place), moment_of(row.time_us)
            if known is None or known.event_time <= moment:
                is_deleted = flow.deleted is not None and bool(row.values[flow.deleted])
                self.store.put(*place, moment, row.values, is_deleted=is_deleted)

    def close(self) -> None:
        pass
