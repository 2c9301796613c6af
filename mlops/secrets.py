"""Secrets, read from Secrets Manager when they are needed and never written anywhere."""

from __future__ import annotations

from mlops.aws import Aws, translated
from mlops.settings import Settings


def read_secret(aws: Aws, name: str) -> str:
    """The secret's text. Raises NotFound, Refused."""
    with translated(f"Reading secret '{name}'"):
        return str(aws.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"])


def redis_password(settings: Settings, aws: Aws) -> str:
    """The setting where one is given, else the secret that the infrastructure made."""
    return settings.redis_password or read_secret(aws, settings.names.redis_secret)
