"""What an endpoint serves after a decision: pure rules over the deployment document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mlops.deployment import DeployedVersion, Deployment

KEPT = 10
"""How many versions a deployment can fall back to."""


@dataclass(frozen=True)
class Change:
    """Who changes an endpoint, when (UTC) and why."""

    endpoint: str
    model: str
    at: datetime
    by: str
    reason: str


def roll_out(
    current: Deployment | None, approved: Sequence[DeployedVersion], change: Change
) -> Deployment | None:
    """The deployment that serves the newest approval; None when that is what there is.

    approved: every version whose approval stands, the newest decision first. The first becomes
    stable and the others stay behind it to fall back to, so that taking the stable one out of
    the list puts the one before it back. It depends on nothing else: the same decisions end in
    the same deployment, in whatever order and however often they are told.
    """
    stable = approved[0] if approved else None
    behind = tuple(approved[1 : KEPT + 1])
    if current is None:
        return _first(stable, behind, change) if stable else None
    canary, shadow, experiment = current.canary, current.shadow, current.experiment
    arms = {arm.version.version for arm in experiment.arms} if experiment else set()
    stand = {version.version for version in approved[: KEPT + 1]}
    serving: dict[str, object] = {
        "stable": stable,
        "history": behind,
        "canary": canary if canary and canary.version in behind else None,
        "experiment": experiment if arms <= stand else None,
        "shadow": shadow if shadow in behind else None,
    }
    after = current.model_copy(update=serving)
    if after == current:
        return None
    update = {
        "revision": current.revision + 1,
        "changed_at": change.at,
        "changed_by": change.by,
        "reason": change.reason,
    }
    return after.model_copy(update=update)


def describe_change(before: Deployment | None, after: Deployment) -> str:
    """One sentence: what now serves, and what served before."""
    old, new = before.stable if before else None, after.stable
    if new is None:
        return f"Endpoint '{after.endpoint}' serves no version any more: none is approved."
    if old is None:
        return f"Endpoint '{after.endpoint}' serves version {new.version}, its first."
    if old == new:
        return f"Endpoint '{after.endpoint}' still serves version {new.version}."
    return (
        f"Endpoint '{after.endpoint}' serves version {new.version}; "
        f"before it was version {old.version}."
    )


def _first(
    stable: DeployedVersion, behind: tuple[DeployedVersion, ...], change: Change
) -> Deployment:
    return Deployment(
        endpoint=change.endpoint,
        model=change.model,
        stable=stable,
        history=behind,
        changed_at=change.at,
        changed_by=change.by,
        reason=change.reason,
    )
