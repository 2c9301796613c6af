"""What every other stack needs first: the bucket for code, the topic, the secrets."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secrets
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.stacks.bucket import private_bucket, removal
from infra.stacks.profile import Profile
from mlops.names import Names


class Foundation(cdk.Stack):
    """Bucket of Lambda code, topic of events, and the secrets' first values."""

    def __init__(
        self, scope: Construct, name: str, *, names: Names, profile: Profile, env: cdk.Environment
    ) -> None:
        super().__init__(
            scope,
            name,
            env=env,
            description="Code bucket, events topic and secrets",
            termination_protection=profile.keep_data,
        )
        private_bucket(self, "Assets", bucket_name=names.assets_bucket, profile=profile)
        _topic(self, names)
        _redis_secret(self, names, profile)
        _given_secret(
            self,
            "ApiKeys",
            profile,
            secret=names.api_keys_secret,
            holds="SHA-256 of the API keys that callers of the proxy hold",
        )
        _given_secret(
            self,
            "Slack",
            profile,
            secret=names.slack_secret,
            holds="Address of the incoming webhook of the Slack channel that is told of events",
        )


def _topic(scope: Construct, names: Names) -> None:
    sns.Topic(
        scope,
        "Events",
        topic_name=names.topic_arn.rsplit(":", 1)[-1],
        master_key=kms.Alias.from_alias_name(scope, "SnsKey", "alias/aws/sns"),
        enforce_ssl=True,
    )


def _redis_secret(scope: Construct, names: Names, profile: Profile) -> None:
    """ElastiCache takes 16 to 128 printable characters, and few of the special ones."""
    secrets.Secret(
        scope,
        "RedisPassword",
        secret_name=names.redis_secret,
        description="Password of the online store",
        generate_secret_string=secrets.SecretStringGenerator(
            exclude_punctuation=True, password_length=64
        ),
        removal_policy=removal(profile),
    )


def _given_secret(
    scope: Construct, name: str, profile: Profile, *, secret: str, holds: str
) -> None:
    """Without a value: one that the template gave could come back with an update of a tag."""
    made = secrets.CfnSecret(scope, name, name=secret, description=holds)
    made.apply_removal_policy(removal(profile))
