"""A model against its thresholds and against the approved version on the same rows; pure."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from mlops.registry.comparison import better_direction

EVALUATION = "evaluation.json"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ApprovedScore(_Frozen):
    """What the approved version reaches on the same test rows."""

    version: int
    metrics: Mapping[str, float]


class Evaluation(_Frozen):
    """What the gate reads. A step of the workflow lifts it into the execution's state."""

    metrics: Mapping[str, float]
    compared: bool
    """False on a first run, which has no approved version to beat."""
    approved: ApprovedScore | None
    margins: Mapping[str, float]
    """Per gated metric: how much better than the approved one it is, plus the tolerance; not
    negative where it is good enough."""
    shortfalls: str
    """In words, what keeps the gate shut; empty when nothing does."""
    tracking_run: str
    """MLflow's id of this run."""


def margins(
    metrics: Mapping[str, float], approved: ApprovedScore | None, tolerance: Mapping[str, float]
) -> dict[str, float]:
    """How far each gated metric is on the good side of the worst that the approved one allows."""
    if approved is None:
        return dict.fromkeys(tolerance, 0.0)
    return {
        name: _gain(name, metrics[name], approved.metrics[name]) + allowed
        for name, allowed in tolerance.items()
    }


def shortfalls(
    metrics: Mapping[str, float],
    approved: ApprovedScore | None,
    *,
    thresholds: Mapping[str, float],
    tolerance: Mapping[str, float],
) -> str:
    """Every metric that is too bad, with what it had to reach; empty when all are good enough."""
    found = [
        f"{name} is {metrics[name]:.4f}, the threshold {bound:g}"
        for name, bound in thresholds.items()
        if not _gain(name, metrics[name], bound) >= 0
    ]
    for name, margin in margins(metrics, approved, tolerance).items():
        if approved is not None and not margin >= 0:
            found.append(
                f"{name} is {metrics[name]:.4f}, version {approved.version} reaches "
                f"{approved.metrics[name]:.4f} on the same rows (tolerance {tolerance[name]:g})"
            )
    return "; ".join(found)


def _gain(metric: str, value: float, other: float) -> float:
    """By how much a value is better than another; negative where it is worse."""
    return (value - other) * (better_direction(metric) or 1)
