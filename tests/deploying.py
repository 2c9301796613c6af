"""Endpoints in every state that the rules of deploying meet."""

from __future__ import annotations

from typing import Any

from mlops.deployment import DeployedVersion, Deployment
from mlops.rollout import Approval, Change, roll_out
from mlops.strategy import Strategy
from tests.approvals import NOW

OPERATOR = "arn:aws:sts::000000000000:assumed-role/mlops-local-operator/olga"
CHANGE = Change("fraud", "fraud", NOW, OPERATOR, "because")
GRADUAL = Strategy(shadow_seconds=60, steps=(0.1, 0.5), bake_seconds=600, key="customer_id")
CANARY = Strategy(steps=(0.1, 0.5), bake_seconds=600)


def version(number: int) -> DeployedVersion:
    """Approved by the record's entry of its own number."""
    return DeployedVersion(
        version=number,
        package_arn=f"arn:{number}",
        model_prefix=f"s3://b/{number}/",
        manifest_sha256=f"{number:064x}",
        approval=number,
    )


def approvals(*numbers: int, **strategies: Strategy) -> list[Approval]:
    """All at once, but `v3=GRADUAL` otherwise."""
    return [
        Approval(version(number), strategies.get(f"v{number}", Strategy())) for number in numbers
    ]


def endpoint(*line: int, trial: int | None = None, by: Strategy = CANARY) -> Deployment:
    """The first of `line` stable, the others behind it; another on trial, where one is named."""
    made = roll_out(None, approvals(*line), CHANGE)
    assert made is not None
    if trial is not None:
        more: Any = {f"v{trial}": by}
        made = roll_out(made, approvals(*line, trial, **more), CHANGE)
        assert made is not None
    return made


def numbers(deployment: Deployment) -> list[int]:
    """The stable version and what is fallen back to."""
    stable = [deployment.stable] if deployment.stable else []
    return [one.version for one in (*stable, *deployment.history)]
