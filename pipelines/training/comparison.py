"""A model against its thresholds and against the approved version on the same rows; pure."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

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
    """Per gated metric: value - (approved - tolerance); not negative where it is good enough."""
    tracking_run: str
    """MLflow's id of this run."""


def margins(
    metrics: Mapping[str, float], approved: ApprovedScore | None, tolerance: Mapping[str, float]
) -> dict[str, float]:
    """How far each gated metric lies above the lowest that the approved version allows."""
    if approved is None:
        return dict.fromkeys(tolerance, 0.0)
    return {
        name: metrics[name] - (approved.metrics[name] - allowed)
        for name, allowed in tolerance.items()
    }
