from __future__ import annotations

import copy
from typing import Any

import pytest

from mlops.errors import InputError
from pipelines.training.checks import check_definition

_MACHINE: dict[str, Any] = {
    "StartAt": "Tell",
    "States": {
        "Tell": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sns:publish",
            "Parameters": {
                "TopicArn": "arn:aws:sns:eu-west-1:111122223333:events",
                "Subject": "told",
                "Message": {"execution.$": "$$.Execution.Id"},
            },
            "End": True,
        }
    },
}


def _check(resource: str, parameters: dict[str, Any]) -> None:
    machine = copy.deepcopy(_MACHINE)
    machine["States"]["Tell"] |= {"Resource": resource, "Parameters": parameters}
    check_definition(machine, size=1000)


def test_a_machine_that_would_run_passes() -> None:
    check_definition(_MACHINE, size=1000)


def test_the_language_is_checked() -> None:
    machine = copy.deepcopy(_MACHINE)
    del machine["States"]["Tell"]["End"]

    with pytest.raises(InputError, match="Next"):
        check_definition(machine, size=1000)


def test_a_machine_that_is_too_large_is_refused() -> None:
    with pytest.raises(InputError, match="1048577 bytes"):
        check_definition(_MACHINE, size=1024 * 1024 + 1)


_S3 = "arn:aws:states:::aws-sdk:s3:getObject"
_GROUP = "arn:aws:states:::aws-sdk:sagemaker:createModelPackageGroup"
_PACKAGE = "arn:aws:states:::aws-sdk:sagemaker:createModelPackage"


@pytest.mark.parametrize(
    ("resource", "parameters", "problem"),
    [
        (_S3, {"Bucket": "b", "Kye.$": "$.key"}, r"Parameters\.Kye is unknown"),
        (_S3, {"Bucket": "b"}, r"Parameters\.Key is missing"),
        (_S3, {"Bucket": "b", "Key": 3}, r"Parameters\.Key must be a string, not 3"),
        (_S3, {"Bucket": "b", "Key": None}, r"Parameters\.Key must be a string, not None"),
        (_S3, {"Bucket": "b", "Key.$": "key"}, r"Key\.\$ must be a path"),
        (_GROUP, {"ModelPackageGroupName": "a b"}, "does not match"),
        (_GROUP, {"ModelPackageGroupName": "x" * 64}, "64 characters; at most 63"),
        (_GROUP, {"ModelPackageGroupName": "x", "Tags": {}}, "Tags must be a list"),
        (_PACKAGE, {"ModelApprovalStatus": "Fine"}, "none of Approved"),
        (_PACKAGE, {"CustomerMetadataProperties": {"a": 1}}, r"Properties\.a must be a string"),
        ("arn:aws:states:::aws-sdk:s3:fetchObject", {}, "no such API"),
        ("arn:aws:states:::aws-sdk:s4:getObject", {}, "no such API"),
        ("arn:aws:lambda:eu-west-1:1:function:f", {}, "no service integration"),
        (_S3 + ".sync", {"Bucket": "b", "Key": "k"}, "cannot wait"),
    ],
)
def test_a_call_that_the_service_would_refuse_is_named(
    resource: str, parameters: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InputError, match=f"state 'Tell': .*{problem}"):
        _check(resource, parameters)
