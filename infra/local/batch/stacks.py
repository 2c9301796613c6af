"""Lets CloudFormation make `AWS::Batch::*`, by the operations of the API.

MiniStack's refuses a stack with a type that it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from infra.local.jobs.validation import service_model
from infra.local.service import Caller, JsonService
from infra.local.settings import ACCOUNT, REGION
from infra.local.stepfunctions.answers import to_api

_CALLER = Caller(ACCOUNT, REGION, f"arn:aws:iam::{ACCOUNT}:root")
Properties = Mapping[str, Any]
Made = tuple[str, dict[str, Any]]
"""What Ref gives, and the attributes."""


@dataclass(frozen=True)
class _Type:
    """A resource type: its operations, and what names it in each."""

    create: str
    name: str
    arn: str
    """The field of the API that holds the ARN; in PascalCase it is the attribute."""
    disable: str = ""
    delete: str = ""
    key: str = ""
    """The field by which update and delete are told which one."""
    updatable: frozenset[str] = frozenset()


_TYPES = {
    "AWS::Batch::ComputeEnvironment": _Type(
        create="CreateComputeEnvironment",
        name="computeEnvironmentName",
        arn="computeEnvironmentArn",
        disable="UpdateComputeEnvironment",
        delete="DeleteComputeEnvironment",
        key="computeEnvironment",
        updatable=frozenset({"state", "computeResources"}),
    ),
    "AWS::Batch::JobQueue": _Type(
        create="CreateJobQueue",
        name="jobQueueName",
        arn="jobQueueArn",
        disable="UpdateJobQueue",
        delete="DeleteJobQueue",
        key="jobQueue",
        updatable=frozenset({"state", "priority", "computeEnvironmentOrder"}),
    ),
    "AWS::Batch::JobDefinition": _Type(
        create="RegisterJobDefinition",
        name="jobDefinitionName",
        arn="jobDefinitionArn",
        delete="DeregisterJobDefinition",
        key="jobDefinition",
    ),
}


def install(batch: JsonService) -> None:
    """Put the types in; once, before the first stack."""
    from ministack.services.cloudformation import provisioners

    for name, kind in _TYPES.items():
        provisioner = _Provisioner(batch, kind)
        provisioners._RESOURCE_HANDLERS[name] = {
            "create": provisioner.create,
            "update": provisioner.update,
            "delete": provisioner.delete,
        }
        replacing = kind.name[:1].upper() + kind.name[1:]
        provisioners._REPLACING_PROPERTIES |= {name: (replacing,)}


class _Provisioner:
    """Makes, changes and removes resources of one type."""

    def __init__(self, batch: JsonService, kind: _Type) -> None:
        self._call: Callable[[str, dict[str, Any]], dict[str, Any]] = lambda operation, request: (
            batch.handle(operation, request, _CALLER)
        )
        self._kind = kind

    def create(self, logical_id: str, properties: Properties, stack: str) -> Made:
        request = {self._kind.name: f"{stack}-{logical_id}"} | self._request(properties)
        arn = str(self._call(self._kind.create, request)[self._kind.arn])
        return arn, {self._kind.arn[:1].upper() + self._kind.arn[1:]: arn}

    def update(self, arn: str, old: Properties, new: Properties, stack: str) -> Made:
        """A job definition gets a revision; its ARN is another one then."""
        if not self._kind.disable:
            made = self.create("", new, stack)
            self.delete(arn, old)
            return made
        before, after = self._request(old), self._request(new)
        changed = {k: v for k, v in after.items() if before.get(k) != v and k != "tags"}
        if fixed := sorted(changed.keys() - self._kind.updatable):
            raise ValueError(f"The local AWS cannot change {', '.join(fixed)} of {arn}.")
        if "computeResources" in changed:
            changed["computeResources"] = _differences(
                before["computeResources"], after["computeResources"]
            )
        self._call(self._kind.disable, {self._kind.key: arn} | changed)
        return arn, {self._kind.arn[:1].upper() + self._kind.arn[1:]: arn}

    def delete(self, arn: str, properties: Properties) -> None:
        if self._kind.disable:
            self._call(self._kind.disable, {self._kind.key: arn, "state": "DISABLED"})
        self._call(self._kind.delete, {self._kind.key: arn})

    def _request(self, properties: Properties) -> dict[str, Any]:
        shape = service_model("batch").operation_model(self._kind.create).input_shape
        request: dict[str, Any] = to_api(shape, dict(properties))
        return request


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in after.items() if before.get(name) != value}
