"""What nobody can do to a SageMaker endpoint is refused by name."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

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


# -- killed between two calls

CONFIG = "mlops-local-fraud-v2-r2"
SERVES = "mlops-local-fraud-v1-r1"
TRIAL = endpoint(1, trial=2, by=Strategy(steps=(0.1,), bake_seconds=60))


class Endpoint:
    """SageMaker and CloudWatch, with one endpoint that serves version 1 since a moment."""

    def __init__(self, made: dict[str, datetime]) -> None:
        self.made = made
        self.called: list[str] = []

    def client(self, service: str) -> Any:
        return self

    def describe_endpoint(self, **_: Any) -> dict[str, Any]:
        return {
            "EndpointStatus": "InService",
            "EndpointConfigName": SERVES,
            "LastModifiedTime": NOW,
            "FailureReason": "alarm errors was in ALARM",
        }

    def describe_endpoint_config(self, *, EndpointConfigName: str) -> dict[str, Any]:  # noqa: N803 - AWS's
        if EndpointConfigName not in self.made:
            error = {"Error": {"Code": "ValidationException", "Message": "Could not find it"}}
            raise ClientError(error, "DescribeEndpointConfig")
        version = EndpointConfigName.split("-v")[1][0]
        models = [{"ModelName": f"mlops-local-fraud-v{version}-a{version}"}]
        return {"CreationTime": self.made[EndpointConfigName], "ProductionVariants": models}

    def create_endpoint_config(self, *, EndpointConfigName: str, **_: Any) -> None:  # noqa: N803 - AWS's
        if EndpointConfigName in self.made:
            message = "Cannot create already existing endpoint configuration"
            error = {"Error": {"Code": "ValidationException", "Message": message}}
            raise ClientError(error, "CreateEndpointConfig")

    def __getattr__(self, name: str) -> Any:
        return lambda **_: self.called.append(name)


@pytest.mark.parametrize("prepared", [False, True])
def test_an_update_that_was_not_begun_is_begun(prepared: bool) -> None:
    made = {SERVES: NOW - timedelta(hours=1)}
    if prepared:
        made[CONFIG] = NOW + timedelta(seconds=1)
    aws = Endpoint(made)
    target = SageMakerTarget(cast(Aws, aws), NAMES, Fleet("ml.c6i.large", 2, {}))
    assert target.advance(TRIAL, now=NOW, by="arn:platform") is None
    assert "update_endpoint" in aws.called


def test_an_update_that_came_to_nothing_is_taken_back_with_sagemakers_reason() -> None:
    aws = Endpoint({SERVES: NOW - timedelta(hours=1), CONFIG: NOW - timedelta(minutes=9)})
    target = SageMakerTarget(cast(Aws, aws), NAMES, Fleet("ml.c6i.large", 2, {}))
    taken = target.advance(TRIAL, now=NOW, by="arn:platform")
    assert taken is not None
    assert (taken.action, aws.called) == ("take back", [])
    assert "alarm errors was in ALARM" in taken.deployment.reason
