"""Logging feature reads: for each view that says so, what a caller got to see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlops.downsync.events import microseconds
from mlops.downsync.flow import Flow, Kind
from mlops.downsync.log import EventLog
from mlops.stores.online import TIMELESS, ViewTable, to_datetime
from mlops.stores.redis.keys import NO_ENTITY


@dataclass(frozen=True)
class ReadLog:
    """Tells the offline store what was read."""

    flows: Mapping[str, Flow]
    """By view; may change at any time."""
    log: EventLog

    def record(
        self,
        tables: Sequence[ViewTable],
        entities: Mapping[str, Sequence[Any]],
        *,
        service: str,
        caller: str,
        request_id: str,
        now: datetime,
    ) -> None:
        """Log each row's values as read, null where there was none; never raises.

        entities: as many values for each join key as the tables have rows.
        """
        if not self.flows:
            return
        facts = {"service": service, "read_by": caller, "request_id": request_id}
        for table in tables:
            flow = self.flows.get(table.read.view.name)
            if flow is not None and Kind.READ in flow.logs:
                self._add(flow, table, entities, facts, microseconds(now))

    def _add(
        self,
        flow: Flow,
        table: ViewTable,
        entities: Mapping[str, Sequence[Any]],
        facts: Mapping[str, Any],
        now: int,
    ) -> None:
        complete = len(table.read.features) == len(flow.features)
        join_keys = table.read.view.join_keys
        for row, (stored, values) in enumerate(_rows(table)):
            self.log.add(
                flow,
                Kind.READ,
                {name: entities[name][row] for name in join_keys} or {NO_ENTITY: ""},
                dict(zip(table.read.features, values, strict=True)),
                time_us=now,
                created_us=now,
                facts={**facts, "stored_time": stored, "is_complete": complete},
            )


def _rows(table: ViewTable) -> Iterator[tuple[datetime | None, Sequence[Any]]]:
    """When each row's values are from, and the values."""
    columns = table.columns()
    for row, (status, event) in enumerate(zip(table.statuses, table.events, strict=True)):
        stored = None if status in TIMELESS else to_datetime(int(event))
        yield stored, [column[row] for column in columns]
