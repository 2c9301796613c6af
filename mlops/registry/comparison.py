"""Two versions side by side: which is better on the same rows, and what changed between them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from mlops.manifest import QUANTILES, Distribution, Manifest, ModelInput
from mlops.registry.dossier import Dossier
from mlops.registry.scorecard import Measured, Scorecard, on_same_rows

_HIGHER = re.compile(r"auc|precision|recall|accuracy|f1|r2|lift")
_LOWER = re.compile(
    r"loss|error|brier|difference|deviance|seconds|latency|_ms$|bytes"
    r"|(^|_)(r?mse|r?msle|mae|mape|smape|wape)(_|$)"
)
_LEAST_REPLICATES = 40
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


Interval = tuple[float, float]
"""The middle 95 of 100 bootstrap replicates."""


class SameRowsPair(BaseModel):
    """A metric of two versions on the same test rows."""

    model_config = ConfigDict(frozen=True)

    metric: str
    first: float
    second: float
    first_interval: Interval | None
    second_interval: Interval | None
    difference: float
    """Second minus first."""
    difference_interval: Interval | None
    better: Literal["first", "second", "equal", "unclear"] | None
    """'unclear' where the difference's interval holds 0, or there is none."""


class Drift(BaseModel):
    """How far an input's training distribution, or that of the test scores, moved."""

    model_config = ConfigDict(frozen=True)

    name: str
    distance: float
    """The largest distance of the two distribution functions, by nine quantiles of each; 0 to 1."""
    mean: tuple[float, float]
    missing: tuple[float, float]
    """Shares without a value."""


class Comparison(BaseModel):
    """Two versions of one model."""

    model_config = ConfigDict(frozen=True)

    model: str
    first: int
    second: int
    rows: int | None
    """How many test rows both were measured on; None where there are none."""
    same_rows: tuple[SameRowsPair, ...]
    metrics: tuple[MetricPair, ...]
    """As registered, each version on the test rows of its own run."""
    cost: tuple[MetricPair, ...]
    """Size and latency; less is better."""
    inputs: tuple[LineagePair, ...]
    """Inputs that only one has, or that come from elsewhere."""
    drifts: tuple[Drift, ...]
    """Of what both have, the largest first."""
    changed: tuple[LineagePair, ...]
    missing: tuple[str, ...]
    """What could not be compared, and why."""


def compare(first: Dossier, second: Dossier) -> Comparison:
    """Everything that two versions' registrations and files say of them."""
    names = sorted(first.metrics.keys() | second.metrics.keys())
    pairs = _same_rows(first, second)
    return Comparison(
        model=first.model,
        first=first.number,
        second=second.number,
        rows=_rows_of(first, second) if pairs else None,
        same_rows=pairs,
        metrics=tuple(_pair(name, first.metrics, second.metrics) for name in names),
        cost=_cost(first.card, second.card),
        inputs=tuple(_changed(_inputs(first.manifest), _inputs(second.manifest))),
        drifts=_drifts(first.manifest, second.manifest),
        changed=tuple(_changed(_facts(first), _facts(second))),
        missing=(*first.missing, *second.missing),
    )


def interval(replicates: Sequence[float]) -> Interval | None:
    """The 2.5th and the 97.5th percentile (Efron and Tibshirani 1993, chapter 13).

    None of fewer than 40, whose outermost say nothing.
    """
    if len(replicates) < _LEAST_REPLICATES:
        return None
    values = sorted(replicates)
    return _quantile(values, 0.025), _quantile(values, 0.975)


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


def shown_with_interval(value: float, spread: Interval | None, *, sign: str = "") -> str:
    """'0.8512 [0.8401, 0.8633]'; sign: '+' for differences."""
    shown = f"{value:{sign}.4f}"
    return shown if spread is None else f"{shown} [{spread[0]:{sign}.4f}, {spread[1]:{sign}.4f}]"


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _same_rows(first: Dossier, second: Dossier) -> tuple[SameRowsPair, ...]:
    found = on_same_rows((first.number, first.card), (second.number, second.card))
    if found is None:
        return ()
    one, two = found
    return tuple(
        _on_same_rows(name, one, two) for name in sorted(one.metrics.keys() & two.metrics.keys())
    )


