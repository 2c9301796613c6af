"""Opening the bucket that a deployment's address names."""

from __future__ import annotations

from collections.abc import Callable

from mlops.aws import Aws
from mlops.errors import InputError
from mlops.objects import Documents, S3Documents

OpenBucket = Callable[[str], Documents]


def open_s3_bucket(aws: Aws) -> OpenBucket:
    return lambda bucket: S3Documents(aws, bucket)


def split_prefix(address: str) -> tuple[str, str]:
    """('bucket', 'a/b/') of 's3://bucket/a/b/'. Raises InputError for anything else."""
    bucket, slash, prefix = address.removeprefix("s3://").partition("/")
    if not address.startswith("s3://") or not bucket or not slash:
        raise InputError(f"'{address}' is no address such as s3://bucket/models/fraud/run/.")
    return bucket, prefix if prefix.endswith("/") or not prefix else prefix + "/"
