"""What a Batch job runs, from its definition and its submission."""

from __future__ import annotations

from typing import Any

import pytest

from infra.local.batch.submission import check_submission, job_template
from infra.local.service import AwsError

QUEUE = "arn:aws:batch:ap-northeast-2:000000000000:job-queue/q"
DEFINITION: dict[str, Any] = {
    "jobDefinitionArn": "arn:aws:batch:ap-northeast-2:000000000000:job-definition/d:3",
    "parameters": {"view": "customer_spend"},
    "timeout": {"attemptDurationSeconds": 600},
    "tags": {"team": "payments"},
    "containerProperties": {
        "image": "image",
        "command": ["mlops", "Ref::view", "Ref::run", "no Ref::view"],
        "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        "resourceRequirements": [
            {"type": "VCPU", "value": "1"},
            {"type": "MEMORY", "value": "2048"},
        ],
    },
}


def template(**request: Any) -> dict[str, Any]:
    asked = {"jobName": "job", "jobQueue": "q", "jobDefinition": "d", **request}
    check_submission(asked)
    return job_template(asked, DEFINITION, QUEUE)


def refusal(**request: Any) -> str:
    with pytest.raises(AwsError) as refused:
        template(**request)
    assert refused.value.code == "ClientException"
    return refused.value.message


def test_parameters_fill_the_words_of_the_command() -> None:
    command = template(parameters={"run": "r1"})["container"]["command"]
    assert command == ["mlops", "customer_spend", "r1", "no Ref::view"]


def test_a_parameter_of_the_submission_wins() -> None:
    assert template(parameters={"view": "other"})["container"]["command"][1] == "other"


def test_a_placeholder_without_a_value_stays() -> None:
    assert template()["container"]["command"][2] == "Ref::run"


def test_overrides_replace_by_name_and_by_type() -> None:
    container = template(
        containerOverrides={
            "environment": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}],
            "resourceRequirements": [{"type": "MEMORY", "value": "4096"}],
        }
    )["container"]
    values = {pair["name"]: pair["value"] for pair in container["environment"]}
    assert values == {"A": "1", "B": "3", "C": "4"}
    sizes = {r["type"]: r["value"] for r in container["resourceRequirements"]}
    assert sizes == {"VCPU": "1", "MEMORY": "4096"}


def test_an_overriding_command_is_filled_too() -> None:
    container = template(containerOverrides={"command": ["echo", "Ref::view"]})["container"]
    assert container["command"] == ["echo", "customer_spend"]


def test_the_definition_holds_where_the_submission_says_nothing() -> None:
    found = template(tags={"run": "1"})
    assert found["timeout"] == {"attemptDurationSeconds": 600}
    assert found["retryStrategy"]["attempts"] == 1
    assert found["tags"] == {"team": "payments", "run": "1"}


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"arrayProperties": {"size": 1}}, "between 2 and 10000"),
        ({"arrayProperties": {"size": 10_001}}, "between 2 and 10000"),
        ({"timeout": {"attemptDurationSeconds": 59}}, "60 or more"),
        ({"retryStrategy": {"attempts": 11}}, "between 1 and 10"),
        ({"retryStrategy": {"attempts": 2, "evaluateOnExit": [{"action": "EXIT"}]}}, "condition"),
        ({"shareIdentifier": "team"}, "shareIdentifier: the local AWS"),
        ({"nodeOverrides": {"numNodes": 2}}, "nodeOverrides: the local AWS"),
        ({"containerOverrides": {"memory": 4}}, "memory: the local AWS knows resourceRequirements"),
        ({"dependsOn": [{"type": "SEQUENTIAL"}]}, "SEQUENTIAL is for array jobs"),
        ({"dependsOn": [{}]}, "jobId must not be empty"),
        (
            {"containerOverrides": {"environment": [{"name": "AWS_BATCH_X", "value": "1"}]}},
            "AWS_BATCH is Batch's own prefix",
        ),
    ],
)
def test_what_batch_refuses_is_refused(request_: dict[str, Any], said: str) -> None:
    assert said in refusal(**request_)
