"""What nobody can do to a SageMaker endpoint is refused by name."""

from __future__ import annotations

import pytest

from mlops.aws import Aws
from mlops.deploying.sagemaker import Fleet, SageMakerTarget
from mlops.errors import Refused, SettingsError
from mlops.settings import load_settings
from mlops.strategy import Strategy
from tests.approvals import NAMES, NOW
from tests.deploying import endpoint, numbers


class NobodyAsked(Aws):
    """An AWS that no call reaches."""

    def __init__(self) -> None:
        pass


TARGET = SageMakerTarget(NobodyAsked(), NAMES, Fleet("ml.c6i.large", 2, {}))


@pytest.mark.parametrize("action", ["pause", "resume", "canary", "shadow", "answering"])
def test_moves_that_it_cannot_make_are_refused_by_name(action: str) -> None:
    with pytest.raises(Refused, match=rf"'{action}' is not possible.*mlops deploy rollback fraud"):
        TARGET.check_move(action, endpoint(2, 1))


@pytest.mark.parametrize("action", ["promote", "freeze"])
def test_moves_that_a_deployment_under_way_rules_out_are_refused(action: str) -> None:
    with pytest.raises(Refused, match=f"'{action}' is not possible"):
        TARGET.check_move(action, endpoint(1, trial=2))
    TARGET.check_move(action, endpoint(2, 1))


def test_a_rollback_is_always_possible() -> None:
    for deployment in (endpoint(1, trial=2), endpoint(2, 1)):
        TARGET.check_move("rollback", deployment)


def test_a_version_whose_strategy_cannot_be_expressed_is_taken_back_and_says_why() -> None:
    deployment = endpoint(1, trial=2, by=Strategy(steps=(0.1,), key="customer_id"))
    taken = TARGET.advance(deployment, now=NOW, by="arn:platform")
    assert taken is not None
    assert (taken.action, numbers(taken.deployment)) == ("take back", [1])
    assert "version 2 cannot be rolled out as its settings say: key 'customer_id'" in (
        taken.deployment.reason
    )


def test_endpoints_of_sagemaker_need_its_registry() -> None:
    environ = {"MLOPS_ENV": "dev", "MLOPS_ACCOUNT": "1" * 12, "MLOPS_REGION": "eu-west-1"}
    with pytest.raises(SettingsError, match="set MLOPS_REGISTRY=sagemaker"):
        load_settings(environ | {"MLOPS_TARGET": "sagemaker", "MLOPS_REGISTRY": "mlflow"})
    assert load_settings(environ | {"MLOPS_TARGET": "sagemaker"}).target == "sagemaker"
