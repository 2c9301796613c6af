"""Who spoke to whom in the private network, for as long as logs are kept."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam

from infra.stacks.bucket import private_bucket
from infra.stacks.network import Network
from infra.stacks.profile import Profile
from mlops.names import Names


class Flows(cdk.Stack):
    """The network's flow log and the bucket it is written to."""

    def __init__(
        self,
        scope: cdk.App,
        name: str,
        *,
        names: Names,
        profile: Profile,
        network: Network,
        env: cdk.Environment,
    ) -> None:
        super().__init__(scope, name, env=env, description="Flow log of the private network")
        bucket = private_bucket(
            self,
            "Flows",
            bucket_name=names.bucket("flows"),
            profile=profile,
            versioned=False,
            expire_days=profile.log_days,
        )
        for statement in _delivered(bucket.bucket_arn, names):
            bucket.add_to_resource_policy(statement)
        log = ec2.CfnFlowLog(
            self,
            "Log",
            resource_id=network.vpc,
            resource_type="VPC",
            traffic_type="ALL",
            log_destination_type="s3",
            log_destination=bucket.bucket_arn,
            max_aggregation_interval=600,
        )
        assert bucket.policy is not None
        log.node.add_dependency(bucket.policy)


def _delivered(bucket: str, names: Names) -> list[iam.PolicyStatement]:
    """What the delivery of logs needs; without it, it would write the policy itself."""
    source = {
        "StringEquals": {"aws:SourceAccount": names.account},
        "ArnLike": {"aws:SourceArn": f"arn:aws:logs:{names.region}:{names.account}:*"},
    }
    delivery = iam.ServicePrincipal("delivery.logs.amazonaws.com")
    return [
        iam.PolicyStatement(
            sid="DeliverFlows",
            principals=[delivery],
            actions=["s3:PutObject"],
            resources=[f"{bucket}/AWSLogs/{names.account}/*"],
            conditions=source,
        ),
        iam.PolicyStatement(
            sid="LookForFlows",
            principals=[delivery],
            actions=["s3:GetBucketAcl", "s3:ListBucket"],
            resources=[bucket],
            conditions=source,
        ),
    ]
