"""Requests and task parameters, checked against botocore's model."""

from __future__ import annotations

from typing import Any

import pytest

from infra.local.jobs.validation import check_request, service_model
from infra.local.service import AwsError
from infra.local.stepfunctions.parameters import parameter_problems

REQUEST: dict[str, Any] = {
    "TrainingJobName": "fraud-1",
    "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
    "RoleArn": "arn:aws:iam::000000000000:role/job",
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/models"},
    "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 10},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}


def problems(**changes: Any) -> str:
    with pytest.raises(AwsError) as refused:
        check_request("CreateTrainingJob", REQUEST | changes)
    assert refused.value.code == "ValidationException"
    return refused.value.message


def test_a_sound_request_passes() -> None:
    check_request("CreateTrainingJob", REQUEST)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    message = problems(TrainingJobName="under_score", OutputDataConfig={})
    assert message.startswith("2 validation errors detected: ")
    assert "'outputDataConfig.s3OutputPath' failed to satisfy constraint: Member must not be" in (
        message
    )


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"TrainingJobName": "under_score"}, "Member must satisfy regular expression pattern"),
        ({"TrainingJobName": "x" * 64}, "Member must have length less than or equal to 63"),
        ({"HyperParameters": {"depth": 3}}, "'hyperParameters.depth.member' failed"),
        ({"EnableNetworkIsolation": "yes"}, "Member must be of type boolean"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, "value greater than or equal to 1"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": True}}, "Member must be of type integer"),
        ({"Surprise": 1}, "Unknown parameter 'surprise'"),
        (
            {"AlgorithmSpecification": {"TrainingInputMode": "Magic"}},
            "Member must satisfy enum value set: [Pipe, File, FastFile]",
        ),
        ({"Tags": [{"Key": "a"}]}, "Value null at 'tags.1.member.value'"),
    ],
)
def test_a_part_that_is_wrong_is_named_with_its_rule(changes: dict[str, Any], part: str) -> None:
    assert part in problems(**changes)


def task_problems(**changes: Any) -> list[str]:
    shape = service_model().operation_model("CreateTrainingJob").input_shape
    return list(parameter_problems(shape, REQUEST | changes))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"HyperParameters": {"depth": 3}}, "The value for the field 'depth' must be a STRING"),
        ({"InputDataConfig": None}, "The value for the field 'InputDataConfig' must be an ARRAY"),
        ({"OutputDataConfig": {}}, "The field 'S3OutputPath' is required but was missing"),
        ({"Surprise": 1}, "The field 'Surprise' is not supported by Step Functions"),
        (
            {"ResourceConfig": {"InstanceCount": "1"}},
            "The value for the field 'InstanceCount' must be an INTEGER",
        ),
    ],
)
def test_step_functions_checks_types_only(changes: dict[str, Any], problem: str) -> None:
    assert task_problems(**changes) == [problem]


def test_step_functions_leaves_patterns_to_the_service() -> None:
    assert task_problems(TrainingJobName="under_score") == []
