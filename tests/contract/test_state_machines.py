"""State machines are made as wanted: in Step Functions over the local AWS, and in the fake."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from infra.lambdas.state_machines import (
    MemoryStateMachines,
    StateMachines,
    StepFunctions,
    Wanted,
)
from mlops.aws import Aws
from mlops.names import Role
from tests.approvals import NAMES

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws


@pytest.fixture(params=["memory", "stepfunctions"])
def machines(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> StateMachines:
    if request.param == "memory":
        return MemoryStateMachines()
    local: LocalAws = request.getfixturevalue("local_aws")
    for name, value in local.environment().items():
        monkeypatch.setenv(name, value)
    return StepFunctions(Aws())


def _wanted(name: str, comment: str = "first") -> Wanted:
    states = {"Done": {"Type": "Succeed"}}
    return Wanted(
        arn=NAMES.state_machine_arn(name),
        definition=json.dumps({"Comment": comment, "StartAt": "Done", "States": states}),
        role_arn=NAMES.role_arn(Role.WORKFLOW),
        tags={"code_sha256": "a" * 64},
    )


def test_a_missing_one_is_created_and_then_left_alone(machines: StateMachines) -> None:
    assert machines.ensure(_wanted("created")) == "created"
    assert machines.ensure(_wanted("created")) == "unchanged"


def test_another_definition_updates_it(machines: StateMachines) -> None:
    machines.ensure(_wanted("updated"))
    assert machines.ensure(_wanted("updated", "second")) == "updated"
    assert machines.ensure(_wanted("updated", "second")) == "unchanged"


def test_another_tag_alone_updates_it(machines: StateMachines) -> None:
    machines.ensure(_wanted("tagged"))
    newer = replace(_wanted("tagged"), tags={"code_sha256": "b" * 64})
    assert machines.ensure(newer) == "updated"
    assert machines.ensure(newer) == "unchanged"
