"""The gate of the compiled workflow, decided by Step Functions over the local AWS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from mlops.names import Role
from pipelines.fraud.settings import DEFAULTS
from pipelines.training.compiler import Bundle, compile_workflow
from tests.local_aws import eventually, unique
from tests.unit.training import examples

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

_GOOD = {"auc_roc": 0.9, "average_precision": 0.7, "card_precision_100": 0.3}
_LEVEL = dict.fromkeys(_GOOD, 0.0)


@pytest.fixture(scope="module")
def gate(local_aws: LocalAws) -> str:
    """The gate and its refusal alone: ARN of a state machine that starts there."""
    compiled = compile_workflow(
        "fraud", examples.settings(), bundle=Bundle(b""), submitted_by="nobody"
    )
    states = {name: compiled.definition["States"][name] for name in ("Gate", "GateRefused")} | {
        "Export": {"Type": "Succeed"},
        "Tell refusal": {"Type": "Pass", "Next": "GateRefused"},
    }
    answer = local_aws.client("stepfunctions").create_state_machine(
        name=unique("gate"),
        definition=json.dumps({"StartAt": "Gate", "States": states}),
        roleArn=local_aws.names.role_arn(Role.WORKFLOW),
    )
    return str(answer["stateMachineArn"])


def _decide(
    local_aws: LocalAws, gate: str, metrics: dict[str, float], margins: dict[str, float]
) -> Any:
    verdict = {"metrics": metrics, "margins": margins, "shortfalls": "too low"}
    document = {
        "run": {"settings": {"thresholds": dict(DEFAULTS.thresholds)}},
        "evaluation": {"verdict": verdict},
    }
    client = local_aws.client("stepfunctions")
    arn = client.start_execution(stateMachineArn=gate, input=json.dumps(document))["executionArn"]

    def ended() -> Any:
        answer = client.describe_execution(executionArn=arn)
        return None if answer["status"] == "RUNNING" else answer

    return eventually(ended, what="the decision")


def test_a_model_at_the_thresholds_and_the_approved_version_is_let_through(
    local_aws: LocalAws, gate: str
) -> None:
    assert _decide(local_aws, gate, dict(DEFAULTS.thresholds), _LEVEL)["status"] == "SUCCEEDED"


@pytest.mark.parametrize("metric", list(_GOOD))
def test_one_metric_below_its_threshold_is_refused_with_the_reason(
    local_aws: LocalAws, gate: str, metric: str
) -> None:
    answer = _decide(local_aws, gate, _GOOD | {metric: DEFAULTS.thresholds[metric] - 1e-6}, _LEVEL)

    assert (answer["status"], answer["error"]) == ("FAILED", "GateRefused")
    assert answer["cause"] == "The gate refused this model: too low."


@pytest.mark.parametrize("metric", list(_GOOD))
def test_one_metric_worse_than_the_approved_versions_is_refused(
    local_aws: LocalAws, gate: str, metric: str
) -> None:
    answer = _decide(local_aws, gate, _GOOD, _LEVEL | {metric: -1e-6})

    assert answer["error"] == "GateRefused"
