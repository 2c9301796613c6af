"""What an endpoint serves after decisions on its model: pure rules over the deployment document.

Decisions are acted on one by one, in the record's order, each once: which were acted on stands in
the document. So it does not matter how often, how late or in which order anyone tells of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mlops.deployment import Canary, DeployedVersion, Deployment, Rollout, TakenBack
from mlops.strategy import ALL_AT_ONCE, Strategy

KEPT = 10
"""How many versions a deployment can fall back to."""
REMEMBERED = 50
"""How many versions that were taken back stay known as such."""


@dataclass(frozen=True)
class Change:
    """Who changes an endpoint, when (UTC) and why."""

    endpoint: str
    model: str
    at: datetime
    by: str
    reason: str


@dataclass(frozen=True)
class Approval:
    """An approval that stands: its version names the entry of the record, its manifest how."""

    version: DeployedVersion
    strategy: Strategy = ALL_AT_ONCE

    @property
    def sequence(self) -> int:
        return self.version.approval or 0


def roll_out(
    current: Deployment | None, approved: Sequence[Approval], change: Change
) -> Deployment | None:
    """The deployment after the decisions on record; None when that is what there is.

    approved: every approval that stands. What does not stand any more is taken out at once, and
    the version before the stable one put back. New approvals begin their rollout in the record's
    order, an unfinished one giving way to the next; on a frozen endpoint they wait.
    """
    ordered = sorted(approved, key=lambda approval: approval.sequence)
    if current is None:
        if not ordered:
            return None
        return _folded(_empty(change), ordered, change).model_copy(update={"revision": 1})
    stands = {approval.version.version: approval.version for approval in ordered}
    after = _filled(_standing(current, stands))
    if not current.frozen:
        after = _folded(after, ordered, change)
    return revised(current, after, change)


def revised(before: Deployment, after: Deployment, change: Change) -> Deployment | None:
    """`after` as the next revision, on its author's account; None where nothing changed."""
    if after == before:
        return None
    update = {
        "revision": before.revision + 1,
        "changed_at": change.at,
        "changed_by": change.by,
        "reason": change.reason,
    }
    return after.model_copy(update=update)


def describe_change(before: Deployment | None, after: Deployment) -> str:
    """One sentence: what now serves, and what served before."""
    old, new = before.stable if before else None, after.stable
    trial = _describe_trial(before, after)
    if new is None:
        return f"Endpoint '{after.endpoint}' serves no version any more: none is approved."
    if old is None:
        return f"Endpoint '{after.endpoint}' serves version {new.version}, its first."
    if old.version == new.version:
        return f"Endpoint '{after.endpoint}' still serves version {new.version}{trial}."
    return (
        f"Endpoint '{after.endpoint}' serves version {new.version}{trial}; "
        f"before it was version {old.version}."
    )


def _describe_trial(before: Deployment | None, after: Deployment) -> str:
    if after.canary:
        canary = after.canary
        return f", and version {canary.version.version} {canary.weight:.4g} of the traffic"
    if after.shadow:
        return f", with version {after.shadow.version} as its shadow"
    if before and before.rollout and before.rollout.version != after.stable:
        return f"; version {before.rollout.version.version} is taken back"
    return ""


# -- what the stages of a rollout are in the document


def on_stage(deployment: Deployment, rollout: Rollout) -> Deployment:
    """The deployment with a rollout in its stage; it takes an experiment's place."""
    version, stage = rollout.version, rollout.at
    cleared = without_trial(deployment)
    if stage.weight is None:
        share = rollout.strategy.shadow_share
        update = {"rollout": rollout, "shadow": version, "shadow_share": share}
        return cleared.model_copy(update=update)
    canary = Canary(version=version, weight=stage.weight, key=rollout.strategy.key)
    return cleared.model_copy(update={"rollout": rollout, "canary": canary, "experiment": None})


def without_trial(deployment: Deployment) -> Deployment:
    """The deployment without its rollout, and without what that put up."""
    rollout = deployment.rollout
    if rollout is None:
        return deployment
    update: dict[str, object] = {"rollout": None, "canary": None}
    if deployment.shadow and deployment.shadow.version == rollout.version.version:
        update |= {"shadow": None, "shadow_share": 1.0}
    return deployment.model_copy(update=update)


def take_over(deployment: Deployment, version: DeployedVersion) -> Deployment:
    """The deployment with a version as the stable one; the one before it is first in line."""
    after = without_trial(deployment)
    before = (after.stable,) if after.stable else ()
    update: dict[str, object] = {
        "stable": version,
        "history": tuple(_others((*before, *after.history), version))[:KEPT],
        "taken_back": tuple(t for t in after.taken_back if t.version.version != version.version),
    }
    if after.canary and after.canary.version.version == version.version:
        update["canary"] = None
    if after.shadow and after.shadow.version == version.version:
        update |= {"shadow": None, "shadow_share": 1.0}
    return after.model_copy(update=update)


def take_back(deployment: Deployment, change: Change) -> Deployment:
    """The deployment without the version on trial; it is not fallen back to."""
    rollout = deployment.rollout
    assert rollout is not None
    return _remembering(without_trial(deployment), rollout.version, change)


