"""Models, configurations and endpoints as the local AWS has them, and what it refuses by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from mlops.names import Names
from pipelines.training.archive import archive
from tests.approvals import model_version, register_package
from tests.local_aws import TRUST, eventually, unique

if TYPE_CHECKING:
    from tests.conftest import Clients

NAMES = Names(project="hosted", env="local", account="000000000000", region="ap-northeast-2")


@pytest.fixture(scope="module")
def role(aws: Clients) -> str:
    trust = TRUST.replace("states.amazonaws.com", "sagemaker.amazonaws.com")
    made = aws("iam").create_role(RoleName=unique("hosting"), AssumeRolePolicyDocument=trust)
    return str(made["Role"]["Arn"])


@pytest.fixture(scope="module")
def package(aws: Clients) -> str:
    """Approved, with an archive that holds no model of ours."""
    where = {"LocationConstraint": NAMES.region}
    aws("s3").create_bucket(Bucket=NAMES.artifact_bucket, CreateBucketConfiguration=where)
    body = archive({"readme": b"no model"})
    key = "models/fraud/run-1/model.tar.gz"
    aws("s3").put_object(Bucket=NAMES.artifact_bucket, Key=key, Body=body)
    prefix = f"s3://{NAMES.artifact_bucket}/models/fraud/run-1/"
    arn = register_package(aws("sagemaker"), NAMES, model_version(1, model_prefix=prefix))
    aws("sagemaker").update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    return arn


def make_model(aws: Clients, name: str, package: str, role: str, **more: Any) -> None:
    container = {"ModelPackageName": package}
    aws("sagemaker").create_model(
        ModelName=name, ExecutionRoleArn=role, PrimaryContainer=container, **more
    )


def variant(model: str, **more: Any) -> dict[str, Any]:
    return {
        "VariantName": "serving",
        "ModelName": model,
        "InstanceType": "ml.c6i.large",
        "InitialInstanceCount": 1,
        **more,
    }


def test_a_package_that_nobody_approved_is_no_model(aws: Clients, package: str, role: str) -> None:
    waits = register_package(aws("sagemaker"), NAMES, model_version(2))
    with pytest.raises(ClientError, match="PendingManualApproval and cannot be deployed"):
        make_model(aws, unique("model"), waits, role)


def test_a_name_is_given_once_and_what_is_not_there_is_named(
    aws: Clients, package: str, role: str
) -> None:
    name = unique("model")
    make_model(aws, name, package, role)
    with pytest.raises(ClientError, match="Cannot create already existing model"):
        make_model(aws, name, package, role)
    with pytest.raises(ClientError, match="Could not find endpoint"):
        aws("sagemaker").describe_endpoint(EndpointName="nobody")
    with pytest.raises(ClientError, match="Could not find model"):
        aws("sagemaker").create_endpoint_config(
            EndpointConfigName=unique("config"), ProductionVariants=[variant("nobody")]
        )


def test_what_is_not_run_here_is_refused_by_name(aws: Clients, package: str, role: str) -> None:
    name = unique("model")
    make_model(aws, name, package, role)
    with pytest.raises(ClientError, match="ShadowProductionVariants: the local AWS runs no shadow"):
        aws("sagemaker").create_endpoint_config(
            EndpointConfigName=unique("config"),
            ProductionVariants=[variant(name)],
            ShadowProductionVariants=[variant(name) | {"VariantName": "shadow"}],
        )


def test_an_endpoint_whose_container_does_not_answer_fails_and_says_why(
    aws: Clients, package: str, role: str
) -> None:
    client, name = aws("sagemaker"), unique("silent")
    make_model(aws, name, package, role)
    client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant(name)])
    client.create_endpoint(EndpointName=name, EndpointConfigName=name)

    def failed() -> Any:
        found = client.describe_endpoint(EndpointName=name)
        assert found["EndpointStatus"] in {"Creating", "Failed"}
        return found if found["EndpointStatus"] == "Failed" else None

    ended = eventually(failed, what="it")
    assert "did not pass the ping health check" in ended["FailureReason"]
    client.delete_endpoint(EndpointName=name)
