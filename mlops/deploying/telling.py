"""What is told of an endpoint and of its changes, as JSON values."""

from __future__ import annotations

from typing import Any

from mlops.deploying.endpoints import Changed
from mlops.deployment import DeployedVersion, Deployment, Hold, Rollout
from mlops.rollout import describe_change


def facts_of(action: str, changed: Changed) -> dict[str, Any]:
    """A change, for notices and for scripts."""
    before, after = changed.before, changed.after
    return {
        "action": action,
        "endpoint": after.endpoint,
        "message": describe_change(before, after),
        "stable": _number(after.stable),
        "before": _number(before.stable) if before else None,
        "revision": after.revision,
        "who": after.changed_by,
        "reason": after.reason,
        "at": after.changed_at,
        "from": serves(before),
        "to": serves(after),
    }


def serves(deployment: Deployment | None) -> dict[str, str]:
    """What each version is used for, and with which share; by use."""
    if deployment is None:
        return {}
    found = {use: f"version {version.version}" for use, version in deployment.uses}
    if deployment.canary:
        found["canary"] += f" at {deployment.canary.weight:.4g}"
    for arm in deployment.experiment.arms if deployment.experiment else ():
        found[f"arm {arm.name}"] += f" at {arm.weight:.4g}"
    if deployment.shadow and deployment.shadow_share < 1:
        found["shadow"] += f" of {deployment.shadow_share:.4g}"
    if deployment.rollout and deployment.rollout.paused:
        found["rollout"] = "paused"
    if deployment.frozen:
        found["frozen"] = "yes"
    if answering := deployment.answering:
        found["answering"] = answering.model_dump_json(exclude_none=True)
    return found


def difference(changed: Changed) -> list[str]:
    """One line for each use that a change made another."""
    before, after = serves(changed.before), serves(changed.after)
    uses = sorted(before.keys() | after.keys())
    pairs = [(use, before.get(use, "nothing"), after.get(use, "nothing")) for use in uses]
    return [f"{use}: {old} → {new}" for use, old, new in pairs if old != new]


def describe(deployment: Deployment) -> dict[str, Any]:
    """Everything about an endpoint that a person or a script asks for."""
    canary, shadow = deployment.canary, deployment.shadow
    return {
        "endpoint": deployment.endpoint,
        "model": deployment.model,
        "revision": deployment.revision,
        "stable": _number(deployment.stable),
        "canary": canary
        and {"version": canary.version.version, "weight": canary.weight, "key": canary.key},
        "shadow": shadow and {"version": shadow.version, "share": deployment.shadow_share},
        "experiment": deployment.experiment and deployment.experiment.name,
        "rollout": deployment.rollout and _rollout(deployment.rollout),
        "frozen": _hold(deployment.frozen),
        "falls_back_to": [version.version for version in deployment.history],
        "taken_back": [
            {"version": taken.version.version, **(_hold(taken) or {})}
            for taken in deployment.taken_back
        ],
        "answering": deployment.answering
        and deployment.answering.model_dump(mode="json", exclude_none=True),
        "changed": {
            "at": deployment.changed_at,
            "by": deployment.changed_by,
            "reason": deployment.reason,
        },
    }


def _rollout(rollout: Rollout) -> dict[str, Any]:
    return {
        "version": rollout.version.version,
        "stage": rollout.stage + 1,
        "stages": len(rollout.strategy.stages),
        "weight": rollout.at.weight,
        "since": rollout.since,
        "bake_seconds": rollout.at.seconds,
        "paused": _hold(rollout.paused),
    }


def _hold(hold: Hold | None) -> dict[str, Any] | None:
    return {"by": hold.by, "at": hold.at, "reason": hold.reason} if hold else None


def _number(version: DeployedVersion | None) -> int | None:
    return version.version if version else None