def fall_back(deployment: Deployment, target: DeployedVersion, change: Change) -> Deployment:
    """The deployment with a version of its history as the stable one, at once.

    What was stable, and what was before the target in line, is not fallen back to.
    """
    after = without_trial(deployment)
    skipped: list[DeployedVersion] = []
    for version in (*filter(None, [deployment.stable]), *deployment.history):
        if version.version == target.version:
            break
        skipped.append(version)
    for version in reversed(skipped):
        after = _remembering(after, version, change)
    left = tuple(v for v in after.history if v not in skipped and v.version != target.version)
    gone = {version.version for version in skipped} | {target.version}
    update: dict[str, object] = {"stable": target, "history": left}
    if after.canary and after.canary.version.version in gone:
        update["canary"] = None
    if after.shadow and after.shadow.version in gone:
        update |= {"shadow": None, "shadow_share": 1.0}
    return after.model_copy(update=update)


def _remembering(deployment: Deployment, version: DeployedVersion, change: Change) -> Deployment:
    taken = TakenBack(version=version, by=change.by, at=change.at, reason=change.reason)
    others = [t for t in deployment.taken_back if t.version.version != version.version]
    return deployment.model_copy(update={"taken_back": (taken, *others)[:REMEMBERED]})


# -- decisions, one after the other


def _standing(deployment: Deployment, stands: Mapping[int, DeployedVersion]) -> Deployment:
    """What is left of a deployment when only approvals that stand may serve."""

    def holds(version: DeployedVersion | None) -> bool:
        found = stands.get(version.version) if version else None
        return found is not None and version is not None and _is_same_approval(version, found)

    def known(version: DeployedVersion) -> DeployedVersion:
        return version.model_copy(update={"approval": stands[version.version].approval})

    rollout, canary, shadow = deployment.rollout, deployment.canary, deployment.shadow
    experiment, stable = deployment.experiment, deployment.stable
    after = deployment if rollout is None or holds(rollout.version) else without_trial(deployment)
    update: dict[str, object] = {
        "stable": known(stable) if stable and holds(stable) else None,
        "history": tuple(known(version) for version in deployment.history if holds(version)),
        "taken_back": tuple(t for t in deployment.taken_back if holds(t.version)),
    }
    if canary and not holds(canary.version):
        update["canary"] = None
    if shadow and not holds(shadow):
        update |= {"shadow": None, "shadow_share": 1.0}
    if experiment and not all(holds(arm.version) for arm in experiment.arms):
        update["experiment"] = None
    return after.model_copy(update=update)


def _is_same_approval(version: DeployedVersion, approved: DeployedVersion) -> bool:
    """An older release did not write down which approval it was."""
    files = (version.package_arn, version.model_prefix, version.manifest_sha256)
    theirs = (approved.package_arn, approved.model_prefix, approved.manifest_sha256)
    return files == theirs and version.approval in (None, approved.approval)


def _folded(deployment: Deployment, ordered: Sequence[Approval], change: Change) -> Deployment:
    for approval in ordered:
        if approval.version.version not in _known(deployment):
            deployment = _begun(deployment, approval, change)
        newest = max(deployment.decision, approval.sequence)
        deployment = deployment.model_copy(update={"decision": newest})
    return deployment


def _begun(deployment: Deployment, approval: Approval, change: Change) -> Deployment:
    version, strategy = approval.version, approval.strategy
    if approval.sequence < deployment.decision:
        return _late(deployment, approval)
    if deployment.rollout is not None:
        deployment = _last_in_line(without_trial(deployment), deployment.rollout.version)
    if deployment.stable is None or not strategy.is_gradual:
        return take_over(deployment, version)
    revision = deployment.revision + 1
    rollout = Rollout(version=version, strategy=strategy, since=change.at, revision=revision)
    return on_stage(deployment, rollout)


def _last_in_line(deployment: Deployment, version: DeployedVersion) -> Deployment:
    """What was overtaken before it served anyone is better than nothing, and than nothing else."""
    return deployment.model_copy(update={"history": (*deployment.history, version)[:KEPT]})


def _late(deployment: Deployment, approval: Approval) -> Deployment:
    """An approval that shows after a newer one was acted on: in line where it would stand."""
    version = approval.version
    if approval.strategy.is_gradual:
        return _last_in_line(deployment, version)
    older = (n for n, v in enumerate(deployment.history) if (v.approval or 0) < approval.sequence)
    place = next(older, len(deployment.history))
    line = (*deployment.history[:place], version, *deployment.history[place:])
    return deployment.model_copy(update={"history": line[:KEPT]})


def _filled(deployment: Deployment) -> Deployment:
    """Where the stable version is gone: the next in line, else the one on trial."""
    if deployment.stable is not None:
        return deployment
    if deployment.history:
        first, *rest = deployment.history
        return deployment.model_copy(update={"stable": first, "history": tuple(rest)})
    if deployment.rollout is not None:
        return take_over(deployment, deployment.rollout.version)
    return deployment.model_copy(
        update={"canary": None, "shadow": None, "shadow_share": 1.0, "experiment": None}
    )


def _known(deployment: Deployment) -> set[int]:
    """The versions that have a place, or had one and were taken back."""
    trial = (deployment.rollout.version,) if deployment.rollout else ()
    back = (taken.version for taken in deployment.taken_back)
    places = (*filter(None, [deployment.stable]), *deployment.history, *trial, *back)
    return {version.version for version in places}


def _others(versions: Iterable[DeployedVersion], one: DeployedVersion) -> list[DeployedVersion]:
    return [version for version in versions if version.version != one.version]


def _empty(change: Change) -> Deployment:
    return Deployment(
        endpoint=change.endpoint,
        model=change.model,
        stable=None,
        changed_at=change.at,
        changed_by=change.by,
        reason=change.reason,
    )
