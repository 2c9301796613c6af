"""Secrets, read from Secrets Manager when they are needed and never written anywhere."""

from __future__ import annotations

import dataclasses

from mlops.aws import Aws, read_secret
from mlops.settings import Settings
from mlops.stores.redis.target import RedisTarget, parse_target


def redis_password(settings: Settings, aws: Aws) -> str:
    """The setting where one is given, else the secret that the infrastructure made."""
    return settings.redis_password or read_secret(aws, settings.names.redis_secret)


def redis_target(settings: Settings, aws: Aws) -> RedisTarget:
    """Where the online store is and how to get in.

    The password is asked for only where the URL names neither one nor IAM authentication.
    Raises SettingsError, NotFound, Refused.
    """
    target = parse_target(settings.require_redis_url())
    if target.iam is not None or target.password is not None:
        return target
    return dataclasses.replace(target, password=redis_password(settings, aws))
