"""The model registry: versions, metadata, filters, who changed what, and its events."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.local import lifecycle
from tests.conftest import Clients
from tests.contract.sagemaker_requests import Studio, until

_GROUPS = count(1)
STATISTICS = {"ContentType": "application/json", "S3Uri": "s3://bucket/metrics.json"}
INFERENCE = {
    "Containers": [{"Image": "image", "ModelDataUrl": "s3://bucket/model.tar.gz"}],
    "SupportedContentTypes": ["application/json"],
    "SupportedResponseMIMETypes": ["application/json"],
}


@pytest.fixture(scope="module")
def sagemaker(aws: Clients) -> Any:
    return aws("sagemaker")


@pytest.fixture
def group(sagemaker: Any) -> str:
    name = f"registry-{next(_GROUPS)}"
    sagemaker.create_model_package_group(
        ModelPackageGroupName=name, ModelPackageGroupDescription="scores payments"
    )
    return name


def register(sagemaker: Any, group: str, **others: Any) -> str:
    """A new version; its ARN."""
    arn: str = sagemaker.create_model_package(
        **{
            "ModelPackageGroupName": group,
            "InferenceSpecification": INFERENCE,
            "ModelMetrics": {"ModelQuality": {"Statistics": STATISTICS}},
            "CustomerMetadataProperties": {"metric_auc": "0.87", "trained_by": "a role"},
        }
        | others
    )["ModelPackageArn"]
    return arn


def described(sagemaker: Any, arn: str) -> dict[str, Any]:
    answer: dict[str, Any] = sagemaker.describe_model_package(ModelPackageName=arn)
    return answer


def test_versions_count_up_in_their_group(sagemaker: Any, group: str) -> None:
    first, second = register(sagemaker, group), register(sagemaker, group)
    assert [arn.rpartition("/")[2] for arn in (first, second)] == ["1", "2"]
    answer = described(sagemaker, second)
    assert (answer["ModelPackageGroupName"], answer["ModelPackageVersion"]) == (group, 2)
    assert answer["ModelApprovalStatus"] == "PendingManualApproval"
    assert answer["ModelPackageStatus"] == "Completed"


def test_a_number_is_never_used_again(sagemaker: Any, group: str) -> None:
    register(sagemaker, group)
    second = register(sagemaker, group)
    sagemaker.delete_model_package(ModelPackageName=second)
    assert register(sagemaker, group).endswith("/3")
    with pytest.raises(ClientError, match=r"ModelPackage .*/2 does not exist"):
        described(sagemaker, second)


def test_what_was_registered_comes_back(sagemaker: Any, group: str) -> None:
    answer = described(sagemaker, register(sagemaker, group))
    assert answer["ModelMetrics"]["ModelQuality"]["Statistics"] == STATISTICS
    assert answer["InferenceSpecification"] == INFERENCE


def test_approval_keeps_the_metadata(sagemaker: Any, group: str) -> None:
    arn = register(sagemaker, group)
    sagemaker.update_model_package(
        ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="better"
    )
    answer = described(sagemaker, arn)
    assert (answer["ModelApprovalStatus"], answer["ApprovalDescription"]) == ("Approved", "better")
    assert answer["CustomerMetadataProperties"]["metric_auc"] == "0.87"


def test_metadata_is_merged_and_keeps_the_approval(sagemaker: Any, group: str) -> None:
    arn = register(sagemaker, group, ModelApprovalStatus="Approved")
    sagemaker.update_model_package(
        ModelPackageArn=arn,
        CustomerMetadataProperties={"deployed": "yes"},
        CustomerMetadataPropertiesToRemove=["trained_by"],
    )
    answer = described(sagemaker, arn)
    assert answer["ModelApprovalStatus"] == "Approved"
    assert answer["CustomerMetadataProperties"] == {"metric_auc": "0.87", "deployed": "yes"}


def test_who_created_and_who_changed_is_known(sagemaker: Any, aws: Clients, group: str) -> None:
    studio = Studio(aws)
    role = studio.make_role(f"approver-of-{group}", "lambda")
    keys = studio.sts.assume_role(RoleArn=role, RoleSessionName="kim")["Credentials"]
    import boto3

    approver = boto3.client(
        "sagemaker",
        endpoint_url=sagemaker.meta.endpoint_url,
        region_name=sagemaker.meta.region_name,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    arn = register(sagemaker, group)
    approver.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Rejected")
    answer = described(sagemaker, arn)
    assert answer["CreatedBy"]["IamIdentity"]["Arn"] == "arn:aws:iam::000000000000:root"
    changed_by = answer["LastModifiedBy"]["IamIdentity"]["Arn"]
    assert changed_by.endswith(f":assumed-role/approver-of-{group}/kim")


def test_a_group_lists_its_versions_newest_first(sagemaker: Any, group: str) -> None:
    arns = [register(sagemaker, group) for _ in range(3)]
    answer = sagemaker.list_model_packages(ModelPackageGroupName=group)
    listed = [package["ModelPackageArn"] for package in answer["ModelPackageSummaryList"]]
    assert listed == arns[::-1]


def test_versions_are_listed_by_status_and_page_by_page(sagemaker: Any, group: str) -> None:
    arns = [register(sagemaker, group) for _ in range(5)]
    for arn in arns[1:4]:
        sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    pages = sagemaker.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group,
        ModelApprovalStatus="Approved",
        SortOrder="Ascending",
        PaginationConfig={"PageSize": 2},
    )
    sizes, listed = [], []
    for page in pages:
        sizes.append(len(page["ModelPackageSummaryList"]))
        listed += [package["ModelPackageArn"] for package in page["ModelPackageSummaryList"]]
    assert (sizes, listed) == ([2, 1], arns[1:4])


def test_groups_are_found_by_name_and_have_no_double(sagemaker: Any, group: str) -> None:
    answer = sagemaker.list_model_package_groups(NameContains=group.upper())
    (found,) = answer["ModelPackageGroupSummaryList"]
    assert found["ModelPackageGroupDescription"] == "scores payments"
    with pytest.raises(ClientError, match="already exists"):
        sagemaker.create_model_package_group(ModelPackageGroupName=group)


def test_only_an_empty_group_is_deleted(sagemaker: Any, group: str) -> None:
    arn = register(sagemaker, group)
    with pytest.raises(sagemaker.exceptions.ConflictException, match="still contains"):
        sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    sagemaker.delete_model_package(ModelPackageName=arn)
    sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    with pytest.raises(ClientError, match=f"model-package-group/{group} does not exist"):
        sagemaker.describe_model_package_group(ModelPackageGroupName=group)


def test_a_version_needs_its_group(sagemaker: Any) -> None:
    with pytest.raises(ClientError, match="model-package-group/nowhere does not exist"):
        register(sagemaker, "nowhere")


def test_the_same_token_registers_once(sagemaker: Any, group: str) -> None:
    arns = {register(sagemaker, group, ClientToken="one-execution") for _ in range(2)}
    assert len(arns) == 1


def test_metadata_beyond_the_limits_of_aws_is_refused(sagemaker: Any, group: str) -> None:
    with pytest.raises(ClientError, match="Member must have length less than or equal to 256"):
        register(sagemaker, group, CustomerMetadataProperties={"note": "x" * 300})


def test_every_change_is_an_event_that_says_what_changed(
    sagemaker: Any, aws: Clients, group: str
) -> None:
    queue = listen(aws, group)
    arn = register(sagemaker, group)
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    sagemaker.update_model_package(
        ModelPackageArn=arn, CustomerMetadataProperties={"deployed": "yes"}
    )
    created, approved, stamped = received(aws, queue, 3)
    assert created["detail"]["ModelApprovalStatus"] == "PendingManualApproval"
    assert "UpdatedModelPackageFields" not in created["detail"]
    assert approved["source"] == "aws.sagemaker"
    assert approved["resources"] == [arn]
    assert approved["detail"]["ModelPackageVersion"] == 1
    assert approved["detail"]["UpdatedModelPackageFields"] == ["ModelApprovalStatus"]
    # Like AWS: metadata written to an approved version says Approved once more.
    assert stamped["detail"]["ModelApprovalStatus"] == "Approved"
    assert stamped["detail"]["UpdatedModelPackageFields"] == ["CustomerMetadataProperties"]


def test_the_registry_survives_a_restart(tmp_path: Path) -> None:
    with lifecycle.start(tmp_path) as running:
        sagemaker = running.client("sagemaker")
        sagemaker.create_model_package_group(ModelPackageGroupName="kept")
        arn = register(sagemaker, "kept")
        sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
        before = described(sagemaker, arn)
    with lifecycle.start(tmp_path) as restarted:
        sagemaker = restarted.client("sagemaker")
        after = described(sagemaker, arn)
        assert register(sagemaker, "kept").endswith("/2")
    assert {**after, "ResponseMetadata": None} == {**before, "ResponseMetadata": None}


def listen(aws: Clients, group: str) -> str:
    """A queue that gets the group's events."""
    sqs, events = aws("sqs"), aws("events")
    queue: str = sqs.create_queue(QueueName=f"events-of-{group}")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Model Package State Change"],
        "detail": {"ModelPackageGroupName": [group]},
    }
    events.put_rule(Name=f"rule-{group}", EventPattern=json.dumps(pattern))
    target = {"Id": "queue", "Arn": attributes["Attributes"]["QueueArn"]}
    events.put_targets(Rule=f"rule-{group}", Targets=[target])
    return queue


def received(aws: Clients, queue: str, number: int) -> list[dict[str, Any]]:
    """That many events of a queue, in order of their detail's last change."""
    events: list[dict[str, Any]] = []

    def all_there() -> bool:
        answer = aws("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        events.extend(json.loads(message["Body"]) for message in answer.get("Messages", []))
        return len(events) >= number

    until(all_there)
    return sorted(events, key=lambda event: event["detail"].get("LastModifiedTime", ""))
