"""The stream of what was served and pushed, on its way to the offline store."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_kinesis as kinesis
from constructs import Construct

from infra.stacks.bucket import removal
from infra.stacks.profile import Profile
from mlops.names import Names


def add_stream(scope: Construct, names: Names, profile: Profile) -> None:
    """Encrypted with AWS's own key; keeps what no consumer took for a while."""
    kinesis.Stream(
        scope,
        "Downsync",
        stream_name=names.downsync_stream,
        stream_mode=_mode(profile),
        shard_count=profile.stream_shards,
        retention_period=cdk.Duration.hours(profile.stream_hours),
        encryption=kinesis.StreamEncryption.MANAGED,
        removal_policy=removal(profile),
    )


def _mode(profile: Profile) -> kinesis.StreamMode:
    on_demand = profile.stream_shards is None
    return kinesis.StreamMode.ON_DEMAND if on_demand else kinesis.StreamMode.PROVISIONED
