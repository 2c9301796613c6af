"""A request, as boto3 writes it, is known by service and operation."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest

from infra.local.operations import Call, Request, identify, needs_body

REGION = "ap-northeast-2"
B: dict[str, Any] = {"Bucket": "a-bucket"}
K: dict[str, Any] = {**B, "Key": "day=1/a b"}
CASES: list[tuple[str, str, dict[str, Any], str]] = [
    ("s3", "list_buckets", {}, "s3.ListBuckets"),
    ("s3", "create_bucket", B, "s3.CreateBucket"),
    ("s3", "list_objects", B, "s3.ListObjects"),
    ("s3", "list_objects_v2", B, "s3.ListObjectsV2"),
    ("s3", "put_object", K, "s3.PutObject"),
    ("s3", "get_object", K, "s3.GetObject"),
    ("s3", "head_object", K, "s3.HeadObject"),
    ("s3", "copy_object", {**K, "CopySource": "a/b"}, "s3.CopyObject"),
    ("s3", "upload_part", {**K, "UploadId": "u", "PartNumber": 1}, "s3.UploadPart"),
    ("s3", "complete_multipart_upload", {**K, "UploadId": "u"}, "s3.CompleteMultipartUpload"),
    ("s3", "put_object_tagging", {**K, "Tagging": {"TagSet": []}}, "s3.PutObjectTagging"),
    ("s3", "delete_objects", {**B, "Delete": {"Objects": []}}, "s3.DeleteObjects"),
    (
        "s3",
        "put_bucket_notification_configuration",
        {**B, "NotificationConfiguration": {}},
        "s3.PutBucketNotificationConfiguration",
    ),
    (
        "s3",
        "put_bucket_lifecycle_configuration",
        {**B, "LifecycleConfiguration": {"Rules": []}},
        "s3.PutBucketLifecycleConfiguration",
    ),
    ("lambda", "list_functions", {}, "lambda.ListFunctions"),
    ("lambda", "invoke", {"FunctionName": "f"}, "lambda.Invoke"),
    ("lambda", "get_function", {"FunctionName": "f"}, "lambda.GetFunction"),
    ("lambda", "get_policy", {"FunctionName": "f"}, "lambda.GetPolicy"),
    ("scheduler", "get_schedule", {"Name": "x"}, "scheduler.GetSchedule"),
    ("batch", "describe_job_queues", {}, "batch.DescribeJobQueues"),
    ("sts", "get_caller_identity", {}, "sts.GetCallerIdentity"),
    ("ec2", "describe_vpcs", {}, "ec2.DescribeVpcs"),
    ("stepfunctions", "list_state_machines", {}, "states.ListStateMachines"),
    ("cloudwatch", "list_metrics", {}, "cloudwatch.ListMetrics"),
    ("athena", "list_work_groups", {}, "athena.ListWorkGroups"),
]


class _Sent(Exception):
    def __init__(self, request: AWSPreparedRequest) -> None:
        self.request = request


def written(service: str, method: str, arguments: dict[str, Any]) -> tuple[Request, bytes]:
    """What boto3 would send."""
    client = boto3.client(
        service,
        endpoint_url="http://127.0.0.1:1",
        region_name=REGION,
        aws_access_key_id="KEY",
        aws_secret_access_key="secret",
    )

    def stop(request: AWSPreparedRequest, **_: Any) -> None:
        raise _Sent(request)

    client.meta.events.register("before-send", stop)
    with pytest.raises(_Sent) as sent:
        getattr(client, method)(**arguments)
    return read(sent.value.request)


def read(request: AWSPreparedRequest) -> tuple[Request, bytes]:
    url = urlsplit(request.url)
    headers = {
        name.lower(): value.decode() if isinstance(value, bytes) else value
        for name, value in request.headers.items()
    }
    body = request.body or b""
    text = body.encode() if isinstance(body, str) else body
    return Request(request.method, url.path, url.query, headers), bytes(text)


@pytest.mark.parametrize(("service", "method", "arguments", "name"), CASES)
def test_an_operation_is_known_by_its_request(
    service: str, method: str, arguments: dict[str, Any], name: str
) -> None:
    request, body = written(service, method, arguments)
    call = identify(request, body if needs_body(request) else b"")
    assert (call.name, call.access_key, call.region) == (name, "KEY", REGION)


def test_a_presigned_url_names_its_key_in_the_query() -> None:
    query = f"X-Amz-Credential=KEY%2F20260101%2F{REGION}%2Fs3%2Faws4_request&X-Amz-Signature=x"
    call = identify(Request("GET", "/bucket/key", query, {}))
    assert call == Call("s3", "GetObject", "rest-xml", "KEY", REGION)


@pytest.mark.parametrize("host", ["bucket.localhost:4599", f"b.s3.{REGION}.localhost"])
def test_a_bucket_in_the_host_is_a_bucket_in_the_path(host: str) -> None:
    assert identify(Request("GET", "/key", "", {"host": host})).operation == "GetObject"
    assert identify(Request("GET", "/", "list-type=2", {"host": host})).operation == "ListObjectsV2"


def test_what_no_model_knows_is_named_by_its_path() -> None:
    headers = {"authorization": f"AWS4-HMAC-SHA256 Credential=K/20260101/{REGION}/x/aws4_request"}
    assert identify(Request("POST", "/v1/thing", "", headers)).name == "x.POST /v1/thing"
