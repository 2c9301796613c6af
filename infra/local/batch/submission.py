"""What a job runs: its definition with what the submission says otherwise. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from infra.local.batch.checks import (
    Document,
    check_environment,
    check_name,
    check_resources,
    check_retries,
    check_timeout,
    client_error,
    refuse,
)

MOST_CHILDREN, MOST_DEPENDENCIES = 10_000, 20
_REFERENCE = "Ref::"
_UNKNOWN = (
    "shareIdentifier",
    "schedulingPriorityOverride",
    "nodeOverrides",
    "eksPropertiesOverride",
    "ecsPropertiesOverride",
    "consumableResourcePropertiesOverride",
)
_OLD = ("vcpus", "memory", "instanceType")


def check_submission(request: Mapping[str, Any]) -> None:
    """Raises AwsError for what Batch refuses, and for what the local AWS does not do, by name."""
    check_name("Job", request["jobName"])
    refuse(request, _UNKNOWN, "runs jobs of one container each, in the order in which they came")
    check_retries(request.get("retryStrategy"))
    check_timeout(request.get("timeout"))
    overrides = request.get("containerOverrides", {})
    refuse(overrides, _OLD, "knows resourceRequirements instead")
    check_environment(overrides.get("environment"))
    check_resources(overrides.get("resourceRequirements"))
    size = array_size(request)
    if size is not None and not 2 <= size <= MOST_CHILDREN:
        raise client_error(f"Array size must be between 2 and {MOST_CHILDREN}.")
    _check_dependencies(request.get("dependsOn", ()), array=size is not None)


def array_size(request: Mapping[str, Any]) -> int | None:
    """How many children a submission asks for; None for a job that is no array."""
    size: int | None = request.get("arrayProperties", {}).get("size")
    return size


def job_template(request: Mapping[str, Any], definition: Document, queue_arn: str) -> Document:
    """What every attempt of the job, and every child of it, has in common; as Batch describes it.

    A placeholder 'Ref::name' in the command becomes the parameter; one without a value stays.
    """
    parameters = definition.get("parameters", {}) | request.get("parameters", {})
    overrides = request.get("containerOverrides", {})
    own = definition["containerProperties"]
    command = overrides.get("command") or own.get("command", [])
    container = own | {
        "command": [_substituted(word, parameters) for word in command],
        "environment": _merged(own, overrides, "environment", "name"),
        "resourceRequirements": _merged(own, overrides, "resourceRequirements", "type"),
    }
    optional = {
        "timeout": request.get("timeout") or definition.get("timeout"),
        "platformCapabilities": definition.get("platformCapabilities"),
    }
    return {
        "jobName": request["jobName"],
        "jobQueue": queue_arn,
        "jobDefinition": definition["jobDefinitionArn"],
        "parameters": parameters,
        "container": container,
        "retryStrategy": request.get("retryStrategy")
        or definition.get("retryStrategy")
        or {"attempts": 1, "evaluateOnExit": []},
        "dependsOn": list(request.get("dependsOn", ())),
        "propagateTags": request.get("propagateTags", definition.get("propagateTags", False)),
        "tags": definition.get("tags", {}) | request.get("tags", {}),
        **{name: value for name, value in optional.items() if value},
    }


def _check_dependencies(dependencies: Iterable[Mapping[str, Any]], *, array: bool) -> None:
    found = list(dependencies)
    if len(found) > MOST_DEPENDENCIES:
        raise client_error(f"A job depends on {MOST_DEPENDENCIES} jobs at most.")
    for dependency in found:
        kind = dependency.get("type")
        if kind and not array:
            raise client_error(f"dependsOn: type {kind} is for array jobs.")
        if kind != "SEQUENTIAL" and not dependency.get("jobId"):
            raise client_error("dependsOn: jobId must not be empty.")
        if kind == "SEQUENTIAL" and dependency.get("jobId"):
            raise client_error("dependsOn: type SEQUENTIAL is about the array itself; no jobId.")


def _substituted(word: str, parameters: Mapping[str, str]) -> str:
    return parameters.get(word.removeprefix(_REFERENCE), word) if _is_reference(word) else word


def _is_reference(word: str) -> bool:
    return word.startswith(_REFERENCE)


def _merged(
    own: Mapping[str, Any], overrides: Mapping[str, Any], field: str, key: str
) -> list[Document]:
    """Both lists, where an override replaces the entry of the same name."""
    entries = [*own.get(field, ()), *overrides.get(field, ())]
    return list({entry[key]: entry for entry in entries}.values())
