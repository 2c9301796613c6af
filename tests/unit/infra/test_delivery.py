"""CloudFormation's role can do what the resource types that it deploys need."""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from infra.stacks.permissions import grants_of
from mlops.names import Names, Role

NAMES = Names(project="mlops", env="prod", account="123456789012", region="ap-northeast-2")
DEPLOYED = (
    "AWS::Athena::WorkGroup",
    "AWS::DynamoDB::Table",
    "AWS::ElastiCache::ParameterGroup",
    "AWS::ElastiCache::ReplicationGroup",
    "AWS::ElastiCache::SubnetGroup",
    "AWS::Events::Rule",
    "AWS::Glue::Database",
    "AWS::Kinesis::Stream",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::Function",
    "AWS::Lambda::Permission",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::Topic",
    "AWS::SNS::TopicPolicy",
    "AWS::SecretsManager::Secret",
)
SERVICES = (
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::ECR::Repository",
    "AWS::ECS::Cluster",
    "AWS::ECS::Service",
    "AWS::ECS::TaskDefinition",
    "AWS::ElasticLoadBalancingV2::Listener",
    "AWS::ElasticLoadBalancingV2::ListenerRule",
    "AWS::ElasticLoadBalancingV2::LoadBalancer",
    "AWS::ElasticLoadBalancingV2::TargetGroup",
    "AWS::Logs::LogGroup",
    "AWS::SNS::Subscription",
    "AWS::SNS::Topic",
    "AWS::SNS::TopicPolicy",
    "AWS::ServiceDiscovery::HttpNamespace",
)
"""What the role of the services deploys."""
UNUSED = {
    "AWS::ApplicationAutoScaling::ScalableTarget": (
        *("cloudwatch:", "iam:", "lambda:", "application-autoscaling:DeleteScheduledAction"),
        *("application-autoscaling:DescribeScheduledActions",),
        *("application-autoscaling:PutScheduledAction",),
    ),
    "AWS::ECR::Repository": ("kms:", "ecr:DeleteRepositoryPolicy", "ecr:SetRepositoryPolicy"),
    "AWS::ECS::Cluster": (
        *("iam:", "kms:", "ecs:PutAccountSetting", "ecs:PutClusterCapacityProviders"),
    ),
    "AWS::ECS::TaskDefinition": ("iam:GetRole",),
    "AWS::ElasticLoadBalancingV2::Listener": ("cognito-idp:",),
    "AWS::ElasticLoadBalancingV2::ListenerRule": ("cognito-idp:",),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": (
        *("ec2:DescribeIpamPools", "elasticloadbalancing:DescribeCapacityReservation"),
        *("elasticloadbalancing:ModifyCapacityReservation", "elasticloadbalancing:ModifyIpPools"),
        "elasticloadbalancing:SetIpAddressType",
    ),
    "AWS::Athena::WorkGroup": ("kms:", "s3:", "iam:"),
    "AWS::DynamoDB::Table": (
        *("kinesis:", "kms:", "logs:", "s3:", "iam:"),
        *("dynamodb:AssociateTableReplica", "dynamodb:CreateTableReplica"),
        *("dynamodb:BatchWriteItem", "dynamodb:DeleteItem", "dynamodb:GetItem"),
        *("dynamodb:PutItem", "dynamodb:Query", "dynamodb:Scan", "dynamodb:UpdateItem"),
        *("dynamodb:DescribeImport", "dynamodb:ImportTable"),
        *("dynamodb:DisableKinesis", "dynamodb:EnableKinesis", "dynamodb:UpdateKinesis"),
        *("dynamodb:UpdateContributorInsights", "dynamodb:UpdateTimeToLive"),
    ),
    "AWS::ElastiCache::ParameterGroup": ("iam:",),
    "AWS::ElastiCache::ReplicationGroup": (
        *("firehose:", "kms:", "logs:", "s3:", "iam:"),
        *("elasticache:CreateCacheCluster", "elasticache:DeleteCacheCluster"),
    ),
    "AWS::Events::Rule": ("iam:",),
    "AWS::Glue::Database": (
        *("lakeformation:", "glue:PassConnection"),
        *("glue:CreateConnection", "glue:DeleteConnection"),
        *("glue:GetConnection", "glue:UpdateConnection"),
    ),
    "AWS::SNS::Subscription": ("iam:",),
    "AWS::Kinesis::Stream": (
        *("kinesis:DisableEnhancedMonitoring", "kinesis:EnableEnhancedMonitoring"),
        *("kinesis:UpdateStreamWarmThroughput", "kinesis:UpdateMaxRecordSize"),
        *("kinesis:UpdateStreamRecordDistributionStrategy", "kms:", "iam:"),
    ),
    "AWS::Lambda::Function": (
        *("kms:", "elasticfilesystem:", "s3files:", "ec2:DescribeNetworkInterfaces"),
        *("lambda:AssociateRuntimeAlias", "lambda:PassCapacityProvider", "lambda:PublishVersion"),
        *("lambda:DeleteFunctionCodeSigningConfig", "lambda:PutFunctionCodeSigningConfig"),
        *("lambda:DeleteFunctionConcurrency", "lambda:PutFunctionConcurrency"),
        *("lambda:GetCodeSigningConfig", "lambda:GetLayerVersion"),
        *("lambda:GetFunctionScalingConfig", "lambda:PutFunctionScalingConfig"),
        *("lambda:PutFunctionRecursionConfig", "lambda:PutRuntimeManagementConfig"),
    ),
    "AWS::Logs::LogGroup": (
        *("firehose:", "s3:", "logs:CreateLogDelivery", "logs:AssociateKmsKey"),
        *("logs:DisassociateKmsKey", "logs:DeleteDataProtectionPolicy"),
        *("logs:GetDataProtectionPolicy", "logs:PutDataProtectionPolicy"),
        *("logs:DeleteIndexPolicy", "logs:DescribeIndexPolicies", "logs:PutIndexPolicy"),
        *("logs:DeleteResourcePolicy", "logs:DescribeResourcePolicies"),
        *("logs:PutResourcePolicy", "logs:PutBearerToken", "logs:PutLogGroupDeletionProtection"),
    ),
    "AWS::S3::Bucket": (
        *("iam:", "s3tables:", "s3:DeleteObject", "s3:PutObjectAcl", "s3:PutObjectLock"),
        *("s3:CreateBucketMetadata", "s3:DeleteBucketMetadata", "s3:GetBucketMetadata"),
        *("s3:UpdateBucketMetadata", "s3:DeleteBucketAnalytics", "s3:DeleteBucketCors"),
        *("s3:DeleteBucketEncryption", "s3:DeleteBucketLifecycle", "s3:DeleteBucketMetrics"),
        *("s3:DeleteBucketReplication", "s3:DeleteBucketWebsite", "s3:GetAccelerate"),
        *("s3:GetAnalytics", "s3:GetBucketAbac", "s3:GetBucketAcl", "s3:GetBucketCORS"),
        *("s3:GetBucketLogging", "s3:GetBucketObjectLock", "s3:GetBucketWebsite"),
        *("s3:GetIntelligentTiering", "s3:GetInventory", "s3:GetMetrics", "s3:GetReplication"),
        *("s3:PutAccelerate", "s3:PutAnalytics", "s3:PutBucketAbac", "s3:PutBucketAcl"),
        *("s3:PutBucketCORS", "s3:PutBucketLogging", "s3:PutBucketObjectLock"),
        *("s3:PutBucketReplication", "s3:PutBucketWebsite", "s3:PutIntelligentTiering"),
        *("s3:PutInventory", "s3:PutMetrics", "s3:PutReplication"),
    ),
    "AWS::SNS::Topic": ("iam:", "sns:PutDataProtectionPolicy", "sns:Subscribe", "sns:Unsubscribe"),
    "AWS::SecretsManager::Secret": (
        "secretsmanager:RemoveRegionsFromReplication",
        "secretsmanager:ReplicateSecretToRegions",
    ),
}
"""Permissions of features that no template uses: other services, encryption keys of our own,
replicas, imports, items, replication, deliveries; and service-linked roles, which an
administrator makes once in an account."""


