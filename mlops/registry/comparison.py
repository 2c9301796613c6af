"""Two versions side by side: which metric is better where."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from mlops.registry.versions import ModelVersion

_HIGHER = re.compile(r"auc|precision|recall|accuracy|f1|r2|lift")
_LOWER = re.compile(r"loss|error|brier|difference|seconds|latency|_ms$|bytes")
_NEUTRAL = re.compile(r"_rows$|_count$|_frauds$|tolerance|threshold")


class MetricPair(BaseModel):
    """A metric of two versions; None where a version does not have it."""

    model_config = ConfigDict(frozen=True)

    metric: str
    first: float | None
    second: float | None
    difference: float | None
    """Second minus first."""
    better: Literal["first", "second", "equal"] | None
    """None where one is missing, or neither direction is better."""


class LineagePair(BaseModel):
    """A fact about where two versions come from, on which they differ."""

    model_config = ConfigDict(frozen=True)

    name: str
    first: str
    second: str


class Comparison(BaseModel):
    """Two versions of one model."""

    model_config = ConfigDict(frozen=True)

    model: str
    first: int
    second: int
    metrics: tuple[MetricPair, ...]
    changed: tuple[LineagePair, ...]


def compare_versions(first: ModelVersion, second: ModelVersion) -> Comparison:
    """Metrics of both by name, and what changed in their lineage."""
    names = sorted(first.metrics.keys() | second.metrics.keys())
    return Comparison(
        model=first.model,
        first=first.version,
        second=second.version,
        metrics=tuple(_pair(name, first.metrics, second.metrics) for name in names),
        changed=tuple(_changed(_facts(first), _facts(second))),
    )


def better_direction(metric: str) -> Literal[1, -1] | None:
    """1 where more is better, -1 where less is, None where neither or nobody knows.

    Goes by the metric's name, in the terms that scikit-learn and this platform use.
    """
    if _NEUTRAL.search(metric):
        return None
    if _LOWER.search(metric):
        return -1
    return 1 if _HIGHER.search(metric) else None


def _pair(name: str, first: Mapping[str, float], second: Mapping[str, float]) -> MetricPair:
    one, two = first.get(name), second.get(name)
    difference = two - one if one is not None and two is not None else None
    better = None if difference is None else _better(name, difference)
    return MetricPair(metric=name, first=one, second=two, difference=difference, better=better)


def _better(name: str, difference: float) -> Literal["first", "second", "equal"] | None:
    direction = better_direction(name)
    if direction is None or math.isnan(difference):
        return None
    if difference == 0:
        return "equal"
    return "second" if difference * direction > 0 else "first"


def _facts(version: ModelVersion) -> dict[str, str]:
    people = {"trained_by": version.trained_by, "submitted_by": version.submitted_by}
    return {**version.lineage, **people}


def _changed(first: Mapping[str, str], second: Mapping[str, str]) -> list[LineagePair]:
    return [
        LineagePair(name=name, first=first.get(name, ""), second=second.get(name, ""))
        for name in sorted(first.keys() | second.keys())
        if first.get(name, "") != second.get(name, "")
    ]