def _on_same_rows(name: str, one: Measured, two: Measured) -> SameRowsPair:
    first, second = (measured.replicates.get(name, ()) for measured in (one, two))
    paired = (
        [b - a for a, b in zip(first, second, strict=True)] if len(first) == len(second) else []
    )
    difference, spread = two.metrics[name] - one.metrics[name], interval(paired)
    return SameRowsPair(
        metric=name,
        first=one.metrics[name],
        second=two.metrics[name],
        first_interval=interval(first),
        second_interval=interval(second),
        difference=difference,
        difference_interval=spread,
        better=_surely_better(name, difference, spread),
    )


def _surely_better(
    name: str, difference: float, spread: Interval | None
) -> Literal["first", "second", "equal", "unclear"] | None:
    direction = better_direction(name)
    if direction is None:
        return None
    if difference == 0 and spread == (0, 0):
        return "equal"
    if spread is None or spread[0] <= 0 <= spread[1]:
        return "unclear"
    return "second" if difference * direction > 0 else "first"


def _rows_of(first: Dossier, second: Dossier) -> int | None:
    """Of the card that holds both; equal rows are equally many."""
    if second.card and (first.card is None or second.card.approved_version == first.number):
        return second.card.rows
    return first.card.rows if first.card else None


def _cost(first: Scorecard | None, second: Scorecard | None) -> tuple[MetricPair, ...]:
    costs = [_costs(card) for card in (first, second)]
    names = [name for name in ("model_bytes", "p50_ms", "p99_ms") if any(name in c for c in costs)]
    return tuple(_pair(name, *costs) for name in names)


def _costs(card: Scorecard | None) -> dict[str, float]:
    if card is None:
        return {}
    latency = {"p50_ms": card.latency.p50_ms, "p99_ms": card.latency.p99_ms}
    return {"model_bytes": card.model_bytes, **latency}


def _inputs(manifest: Manifest | None) -> dict[str, str]:
    return {column.name: _described(column) for column in manifest.inputs} if manifest else {}


def _described(column: ModelInput) -> str:
    missing = f", missing: {column.on_missing}"
    default = "" if column.default is None else f" {column.default}"
    return f"{column.origin} {column.source}, {column.dtype}{missing}{default}"


def _drifts(first: Manifest | None, second: Manifest | None) -> tuple[Drift, ...]:
    if first is None or second is None:
        return ()
    one, two = first.reference, second.reference
    whole = {len(QUANTILES)}
    found = [
        _drift(name, one[name], two[name])
        for name in one
        if name in two and {len(one[name].quantiles), len(two[name].quantiles)} == whole
    ]
    return tuple(sorted(found, key=lambda drift: drift.distance, reverse=True))


def _drift(name: str, first: Distribution, second: Distribution) -> Drift:
    return Drift(
        name=name,
        distance=quantile_distance(first.quantiles, second.quantiles),
        mean=(first.mean, second.mean),
        missing=(first.missing, second.missing),
    )


def quantile_distance(first: Sequence[float], second: Sequence[float]) -> float:
    """Kolmogorov and Smirnov's distance, as far as the quantiles of `Distribution` tell."""
    points = sorted({*first, *second})
    gaps = [abs(_share_up_to(p, first) - _share_up_to(p, second)) for p in points]
    return max(gaps, default=0.0)


def _share_up_to(value: float, quantiles: Sequence[float]) -> float:
    """Linear between quantiles; the highest share where several are equal."""
    known = [(q, s) for q, s in zip(quantiles, QUANTILES, strict=True) if q <= value]
    if not known:
        return 0.0
    at, share = known[-1]
    after = quantiles[len(known)] if len(known) < len(quantiles) else at
    if after <= at:
        return share
    return share + (QUANTILES[len(known)] - share) * (value - at) / (after - at)


def _facts(dossier: Dossier) -> dict[str, str]:
    manifest = dossier.manifest
    if manifest is None:
        return dict(dossier.facts)
    windows = {"training_window": manifest.training_window, "test_window": manifest.test_window}
    shown = {name: f"{w.start:%Y-%m-%d} to {w.end:%Y-%m-%d}" for name, w in windows.items()}
    return {**dossier.facts, **shown}


def _changed(first: Mapping[str, str], second: Mapping[str, str]) -> list[LineagePair]:
    return [
        LineagePair(name=name, first=first.get(name, ""), second=second.get(name, ""))
        for name in sorted(first.keys() | second.keys())
        if first.get(name, "") != second.get(name, "")
    ]
