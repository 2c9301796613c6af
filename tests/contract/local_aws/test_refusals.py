"""What the local AWS refuses, in each service's own terms."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from infra.local.settings import REGION
from tests.local_aws import unique

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws
    from tests.conftest import Clients

UNLISTED: list[tuple[str, str, dict[str, Any], str]] = [
    # service, method, arguments, the name in the message; one of every protocol
    ("sagemaker", "list_endpoints", {}, "sagemaker.ListEndpoints"),
    ("dynamodb", "list_backups", {}, "dynamodb.ListBackups"),
    ("iam", "create_user", {"UserName": "x"}, "iam.CreateUser"),
    ("ec2", "describe_vpcs", {}, "ec2.DescribeVpcs"),
    (
        "batch",
        "submit_service_job",
        {
            "jobName": "x",
            "jobQueue": "x",
            "serviceRequestPayload": "{}",
            "serviceJobType": "SAGEMAKER_TRAINING",
        },
        "batch.SubmitServiceJob",
    ),
    ("ecs", "run_task", {"taskDefinition": "x"}, "ecs.RunTask"),
    ("s3", "get_bucket_website", {"Bucket": "xyz"}, "s3.GetBucketWebsite"),
    ("cloudwatch", "list_dashboards", {}, "cloudwatch.ListDashboards"),
    ("lambda", "list_layers", {}, "lambda.ListLayers"),
    ("firehose", "list_delivery_streams", {}, "firehose.ListDeliveryStreams"),
]


@pytest.mark.parametrize(("service", "method", "arguments", "name"), UNLISTED)
def test_an_unlisted_operation_is_refused_by_name(
    aws: Clients, service: str, method: str, arguments: dict[str, Any], name: str
) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(aws(service), method)(**arguments)
    assert refused.value.response["Error"]["Code"] == "NotImplemented"
    assert f"does not answer {name}." in refused.value.response["Error"]["Message"]
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_the_cbor_protocol_reads_its_refusal(local_aws: LocalAws) -> None:
    scope = f"20260101/{REGION}/monitoring/aws4_request"
    request = urllib.request.Request(
        f"{local_aws.endpoint}/service/GraniteServiceVersion20100801/operation/ListDashboards",
        data=b"\xa0",
        headers={
            "smithy-protocol": "rpc-v2-cbor",
            "Authorization": f"AWS4-HMAC-SHA256 Credential=x/{scope}",
        },
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    with refused.value as answer:
        assert answer.status == 501
        assert answer.headers["smithy-protocol"] == "rpc-v2-cbor"
        assert b"does not answer cloudwatch.ListDashboards." in answer.read()


def test_events_in_the_name_of_aws_are_refused(aws: Clients) -> None:
    answer = aws("events").put_events(
        Entries=[{"Source": "aws.sagemaker", "DetailType": "x", "Detail": "{}"}]
    )
    assert answer["FailedEntryCount"] == 1
    assert answer["Entries"][0]["ErrorCode"] == "NotAuthorizedForSourceException"


def test_a_role_that_does_not_exist_cannot_be_assumed(aws: Clients) -> None:
    arn = f"arn:aws:iam::000000000000:role/{unique('nobody')}"
    with pytest.raises(ClientError) as refused:
        aws("sts").assume_role(RoleArn=arn, RoleSessionName="anyone")
    assert refused.value.response["Error"]["Code"] == "AccessDenied"


def test_a_session_that_never_was_is_refused_for_every_service(local_aws: LocalAws) -> None:
    session = boto3.Session("ASIA0000000000000000", "x", "x", region_name=REGION)
    for service, method in (("sts", "get_caller_identity"), ("s3", "list_buckets")):
        client = session.client(service, endpoint_url=local_aws.endpoint)
        with pytest.raises(ClientError) as refused:
            getattr(client, method)()
        assert refused.value.response["Error"]["Code"] == "ExpiredToken"
