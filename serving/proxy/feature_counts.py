"""Counting features by status at the price of one count per instance.

Nearly all instances are found alike, so what is counted is the statuses of all features of an
instance together; they are taken apart when somebody asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from mlops.stores.online import FeatureStatus, FeatureValue
from serving.proxy.plain_features import PlainFeatures

DEFAULTED = "DEFAULTED"
_MOST_PATTERNS = 1000
"""Kept apart at most, so that memory does not grow with what callers send."""

Pattern = tuple[str, tuple[str, ...], tuple[FeatureStatus, ...], Collection[str]]


class FeatureCounts(Collector):
    """Features by model, name and status."""

    def __init__(self, name: str, says: str) -> None:
        self._name, self._says = name, says
        self._plain: Counter[tuple[str, tuple[str, ...]]] = Counter()
        """Instances of which every feature was PRESENT."""
        self._patterns: Counter[Pattern] = Counter()
        self._totals: Counter[tuple[str, str, str]] = Counter()

    def add(
        self, model: str, features: Mapping[str, FeatureValue], defaulted: frozenset[str]
    ) -> None:
        """One instance; a feature whose default was used counts as DEFAULTED."""
        if isinstance(features, PlainFeatures):
            # Hashing a status for each of them would cost more than all else here.
            self._plain[model, features.names] += 1
            return
        statuses = tuple([value.status for value in features.values()])
        self._patterns[model, tuple(features), statuses, defaulted] += 1
        if len(self._patterns) > _MOST_PATTERNS:
            self._take_apart()

    def collect(self) -> Iterator[CounterMetricFamily]:
        self._take_apart()
        family = CounterMetricFamily(self._name, self._says, labels=("model", "feature", "status"))
        for labels, number in sorted(self._totals.items()):
            family.add_metric(labels, number)
        yield family

    def _take_apart(self) -> None:
        plain, self._plain = self._plain, Counter()
        for (model, names), number in plain.items():
            for name in names:
                self._totals[model, name, FeatureStatus.PRESENT.value] += number
        patterns, self._patterns = self._patterns, Counter()
        for (model, names, statuses, defaulted), number in patterns.items():
            for name, status in zip(names, statuses, strict=True):
                shown = DEFAULTED if name in defaulted else status.value
                self._totals[model, name, shown] += number
