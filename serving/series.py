"""Series of a metric by their labels: bound once, and let go of with the version that they tell of.

Looking a series up through `labels()` costs three times what counting does. And a metric by version
grows with each deployment for as long as the process lives.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Generic, Protocol, TypeVar

Bound_co = TypeVar("Bound_co", covariant=True)

KEPT_VERSIONS = 8
"""How many of a model's newest versions keep their series beside those that are deployed."""


class Metric(Protocol[Bound_co]):
    """What has a series for each combination of its labels."""

    def labels(self, *labels: str) -> Bound_co: ...

    def remove(self, *labels: str) -> None: ...


class Series(Generic[Bound_co]):
    """A metric with labels."""

    def __init__(self, metric: Metric[Bound_co]) -> None:
        self._metric = metric
        self._bound: dict[tuple[str, ...], Bound_co] = {}

    def at(self, *labels: str) -> Bound_co:
        """The series of these labels, in the metric's order."""
        bound = self._bound.get(labels)
        if bound is None:
            bound = self._bound[labels] = self._metric.labels(*labels)
        return bound

    def labels(self) -> Collection[tuple[str, ...]]:
        return tuple(self._bound)

    def drop(self, labels: tuple[str, ...]) -> None:
        self._bound.pop(labels, None)
        self._metric.remove(*labels)


class VersionSeries:
    """Several metrics whose first two labels are model and version."""

    def __init__(self, *series: Series[Any]) -> None:
        self._series = series

    def keep(self, model: str, versions: Collection[int]) -> None:
        """Drop a model's series but those of these versions and of the newest others."""
        seen = {
            int(found[1]) for one in self._series for found in one.labels() if found[0] == model
        }
        others = sorted(seen - set(versions))
        self._drop(model, set(others[:-KEPT_VERSIONS]))

    def _drop(self, model: str, versions: Collection[int]) -> None:
        if not versions:
            return
        for one in self._series:
            for labels in one.labels():
                if labels[0] == model and int(labels[1]) in versions:
                    one.drop(labels)
