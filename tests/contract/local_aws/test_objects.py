"""S3, as the platform leans on it."""

from __future__ import annotations

import io
import json
import os
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from infra.local.settings import REGION
from tests.local_aws import make_bucket, make_role, unique

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws
    from tests.conftest import Clients

PART = 5 * 1024 * 1024


@pytest.fixture(scope="module")
def bucket(aws: Clients) -> str:
    return make_bucket(aws)


def test_an_object_comes_back_with_its_metadata(aws: Clients, bucket: str) -> None:
    s3, key = aws("s3"), unique("day=2018-08-08/a b+ü=1")
    put = s3.put_object(Bucket=bucket, Key=key, Body=b"body", Metadata={"run": "1"})
    got = s3.get_object(Bucket=bucket, Key=key)
    head = s3.head_object(Bucket=bucket, Key=key)
    assert got["Body"].read() == b"body"
    assert head["Metadata"] == {"run": "1"}
    assert put["ETag"] == got["ETag"] == head["ETag"]


def test_a_key_that_is_not_there_is_said_so(aws: Clients, bucket: str) -> None:
    with pytest.raises(aws("s3").exceptions.NoSuchKey):
        aws("s3").get_object(Bucket=bucket, Key="nothing")
    with pytest.raises(ClientError) as missing:
        aws("s3").head_object(Bucket=bucket, Key="nothing")
    assert missing.value.response["Error"]["Code"] == "404"


def test_ranges_are_read_without_the_rest(aws: Clients, bucket: str) -> None:
    s3, body = aws("s3"), os.urandom(1_000_000)
    s3.put_object(Bucket=bucket, Key="ranged", Body=body)

    def read(text: str) -> bytes:
        got = s3.get_object(Bucket=bucket, Key="ranged", Range=f"bytes={text}")
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
        return bytes(got["Body"].read())

    assert read("0-9") == body[:10]
    assert read("999990-") == body[-10:]
    assert read("-7") == body[-7:]
    assert read("500000-2000000") == body[500_000:]
    with pytest.raises(ClientError, match="InvalidRange"):
        read("1000000-")


def test_many_readers_get_their_own_ranges(aws: Clients, bucket: str) -> None:
    s3, body = aws("s3"), os.urandom(8 * 1024 * 1024)
    s3.put_object(Bucket=bucket, Key="shared", Body=body)

    def matches(part: int) -> bool:
        start, end = part * 100_003, part * 100_003 + 65_536
        got = s3.get_object(Bucket=bucket, Key="shared", Range=f"bytes={start}-{end - 1}")
        return bool(got["Body"].read() == body[start:end])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(matches, range(80)))


def test_of_many_that_create_a_key_one_wins(aws: Clients, bucket: str) -> None:
    s3 = aws("s3")

    def create(writer: int) -> bool:
        try:
            s3.put_object(Bucket=bucket, Key="once", Body=str(writer), IfNoneMatch="*")
        except ClientError as exc:
            if exc.response["Error"]["Code"] != "PreconditionFailed":
                raise
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(16))) == 1


def test_of_many_that_replace_a_version_one_wins(aws: Clients, bucket: str) -> None:
    s3 = aws("s3")
    etag = s3.put_object(Bucket=bucket, Key="turn", Body=b"0")["ETag"]

    def replace(writer: int) -> bool:
        try:
            s3.put_object(Bucket=bucket, Key="turn", Body=f"{writer}", IfMatch=etag)
        except ClientError as exc:
            if exc.response["Error"]["Code"] != "PreconditionFailed":
                raise
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(replace, range(1, 17))) == 1


def test_large_files_go_up_in_parts_and_come_back_whole(aws: Clients, bucket: str) -> None:
    s3, body = aws("s3"), os.urandom(3 * PART)
    parts = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)
    s3.upload_fileobj(io.BytesIO(body), bucket, "parts", Config=parts)
    s3.copy({"Bucket": bucket, "Key": "parts"}, bucket, "copied", Config=parts)
    for key in ("parts", "copied"):
        got = io.BytesIO()
        s3.download_fileobj(bucket, key, got, Config=parts)
        assert got.getvalue() == body


def test_an_upload_in_parts_that_is_given_up_leaves_nothing(aws: Clients, bucket: str) -> None:
    s3 = aws("s3")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="given-up")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="given-up", UploadId=upload, PartNumber=1, Body=b"x")
    s3.abort_multipart_upload(Bucket=bucket, Key="given-up", UploadId=upload)
    with pytest.raises(s3.exceptions.NoSuchUpload):
        s3.complete_multipart_upload(Bucket=bucket, Key="given-up", UploadId=upload)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket, Prefix="given-up")


