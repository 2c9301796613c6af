"""What people do to an endpoint by hand: pure rules over its document.

Each gives the next document, None where it says so already, or raises Refused naming the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mlops.answering import Answering
from mlops.deployment import Canary, DeployedVersion, Deployment, Hold, Rollout
from mlops.errors import NotFound, Refused
from mlops.rollout import Change, fall_back, on_stage, revised, take_back, take_over

Rule = Callable[[Deployment, Change], Deployment]


def apply_move(current: Deployment | None, rule: Rule, change: Change) -> Deployment | None:
    """The next revision by a rule. Raises NotFound where nothing is deployed."""
    if current is None:
        raise NotFound(
            f"Nothing is deployed to endpoint '{change.endpoint}'. "
            "Approve a version: 'mlops models approve'."
        )
    return revised(current, rule(current, change), change)


def promote(version: int | None) -> Rule:
    """What is on trial, or the approved version that is named, becomes stable at once."""

    def rule(deployment: Deployment, change: Change) -> Deployment:
        _require_thawed(deployment)
        if version is not None:
            if deployment.stable and deployment.stable.version == version:
                return deployment
            return take_over(deployment, _approved(deployment, version))
        if deployment.rollout is not None:
            return take_over(deployment, deployment.rollout.version)
        if deployment.canary is not None:
            return take_over(deployment, deployment.canary.version)
        raise Refused(
            f"Endpoint '{deployment.endpoint}' has no version on trial. Name an approved one: "
            f"mlops deploy promote {deployment.endpoint} --version N"
        )

    return rule


def roll_back(version: int | None) -> Rule:
    """What is on trial is taken back; where nothing is, the version before is stable again."""

    def rule(deployment: Deployment, change: Change) -> Deployment:
        _require_thawed(deployment)
        if version is None and deployment.rollout is not None:
            return take_back(deployment, change)
        if version is None and deployment.canary is not None:
            return deployment.model_copy(update={"canary": None})
        if version is not None and deployment.stable and deployment.stable.version == version:
            return deployment
        return fall_back(deployment, _before(deployment, version), change)

    return rule


def pause(deployment: Deployment, change: Change) -> Deployment:
    """The rollout stays in its stage; it is still taken back where it fails."""
    _require_thawed(deployment)
    rollout = _rollout(deployment)
    if rollout.paused:
        return deployment
    held = rollout.model_copy(update={"paused": _hold(change)})
    return deployment.model_copy(update={"rollout": held})


def resume(deployment: Deployment, change: Change) -> Deployment:
    """The rollout goes on in its stage, whose weight is put back where it was set by hand."""
    _require_thawed(deployment)
    rollout = _rollout(deployment)
    if not rollout.paused:
        return deployment
    going = rollout.model_copy(update={"paused": None})
    after = on_stage(deployment, going)
    if after.model_copy(update={"rollout": rollout}) == deployment:
        return after
    anew = {"since": change.at, "revision": deployment.revision + 1}
    return on_stage(deployment, going.model_copy(update=anew))


def freeze(deployment: Deployment, change: Change) -> Deployment:
    """Nothing changes until 'unfreeze', but what must not serve is taken back."""
    if deployment.frozen:
        return deployment
    return deployment.model_copy(update={"frozen": _hold(change)})


def unfreeze(deployment: Deployment, change: Change) -> Deployment:
    return deployment.model_copy(update={"frozen": None})


def set_canary(version: int, weight: float, key: str | None) -> Rule:
    """A share of the traffic goes to an approved version; a weight of 0 ends that."""

    def rule(deployment: Deployment, change: Change) -> Deployment:
        _require_by_hand(deployment)
        _require_other(deployment, version)
        if weight == 0:
            serves = deployment.canary and deployment.canary.version.version == version
            return deployment.model_copy(update={"canary": None}) if serves else deployment
        if deployment.experiment:
            raise Refused(
                f"Endpoint '{deployment.endpoint}' runs experiment "
                f"'{deployment.experiment.name}'; a canary would disturb it. End it first."
            )
        canary = Canary(version=_approved(deployment, version), weight=weight, key=key)
        return deployment.model_copy(update={"canary": canary})

    return rule


def set_shadow(version: int | None, share: float) -> Rule:
    """An approved version scores what others answer; None ends that."""

    def rule(deployment: Deployment, change: Change) -> Deployment:
        _require_by_hand(deployment)
        if version is None:
            return deployment.model_copy(update={"shadow": None, "shadow_share": 1.0})
        _require_other(deployment, version)
        update = {"shadow": _approved(deployment, version), "shadow_share": share}
        return deployment.model_copy(update=update)

    return rule


def set_answering(answering: Answering | None) -> Rule:
    """Deadline and fallback that overrule the manifests'; None leaves them to the manifests."""

    def rule(deployment: Deployment, change: Change) -> Deployment:
        _require_thawed(deployment)
        return deployment.model_copy(update={"answering": answering})

    return rule


def approved_versions(deployment: Deployment) -> list[DeployedVersion]:
    """Every version that may be put up: what stands in the document, taken back or not."""
    trial = (deployment.rollout.version,) if deployment.rollout else ()
    back = (taken.version for taken in deployment.taken_back)
    return [*filter(None, [deployment.stable]), *trial, *deployment.history, *back]


def _approved(deployment: Deployment, version: int) -> DeployedVersion:
    known = approved_versions(deployment)
    found = next((one for one in known if one.version == version), None)
    if found is None:
        raise Refused(
            f"Version {version} is not approved for endpoint '{deployment.endpoint}'; "
            f"{_listed(known)} are. Approve it: mlops models approve {deployment.model} {version}"
        )
    return found


def _before(deployment: Deployment, version: int | None) -> DeployedVersion:
    line = deployment.history
    found = next((v for v in line if version in (None, v.version)), None)
    if found is None:
        wanted = f"version {version}" if version else "a version before"
        raise Refused(
            f"Endpoint '{deployment.endpoint}' cannot fall back to {wanted}: in line are "
            f"{_listed(line)}. Any approved one can be put up: "
            f"mlops deploy promote {deployment.endpoint} --version N"
        )
    return found


def _require_thawed(deployment: Deployment) -> None:
    if held := deployment.frozen:
        raise Refused(
            f"Endpoint '{deployment.endpoint}' is frozen since {held.at:%Y-%m-%d %H:%M} UTC by "
            f"{held.by}: {held.reason}. Lift it first: mlops deploy unfreeze {deployment.endpoint}"
        )


def _require_by_hand(deployment: Deployment) -> None:
    _require_thawed(deployment)
    if deployment.rollout and not deployment.rollout.paused:
        raise Refused(
            f"Version {deployment.rollout.version.version} is being rolled out to endpoint "
            f"'{deployment.endpoint}', which sets the traffic itself. Stop it first: "
            f"mlops deploy pause {deployment.endpoint}"
        )


def _require_other(deployment: Deployment, version: int) -> None:
    if deployment.stable and deployment.stable.version == version:
        raise Refused(
            f"Version {version} is the stable one of endpoint '{deployment.endpoint}': it answers "
            "already."
        )


def _rollout(deployment: Deployment) -> Rollout:
    if deployment.rollout is None:
        raise Refused(f"Endpoint '{deployment.endpoint}' has no rollout under way.")
    return deployment.rollout


def _hold(change: Change) -> Hold:
    return Hold(by=change.by, at=change.at, reason=change.reason)


def _listed(versions: Iterable[DeployedVersion]) -> str:
    return ", ".join(str(version.version) for version in versions) or "none"
