"""Counting what feature reads found, at the price of one count for each view."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from mlops.stores.online import FeatureStatus, PlainRows, ViewTable

_PRESENT = FeatureStatus.PRESENT.value


class ReadCounts(Collector):
    """Rows by view and status; one with a value that is null or unreadable counts as found."""

    def __init__(self) -> None:
        self._rows: Counter[tuple[str, str]] = Counter()
        self._plain: Counter[str] = Counter()
        """Rows that are there with all that is wanted."""

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
        for read in plain.reads:
            self._plain[read.view.name] += plain.count

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(
            "mlops_proxy_read_rows",
            "Rows that feature reads asked for, by view and by the status they were found with.",
            labels=("view", "status"),
        )
        plain = {(view, _PRESENT): number for view, number in self._plain.items()}
        for labels, number in sorted((self._rows + Counter(plain)).items()):
            family.add_metric(labels, number)
        yield family