def test_parts_by_hand_are_put_together_in_order(aws: Clients, bucket: str) -> None:
    s3 = aws("s3")
    s3.put_object(Bucket=bucket, Key="source", Body=b"a" * PART)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="whole")["UploadId"]
    first = s3.upload_part_copy(
        Bucket=bucket,
        Key="whole",
        UploadId=upload,
        PartNumber=1,
        CopySource={"Bucket": bucket, "Key": "source"},
    )["CopyPartResult"]["ETag"]
    last = s3.upload_part(Bucket=bucket, Key="whole", UploadId=upload, PartNumber=2, Body=b"z")
    parts = [{"PartNumber": 1, "ETag": first}, {"PartNumber": 2, "ETag": last["ETag"]}]
    s3.complete_multipart_upload(
        Bucket=bucket, Key="whole", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    assert s3.get_object(Bucket=bucket, Key="whole")["Body"].read() == b"a" * PART + b"z"


def test_listing_pages_in_order_and_folds_folders(aws: Clients) -> None:
    s3, bucket = aws("s3"), make_bucket(aws)
    keys = [f"t/day={day:02}/f" for day in range(25)] + ["u"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, PaginationConfig={"PageSize": 7}
    )
    assert [entry["Key"] for page in pages for entry in page["Contents"]] == keys
    folded = s3.list_objects_v2(Bucket=bucket, Prefix="t/", Delimiter="/")
    assert len(folded["CommonPrefixes"]) == 25
    assert [entry["Key"] for entry in s3.list_objects(Bucket=bucket, Prefix="u")["Contents"]] == [
        "u"
    ]


def test_deleting_deletes_and_deleting_nothing_is_no_error(aws: Clients) -> None:
    s3, bucket = aws("s3"), make_bucket(aws)
    for key in ("a", "b", "c"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    s3.delete_object(Bucket=bucket, Key="a")
    s3.delete_object(Bucket=bucket, Key="a")
    answer = s3.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": "b"}, {"Key": "c"}, {"Key": "d"}]}
    )
    assert len(answer["Deleted"]) == 3
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    s3.delete_bucket(Bucket=bucket)
    with pytest.raises(ClientError) as missing:
        s3.head_bucket(Bucket=bucket)
    assert missing.value.response["Error"]["Code"] == "404"


def test_presigned_urls_read_and_write_without_keys(aws: Clients, bucket: str) -> None:
    s3 = aws("s3")
    put = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "signed"})
    request = urllib.request.Request(put, data=b"by url", method="PUT")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200
    get = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "signed"})
    with urllib.request.urlopen(get) as answer:
        assert answer.read() == b"by url"
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        urllib.request.urlopen(get.replace("signed?", "once?"))
    refused.value.close()


def test_a_bucket_may_stand_in_the_host_name(
    aws: Clients, local_aws: LocalAws, bucket: str
) -> None:
    aws("s3").put_object(Bucket=bucket, Key="hosted", Body=b"by host")
    scope = f"Credential=LOCALADMIN/20260101/{REGION}/s3/aws4_request"
    for host in (f"{bucket}.localhost", f"{bucket}.s3.{REGION}.localhost"):
        request = urllib.request.Request(
            f"{local_aws.endpoint}/hosted",
            headers={"Host": host, "Authorization": f"AWS4-HMAC-SHA256 {scope}"},
        )
        with urllib.request.urlopen(request) as answer:
            assert answer.read() == b"by host"


def test_a_bucket_keeps_what_it_is_told(aws: Clients) -> None:
    s3, bucket = aws("s3"), make_bucket(aws)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_encryption(
        Bucket=bucket,
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
        },
    )
    closed = dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=closed)
    rule = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 7}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "pii", "Value": "yes"}]})
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": f"arn:aws:s3:::{bucket}/*",
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))

    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    encryption = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    assert encryption["Rules"][0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    access = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert access == closed
    kept = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert kept[0]["Expiration"] == {"Days": 7}
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "pii", "Value": "yes"}]
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"]) == policy
    s3.delete_bucket_policy(Bucket=bucket)
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] == REGION
    assert bucket in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]


def test_versions_of_an_object_stay_readable(aws: Clients) -> None:
    s3, bucket = aws("s3"), make_bucket(aws)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first, second = (
        s3.put_object(Bucket=bucket, Key="k", Body=body)["VersionId"] for body in (b"1", b"2")
    )
    marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=bucket, Key="k")
    assert s3.get_object(Bucket=bucket, Key="k", VersionId=first)["Body"].read() == b"1"
    assert len(s3.list_object_versions(Bucket=bucket)["Versions"]) == 2
    s3.delete_object(Bucket=bucket, Key="k", VersionId=marker)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"2"
    s3.delete_object(Bucket=bucket, Key="k", VersionId=second)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"1"


def test_objects_carry_tags(aws: Clients, bucket: str) -> None:
    s3 = aws("s3")
    s3.put_object(Bucket=bucket, Key="tagged", Body=b"")
    tags = {"TagSet": [{"Key": "run", "Value": "1"}]}
    s3.put_object_tagging(Bucket=bucket, Key="tagged", Tagging=tags)
    assert s3.get_object_tagging(Bucket=bucket, Key="tagged")["TagSet"] == tags["TagSet"]
    s3.delete_object_tagging(Bucket=bucket, Key="tagged")
    assert s3.get_object_tagging(Bucket=bucket, Key="tagged")["TagSet"] == []


def test_a_copy_keeps_body_and_metadata(aws: Clients, bucket: str) -> None:
    s3 = aws("s3")
    s3.put_object(Bucket=bucket, Key="from", Body=b"x", Metadata={"a": "b"})
    s3.copy_object(Bucket=bucket, Key="to", CopySource={"Bucket": bucket, "Key": "from"})
    assert s3.get_object(Bucket=bucket, Key="to")["Metadata"] == {"a": "b"}


def test_a_role_signs_urls_too(aws: Clients, local_aws: LocalAws, bucket: str) -> None:
    from tests.contract.local_aws.test_identity import as_role

    s3 = as_role(local_aws, make_role(aws)).client("s3", endpoint_url=local_aws.endpoint)
    aws("s3").put_object(Bucket=bucket, Key="roles", Body=b"role")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "roles"})
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"role"
