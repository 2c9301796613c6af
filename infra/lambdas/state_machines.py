"""Creating and updating state machines, whatever is there already."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from mlops.aws import Aws, translated
from mlops.errors import NotFound


@dataclass(frozen=True)
class Wanted:
    """A state machine as it should be; `definition` is JSON of the Amazon States Language."""

    arn: str
    definition: str
    role_arn: str
    tags: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.arn.rpartition(":")[2]


class StateMachines(Protocol):
    """Where state machines live."""

    def ensure(self, wanted: Wanted) -> str:
        """Make it so, and say what it took: 'created', 'updated' or 'unchanged'."""


class StepFunctions:
    """State machines of AWS Step Functions."""

    def __init__(self, aws: Aws) -> None:
        self._states = aws.client("stepfunctions")

    def ensure(self, wanted: Wanted) -> str:
        with translated(f"Deploying state machine {wanted.name}"):
            found = self._describe(wanted)
            if found is None:
                return self._create(wanted)
            changed = self._update(wanted, found)
            return "updated" if self._tag(wanted) or changed else "unchanged"

    def _describe(self, wanted: Wanted) -> dict[str, Any] | None:
        try:
            with translated(f"Reading state machine {wanted.name}"):
                answer: dict[str, Any] = self._states.describe_state_machine(
                    stateMachineArn=wanted.arn
                )
        except NotFound:
            return None
        return answer

    def _create(self, wanted: Wanted) -> str:
        self._states.create_state_machine(
            name=wanted.name,
            definition=wanted.definition,
            roleArn=wanted.role_arn,
            tags=_pairs(wanted.tags),
        )
        return "created"

    def _update(self, wanted: Wanted, found: Mapping[str, Any]) -> bool:
        same_definition = json.loads(found["definition"]) == json.loads(wanted.definition)
        if same_definition and found["roleArn"] == wanted.role_arn:
            return False
        self._states.update_state_machine(
            stateMachineArn=wanted.arn, definition=wanted.definition, roleArn=wanted.role_arn
        )
        return True

    def _tag(self, wanted: Wanted) -> bool:
        answer = self._states.list_tags_for_resource(resourceArn=wanted.arn)
        tags = {tag["key"]: tag["value"] for tag in answer["tags"]}
        if all(tags.get(key) == value for key, value in wanted.tags.items()):
            return False
        self._states.tag_resource(resourceArn=wanted.arn, tags=_pairs(wanted.tags))
        return True


@dataclass
class MemoryStateMachines:
    """A working fake."""

    stored: dict[str, Wanted] = field(default_factory=dict)

    def ensure(self, wanted: Wanted) -> str:
        before = self.stored.get(wanted.arn)
        self.stored[wanted.arn] = wanted
        if before is None:
            return "created"
        return "unchanged" if before == wanted else "updated"


def _pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]
