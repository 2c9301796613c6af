"""Rows of a logged table read back: for events so late that nobody remembers their neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

from mlops.downsync.events import moment_of
from mlops.downsync.flow import Flow
from mlops.objects import Documents
from pipelines.features.downsync.layout import day_prefix
from pipelines.features.downsync.rows import read_key_times

_DAYS_KEPT = 64


class TablePast:
    """Reads days of tables when they are asked for, and keeps the last of them."""

    def __init__(self, documents: Documents, flows: Mapping[str, Flow]) -> None:
        """flows: by view; looked at when a table is read."""
        self._documents = documents
        self._flows = flows
        self._days: dict[tuple[str, str], dict[bytes, list[int]]] = {}

    def has_within(self, table: str, digest: bytes, time_us: int, interval_us: int) -> bool:
        return any(
            abs(time_us - kept) < interval_us
            for day in _days(time_us - interval_us, time_us + interval_us)
            for kept in self._day(table, day).get(digest, ())
        )

    def forget(self, table: str) -> None:
        for known in [known for known in self._days if known[0] == table]:
            del self._days[known]

    def _day(self, table: str, day: str) -> dict[bytes, list[int]]:
        if (table, day) not in self._days:
            while len(self._days) >= _DAYS_KEPT:
                self._days.pop(next(iter(self._days)))
            self._days[table, day] = self._read(table, day)
        return self._days[table, day]

    def _read(self, table: str, day: str) -> dict[bytes, list[int]]:
        keys = [field.name for field in self._flow_of(table).keys]
        found: dict[bytes, list[int]] = {}
        for key in self._documents.keys(day_prefix(table, day)):
            for digest, time_us in read_key_times(self._documents.get(key).body, keys):
                found.setdefault(digest, []).append(time_us)
        return found

    def _flow_of(self, table: str) -> Flow:
        return next(f for f in self._flows.values() for kind in f.logs if f.table(kind) == table)


def _days(first_us: int, last_us: int) -> Iterator[str]:
    day, last = moment_of(first_us).date(), moment_of(last_us).date()
    while day <= last:
        yield day.isoformat()
        day += timedelta(days=1)
