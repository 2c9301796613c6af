"""Where data lives: buckets, catalog and the approval record."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.stacks.bucket import private_bucket
from infra.stacks.catalog import add_catalog
from infra.stacks.profile import Profile
from infra.stacks.records import add_records
from infra.stacks.stream import add_stream
from mlops.names import Names
from mlops.registry.webhooks.receiver import PREFIX as DELIVERIES

WORKFLOW_DEFINITIONS = ("workflows/", "definition.json")
"""Prefix and suffix of the upload that deploys a workflow."""


class Storage(cdk.Stack):
    """Buckets of data, artifacts and staging, Glue database, workgroup, records and stream."""

    def __init__(
        self, scope: Construct, name: str, *, names: Names, profile: Profile, env: cdk.Environment
    ) -> None:
        super().__init__(
            scope,
            name,
            env=env,
            description="Buckets, catalog, approval record and stream",
            termination_protection=profile.keep_data,
        )
        private_bucket(self, "Data", bucket_name=names.data_bucket, profile=profile)
        artifacts = private_bucket(
            self,
            "Artifacts",
            bucket_name=names.artifact_bucket,
            profile=profile,
            daily=(DELIVERIES,) if profile.hears_mlflow else (),
        )
        notify_of_workflows(artifacts, names)
        private_bucket(
            self,
            "Staging",
            bucket_name=names.staging_bucket,
            profile=profile,
            versioned=False,
            expire_days=profile.staging_days,
        )
        add_catalog(self, names, profile)
        add_records(self, names, profile)
        add_stream(self, names, profile)


def notify_of_workflows(artifacts: s3.Bucket, names: Names) -> None:
    """Tell the workflow deployer of an uploaded definition.

    The construct library's own way is a Lambda that edits the bucket behind CloudFormation's
    back; the bucket's own property does without, as the function stands before the bucket.
    """
    bucket = artifacts.node.default_child
    assert isinstance(bucket, s3.CfnBucket)
    prefix, suffix = WORKFLOW_DEFINITIONS
    rules = [
        s3.CfnBucket.FilterRuleProperty(name="prefix", value=prefix),
        s3.CfnBucket.FilterRuleProperty(name="suffix", value=suffix),
    ]
    bucket.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
        lambda_configurations=[
            s3.CfnBucket.LambdaConfigurationProperty(
                event="s3:ObjectCreated:*",
                function=names.function_arn("workflow-deployer"),
                filter=s3.CfnBucket.NotificationFilterProperty(
                    s3_key=s3.CfnBucket.S3KeyFilterProperty(rules=rules)
                ),
            )
        ]
    )
