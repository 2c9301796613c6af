"""Counters and histograms of one thread: plain numbers, put into Prometheus' form on demand.

prometheus_client takes a lock for every number that it counts, which an event loop never needs; a
histogram's latency costs it more than parsing the request. Names, labels and buckets are the same.
Series may be let go of, and read, by another thread than the one that counts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

Labels = tuple[str, ...]


class Tally:
    """One counter."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0

    def inc(self, by: int = 1) -> None:
        self.number += by


class Tallies(Collector):
    """A counter by labels, as `prometheus_client.Counter` has it."""

    def __init__(
        self, name: str, says: str, labels: Sequence[str] = (), *, registry: CollectorRegistry
    ) -> None:
        self._name, self._says, self._labels = name, says, labels
        self._found: dict[Labels, Tally] = {}
        registry.register(self)

    def labels(self, *labels: str) -> Tally:
        return self._found.setdefault(labels, Tally())

    def remove(self, *labels: str) -> None:
        self._found.pop(labels, None)

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(self._name, self._says, labels=self._labels)
        for labels, tally in list(self._found.items()):
            family.add_metric(labels, tally.number)
        yield family


class Spread:
    """One histogram."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """By bucket, what lies in it alone; the last is above all bounds."""
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class Spreads(Collector):
    """A histogram by labels, as `prometheus_client.Histogram` has it."""

    def __init__(
        self,
        name: str,
        says: str,
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        """buckets: upper bounds, which belong to their bucket, in ascending order."""
        self._name, self._says, self._labels = name, says, labels
        self._bounds = tuple(buckets)
        self._shown = [str(floatToGoString(one)) for one in (*self._bounds, float("inf"))]  # type: ignore[no-untyped-call]
        self._found: dict[Labels, Spread] = {}
        registry.register(self)

    def labels(self, *labels: str) -> Spread:
        return self._found.setdefault(labels, Spread(self._bounds))

    def remove(self, *labels: str) -> None:
        self._found.pop(labels, None)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = HistogramMetricFamily(self._name, self._says, labels=self._labels)
        for labels, spread in list(self._found.items()):
            counts = list(zip(self._shown, accumulate(spread.counts), strict=True))
            family.add_metric(labels, counts, spread.total)
        yield family