@cache
def handled_by_cloudformation(resource_type: str) -> frozenset[str]:
    """The permissions that AWS's own schema of the type lists."""
    linter = find_spec("cfnlint")
    assert linter is not None
    assert linter.origin is not None
    schemas = Path(linter.origin).parent / "data" / "schemas"
    providers = json.loads((schemas / "providers" / f"{NAMES.region}.json").read_text())
    schema = json.loads((schemas / "resources" / f"{providers[resource_type]}.json").read_text())
    handlers = (schema["handlers"].get(name, {}) for name in ("create", "read", "update", "delete"))
    return frozenset(need for handler in handlers for need in handler.get("permissions", ()))


@pytest.mark.parametrize(
    ("role", "resource_type"),
    [(Role.INFRASTRUCTURE, kind) for kind in DEPLOYED]
    + [(Role.SERVICE_INFRASTRUCTURE, kind) for kind in SERVICES],
)
def test_cloudformations_role_covers_the_types_own_needs(role: Role, resource_type: str) -> None:
    granted = {a for grant in grants_of(role, NAMES) for a in grant.actions}
    needed = {
        permission
        for permission in handled_by_cloudformation(resource_type)
        if not permission.startswith(UNUSED.get(resource_type, ()))
    }
    if resource_type in {"AWS::Lambda::Function", "AWS::ECS::Service"}:
        assert "iam:PassRole" in needed
    assert needed <= granted


def test_the_role_of_services_can_do_nothing_but_what_their_types_need() -> None:
    needed = {need for kind in SERVICES for need in handled_by_cloudformation(kind)}
    granted = {a for g in grants_of(Role.SERVICE_INFRASTRUCTURE, NAMES) for a in g.actions}
    assert granted - needed == {"ssm:GetParameters"}
