"""The approval record: a table that can be added to, and never changed."""

from __future__ import annotations

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.stacks.bucket import removal
from infra.stacks.profile import Profile
from mlops.names import Names

REWRITES = (
    "dynamodb:BatchWriteItem",
    "dynamodb:DeleteItem",
    "dynamodb:PartiQLDelete",
    "dynamodb:PartiQLInsert",
    "dynamodb:PartiQLUpdate",
    "dynamodb:UpdateItem",
)
"""Every way to write an item but PutItem, which alone takes the condition of a new key."""


def add_records(scope: Construct, names: Names, profile: Profile) -> None:
    """Keyed by model and sequence; restorable to any second of the last 35 days."""
    dynamodb.Table(
        scope,
        "Records",
        table_name=names.records_table,
        partition_key=dynamodb.Attribute(name="model", type=dynamodb.AttributeType.STRING),
        sort_key=dynamodb.Attribute(name="sequence", type=dynamodb.AttributeType.NUMBER),
        billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
        encryption=dynamodb.TableEncryption.AWS_MANAGED,
        point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
            point_in_time_recovery_enabled=True
        ),
        deletion_protection=profile.keep_data,
        removal_policy=removal(profile),
        resource_policy=iam.PolicyDocument(statements=[_append_only(names)]),
    )


def _append_only(names: Names) -> iam.PolicyStatement:
    """Nobody rewrites the record, whatever their own policies allow."""
    return iam.PolicyStatement(
        sid="AppendOnly",
        effect=iam.Effect.DENY,
        principals=[iam.StarPrincipal()],
        actions=list(REWRITES),
        resources=[names.records_table_arn],
    )
