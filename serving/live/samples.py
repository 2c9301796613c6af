"""What a process's /metrics said at a moment, and what happened between two moments: pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

Labels = Mapping[str, str]
Series = dict[frozenset[tuple[str, str]], float]


@dataclass(frozen=True)
class Samples:
    """Values by name and labels."""

    values: Mapping[str, Series]

    def series(self, name: str, **labels: str) -> list[tuple[dict[str, str], float]]:
        """Those of a name with at least these labels."""
        wanted = labels.items()
        return [
            (dict(found), value)
            for found, value in self.values.get(name, {}).items()
            if wanted <= dict(found).items()
        ]

    def total(self, name: str, **labels: str) -> float:
        return sum(value for _, value in self.series(name, **labels))

    def names_of(self, name: str, label: str, **labels: str) -> list[str]:
        """The values that a label has."""
        return sorted({found[label] for found, _ in self.series(name, **labels) if label in found})

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """Totals by the values of a label."""
        totals: dict[str, float] = defaultdict(float)
        for found, value in self.series(name, **labels):
            totals[found.get(label, "")] += value
        return dict(totals)

    def quantile(self, name: str, part: float, **labels: str) -> float | None:
        """Of a histogram, as Prometheus' histogram_quantile tells it; None where it is empty.

        The highest bound where it lies beyond all bounds.
        """
        counts = self.by(f"{name}_bucket", "le", **labels)
        buckets = sorted((float(bound), count) for bound, count in counts.items())
        return _interpolate(buckets, part) if buckets and buckets[-1][1] > 0 else None


def _interpolate(buckets: list[tuple[float, float]], part: float) -> float:
    """buckets: upper bounds and how many were up to there; the last is infinity with all."""
    rank = part * buckets[-1][1]
    low, below = 0.0, 0.0
    for bound, count in buckets:
        if count >= rank and count > below:
            if math.isinf(bound):
                return low
            return low + (bound - low) * (rank - below) / (count - below)
        low, below = bound, count
    return low


def parse_samples(text: str) -> Samples:
    """Of the Prometheus text format. Raises ValueError where it is none."""
    values: dict[str, Series] = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            values[sample.name][frozenset(sample.labels.items())] = sample.value
    return Samples(dict(values))


def since(before: Samples, after: Samples) -> Samples:
    """What was counted in between; all of it where a process began anew. Gauges have no meaning."""
    return Samples(
        {
            name: {
                labels: _grown(before.values.get(name, {}).get(labels, 0.0), value)
                for labels, value in series.items()
            }
            for name, series in after.values.items()
        }
    )


def _grown(before: float, after: float) -> float:
    return after - before if after >= before else after


def together(parts: Iterable[Samples]) -> Samples:
    """Sums over several processes."""
    totals: dict[str, Series] = defaultdict(lambda: defaultdict(float))
    for part in parts:
        for name, series in part.values.items():
            for labels, value in series.items():
                totals[name][labels] += value
    return Samples({name: dict(series) for name, series in totals.items()})
