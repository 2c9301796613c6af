"""What a deployment would do to each resource, read from a change set or a new template."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from infra.synth import Stack

Action = Literal["add", "change", "may_replace", "replace", "remove"]

STATEFUL = frozenset(
    {
        "AWS::DynamoDB::Table",
        "AWS::ElastiCache::ReplicationGroup",
        "AWS::Glue::Database",
        "AWS::Kinesis::Stream",
        "AWS::S3::Bucket",
        "AWS::SageMaker::ModelPackageGroup",
        "AWS::SecretsManager::Secret",
    }
)
"""Types whose removal loses what people or jobs put there."""


class Change(BaseModel):
    """One resource, and what becomes of it."""

    model_config = ConfigDict(frozen=True)

    stack: str
    action: Action
    resource: str
    type: str
    name: str = ""
    """The physical name, where the resource exists."""
    properties: tuple[str, ...] = ()
    """What of it changes."""

    @property
    def loses_data(self) -> bool:
        return self.type in STATEFUL and self.action in {"may_replace", "replace", "remove"}


def changes_of_new(stack: Stack) -> tuple[Change, ...]:
    """A stack that does not exist yet: everything is added."""
    return tuple(
        Change(stack=stack.name, action="add", resource=name, type=resource["Type"])
        for name, resource in stack.resources.items()
    )


def changes_of_set(stack: str, listed: Iterable[Mapping[str, Any]]) -> tuple[Change, ...]:
    """The changes of a change set, as DescribeChangeSet lists them."""
    resources = [entry["ResourceChange"] for entry in listed]
    return tuple(_change(stack, resource) for resource in resources)


def _change(stack: str, resource: Mapping[str, Any]) -> Change:
    return Change(
        stack=stack,
        action=_action(resource),
        resource=resource["LogicalResourceId"],
        type=resource["ResourceType"],
        name=resource.get("PhysicalResourceId", ""),
        properties=_properties(resource),
    )


def _action(resource: Mapping[str, Any]) -> Action:
    """CloudFormation calls a replacement conditional that hangs on a value it does not know yet."""
    if resource["Action"] == "Add":
        return "add"
    if resource["Action"] == "Remove":
        return "remove"
    return _MODIFICATIONS[resource.get("Replacement", "False")]


_MODIFICATIONS: Mapping[str, Action] = {
    "False": "change",
    "Conditional": "may_replace",
    "True": "replace",
}


def _properties(resource: Mapping[str, Any]) -> tuple[str, ...]:
    targets = (detail["Target"] for detail in resource.get("Details", ()))
    names = {target.get("Name") or target.get("Attribute", "") for target in targets}
    return tuple(sorted(filter(None, names)))
