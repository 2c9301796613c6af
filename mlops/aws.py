"""boto3, with one retry policy, one identity and the platform's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
)

from mlops.errors import Conflict, MlopsError, NotFound, Refused, SettingsError, Unavailable

_CONFIG = Config(
    retries={"mode": "standard", "max_attempts": 5},
    connect_timeout=5,
    read_timeout=60,
    user_agent_extra="feast-mlops",
)
_NOT_FOUND = ("NotFound", "NoSuch", "DoesNotExist", "EntityNotFound")
_DENIED = ("AccessDenied", "UnauthorizedOperation", "ExpiredToken", "InvalidClientTokenId")
_BUSY = ("Throttl", "TooManyRequests", "ServiceUnavailable", "SlowDown", "InternalError")


class Aws:
    """The AWS that this process speaks to, as one identity.

    Clients are made once per service and are safe to share between threads.
    """

    def __init__(self, session: boto3.Session | None = None, *, region: str | None = None) -> None:
        self.session = session or boto3.Session(region_name=region)
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """The boto3 client of a service, for example 's3'."""
        if service not in self._clients:
            self._clients[service] = self.session.client(service, config=_CONFIG)
        return self._clients[service]

    @cached_property
    def identity(self) -> str:
        """The ARN that AWS knows this process by (STS GetCallerIdentity)."""
        with translated("Asking STS who I am"):
            return str(self.client("sts").get_caller_identity()["Arn"])

    def assume(self, role_arn: str, *, session_name: str) -> Aws:
        """The same AWS, as another role."""
        with translated(f"Assuming {role_arn}"):
            answer = self.client("sts").assume_role(RoleArn=role_arn, RoleSessionName=session_name)
        credentials = answer["Credentials"]
        return Aws(
            boto3.Session(
                aws_access_key_id=credentials["AccessKeyId"],
                aws_secret_access_key=credentials["SecretAccessKey"],
                aws_session_token=credentials["SessionToken"],
                region_name=self.session.region_name,
            )
        )


def error_code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn botocore's exceptions into the platform's; `doing` opens the message."""
    try:
        yield
    except ClientError as exc:
        raise _translate(doing, exc) from exc
    except NoCredentialsError as exc:
        raise SettingsError(
            f'{doing}: no AWS credentials. Set AWS_PROFILE, or run: eval "$(mlops local env)".'
        ) from exc
    except EndpointConnectionError as exc:
        raise Unavailable(
            f"{doing}: {exc}. Is the local AWS up? See 'mlops local status'."
        ) from exc
    except BotoCoreError as exc:
        raise Unavailable(f"{doing}: {exc}") from exc


def read_secret(aws: Aws, name: str) -> str:
    """The text of a secret of Secrets Manager. Raises NotFound, Refused."""
    with translated(f"Reading secret '{name}'"):
        return str(aws.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"])


def _translate(doing: str, error: ClientError) -> MlopsError:
    code, message = error_code(error), error.response.get("Error", {}).get("Message", str(error))
    text = f"{doing}: {message} ({code})"
    if (
        code in {"PreconditionFailed", "ConditionalCheckFailedException", "412"}
        or "Conflict" in code
        or "AlreadyExists" in code
        or _was_overtaken(error)
    ):
        return Conflict(text)
    if code == "404" or any(part in code for part in _NOT_FOUND) or _says_missing(code, message):
        return NotFound(text)
    if code == "403" or any(part in code for part in _DENIED):
        return Refused(f"{text}. Check the role that you act as: aws sts get-caller-identity.")
    if code == "503" or any(part in code for part in _BUSY):
        return Unavailable(text)
    return MlopsError(text)


def _was_overtaken(error: ClientError) -> bool:
    """Whether a transaction met another's write, or a condition that another's write broke."""
    reasons = [reason.get("Code") for reason in error.response.get("CancellationReasons", ())]
    return bool({"ConditionalCheckFailed", "TransactionConflict"} & set(reasons))


def _says_missing(code: str, message: str) -> bool:
    # SageMaker and Step Functions answer an unknown thing as a failed validation and a sentence.
    return "does not exist" in message or (
        code.startswith("Validation")
        and any(sentence in message.lower() for sentence in ("not found", "could not find"))
    )
