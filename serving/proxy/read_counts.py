"""Counting what feature reads found, at the price of one count for each read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from mlops.stores.online import FeatureStatus, PlainRows, ViewRead, ViewTable

_MOST_TOGETHER = 256
_PRESENT = FeatureStatus.PRESENT.value


@dataclass(slots=True)
class _Together:
    reads: Sequence[ViewRead]
    """Kept, so that no other gets its identity."""
    rows: int = 0


class ReadCounts(Collector):
    """Rows by view and status; one with a value that is null or unreadable counts as found."""

    def __init__(self) -> None:
        self._rows: Counter[tuple[str, str]] = Counter()
        self._plain: Counter[str] = Counter()
        """Rows that are there with all that is wanted."""
        self._together: dict[int, _Together] = {}
        """The same of all views of a reader, by what that reads."""

    def add(self, tables: Sequence[ViewTable]) -> None:
        """All rows of one read."""
        for table in tables:
            view = table.read.view.name
            if table.is_plain:
                self._plain[view] += len(table.statuses)
            else:
                for status, number in Counter(table.statuses).items():
                    self._rows[view, status.value] += number

    def add_plain(self, plain: PlainRows) -> None:
        """The same of rows that are all there."""
        found = self._together.get(id(plain.reads))
        if found is None:
            if len(self._together) >= _MOST_TOGETHER:
                self._take_apart()
            found = self._together[id(plain.reads)] = _Together(plain.reads)
        found.rows += plain.count

    def _take_apart(self) -> None:
        """View by view; readers that are there no more are let go of."""
        together, self._together = self._together, {}
        for one in together.values():
            for read in one.reads:
                self._plain[read.view.name] += one.rows

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(
            "mlops_proxy_read_rows",
            "Rows that feature reads asked for, by view and by the status they were found with.",
            labels=("view", "status"),
        )
        self._take_apart()
        plain = {(view, _PRESENT): number for view, number in self._plain.items()}
        for labels, number in sorted((self._rows + Counter(plain)).items()):
            family.add_metric(labels, number)
        yield family
