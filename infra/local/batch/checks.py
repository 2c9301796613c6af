"""What the parts of a request must be, beyond the types of Batch's model. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from infra.local.service import AwsError

Document = dict[str, Any]

_NAME = re.compile(r"[A-Za-z0-9][\w-]{0,127}")
MOST_ATTEMPTS, MOST_CONDITIONS = 10, 5
SHORTEST_TIMEOUT = 60
"""Seconds that an attempt may take at the least, if it is limited."""
_DRIVER = "awslogs"
_LOG_OPTIONS = {"awslogs-group", "awslogs-region", "awslogs-stream-prefix"}


def client_error(message: str) -> AwsError:
    return AwsError("ClientException", message)


def check_name(what: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise client_error(
            f"{what} '{name}' must start with a letter or digit and have up to 128 letters, "
            "digits, hyphens and underscores."
        )


def refuse(request: Mapping[str, Any], fields: Iterable[str], why: str) -> None:
    """Raises AwsError naming the first of the fields that is set."""
    for name in fields:
        if request.get(name):
            raise client_error(f"{name}: the local AWS {why}.")


def check_retries(strategy: Mapping[str, Any] | None) -> None:
    if not strategy:
        return
    if not 1 <= strategy.get("attempts", 1) <= MOST_ATTEMPTS:
        raise client_error(f"retryStrategy: attempts must be between 1 and {MOST_ATTEMPTS}.")
    conditions = strategy.get("evaluateOnExit", ())
    if len(conditions) > MOST_CONDITIONS:
        raise client_error(f"retryStrategy: at most {MOST_CONDITIONS} entries of evaluateOnExit.")
    for condition in conditions:
        if condition["action"].upper() not in {"RETRY", "EXIT"}:
            raise client_error(f"retryStrategy: action '{condition['action']}' is none.")
        if not set(condition) & {"onExitCode", "onReason", "onStatusReason"}:
            raise client_error("retryStrategy: an entry of evaluateOnExit needs a condition.")


def check_timeout(timeout: Mapping[str, Any] | None) -> None:
    if timeout and timeout.get("attemptDurationSeconds", 0) < SHORTEST_TIMEOUT:
        raise client_error(f"timeout: attemptDurationSeconds must be {SHORTEST_TIMEOUT} or more.")


def check_environment(pairs: Iterable[Mapping[str, str]] | None) -> None:
    for pair in pairs or ():
        if pair.get("name", "").startswith("AWS_BATCH"):
            raise client_error(f"environment: '{pair['name']}': AWS_BATCH is Batch's own prefix.")


def check_resources(requirements: Iterable[Mapping[str, str]] | None) -> None:
    for requirement in requirements or ():
        if requirement["type"] == "GPU":
            raise client_error("resourceRequirements: the local AWS has no GPU.")
        if not re.fullmatch(r"\d+(\.\d+)?", requirement["value"]):
            raise client_error(f"resourceRequirements: '{requirement['value']}' is no number.")


def check_logs(configuration: Mapping[str, Any] | None) -> None:
    if not configuration:
        return
    if configuration["logDriver"] != _DRIVER:
        raise client_error(f"logConfiguration: the local AWS knows the driver '{_DRIVER}' only.")
    unknown = sorted(set(configuration.get("options", ())) - _LOG_OPTIONS)
    if unknown or configuration.get("secretOptions"):
        raise client_error(
            f"logConfiguration: the local AWS knows no {', '.join(unknown) or 'secretOptions'}."
        )
