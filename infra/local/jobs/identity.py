"""Who a job is: its role, assumed as SageMaker assumes it."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from infra.local.service import AwsError
from infra.local.settings import ADMIN_ACCESS_KEY, ADMIN_SECRET_KEY

SESSION = "SageMaker"
"""The session name that SageMaker gives to a job's credentials."""

_CONFIG = Config(retries={"mode": "standard", "max_attempts": 3}, connect_timeout=5)


@dataclass(frozen=True)
class Credentials:
    """Keys as boto3 takes them and as a process finds them in its environment."""

    access_key: str
    secret_key: str
    token: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        keys = {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_SESSION_TOKEN": self.token,
        }
        return {name: value for name, value in keys.items() if value}


ADMIN = Credentials(ADMIN_ACCESS_KEY, ADMIN_SECRET_KEY)


class Clients:
    """boto3 clients of one endpoint, as whoever is asked for. Safe to share between threads."""

    def __init__(self, endpoint: str, region: str) -> None:
        self.endpoint = endpoint
        self.region = region
        self._session = boto3.Session(region_name=region)
        self._lock = threading.Lock()

    def client(self, service: str, who: Credentials = ADMIN, config: Config = _CONFIG) -> Any:
        with self._lock:  # making a client is what boto3 does not do in parallel
            return self._session.client(
                service,
                endpoint_url=self.endpoint,
                aws_access_key_id=who.access_key,
                aws_secret_access_key=who.secret_key,
                aws_session_token=who.token,
                config=config,
            )

    def assume(self, role_arn: str, session: str = SESSION) -> Credentials:
        """The role's credentials, for twelve hours."""
        answer = self.client("sts").assume_role(
            RoleArn=role_arn, RoleSessionName=session, DurationSeconds=43_200
        )
        keys = answer["Credentials"]
        return Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])

    def check_role(self, role_arn: str, service: str = "sagemaker.amazonaws.com") -> None:
        """Raises AwsError when the role does not exist, or does not trust the service."""
        try:
            role = self.client("iam").get_role(RoleName=role_arn.rpartition("/")[2])["Role"]
        except ClientError as exc:
            raise _cannot_assume(role_arn, service) from exc
        if role["Arn"] != role_arn or service not in trusted_services(
            role["AssumeRolePolicyDocument"]
        ):
            raise _cannot_assume(role_arn, service)


def trusted_services(policy: str | dict[str, Any]) -> set[str]:
    """The services that a role's trust policy lets assume it."""
    document = json.loads(unquote(policy)) if isinstance(policy, str) else policy
    statements = document.get("Statement", [])
    found: set[str] = set()
    for statement in statements if isinstance(statements, list) else [statements]:
        principal = statement.get("Principal", {})
        services = principal.get("Service", []) if isinstance(principal, dict) else []
        if statement.get("Effect") == "Allow":
            found.update([services] if isinstance(services, str) else services)
    return found


def _cannot_assume(role_arn: str, service: str) -> AwsError:
    return AwsError(
        "ValidationException",
        f"Could not assume role {role_arn}. Please ensure that the role exists and allows "
        f"principal '{service}' to assume the role.",
    )
