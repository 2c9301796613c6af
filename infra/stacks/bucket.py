"""A bucket as every bucket of the platform is: encrypted, private, TLS only."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.stacks.profile import Profile


def private_bucket(
    scope: Construct,
    name: str,
    *,
    bucket_name: str,
    profile: Profile,
    versioned: bool = True,
    expire_days: int | None = None,
    daily: Sequence[str] = (),
) -> s3.Bucket:
    """Owned objects only, no public access, TLS 1.2, and lifecycle rules against leftovers.

    daily: prefixes of what is of no use a day later.
    """
    return s3.Bucket(
        scope,
        name,
        bucket_name=bucket_name,
        encryption=s3.BucketEncryption.S3_MANAGED,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        enforce_ssl=True,
        minimum_tls_version=1.2,
        versioned=versioned,
        lifecycle_rules=[
            *_lifecycle(profile, versioned=versioned, expire_days=expire_days),
            *(_daily(prefix) for prefix in daily),
        ],
        removal_policy=removal(profile),
    )


def removal(profile: Profile) -> cdk.RemovalPolicy:
    """Kept data survives its stack, but not a first deployment that failed."""
    if profile.keep_data:
        return cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
    return cdk.RemovalPolicy.DESTROY


def _lifecycle(
    profile: Profile, *, versioned: bool, expire_days: int | None
) -> Sequence[s3.LifecycleRule]:
    rules = [
        s3.LifecycleRule(
            id="abandoned-uploads", abort_incomplete_multipart_upload_after=cdk.Duration.days(7)
        )
    ]
    if versioned:
        kept = cdk.Duration.days(profile.noncurrent_days)
        rules.append(s3.LifecycleRule(id="noncurrent-versions", noncurrent_version_expiration=kept))
    if expire_days is not None:
        rules.append(s3.LifecycleRule(id="expire", expiration=cdk.Duration.days(expire_days)))
    return rules


def _daily(prefix: str) -> s3.LifecycleRule:
    day = cdk.Duration.days(1)
    return s3.LifecycleRule(
        id=prefix.rstrip("/"), prefix=prefix, expiration=day, noncurrent_version_expiration=day
    )
