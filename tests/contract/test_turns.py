"""Runs that do not overlap: the second is refused, the next one follows a run that has ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.training import asl
from pipelines.training.turns import Turn
from tests.contract.sagemaker_requests import Studio
from tests.local_aws import eventually

if TYPE_CHECKING:
    from tests.conftest import Clients

BUCKET, REGION = "turns-of-runs", "ap-northeast-2"


@pytest.fixture(scope="module")
def start(aws: Clients) -> Callable[[str], str]:
    """Starts a run that waits for its turn and then works for some seconds."""
    role = Studio(aws, bucket=BUCKET).prepare().role_arn
    work, done = asl.wait("Work", 3), asl.succeed("Done")
    first, waiting, answered = Turn("w", BUCKET, "turn.json", "refuse").states(work)
    failed = asl.fail("Failed", error_path="$.error.Error", cause_path="$.error.Cause")
    asl.chain([work, done])
    asl.catch_all([*waiting, *answered], then=failed)
    settle = asl.assemble("Settle", {"execution.$": "$$.Execution.Id"}, result_path="$.run")
    definition = asl.definition([settle, first], comment="", region=REGION)
    states = aws("stepfunctions")
    machine = states.create_state_machine(
        name="turns", definition=json.dumps(definition), roleArn=role
    )["stateMachineArn"]

    def started(name: str) -> str:
        arn: str = states.start_execution(stateMachineArn=machine, name=name)["executionArn"]
        return arn

    return started


def entered(states: Any, arn: str) -> list[str]:
    events = states.get_execution_history(executionArn=arn)["events"]
    return [e["stateEnteredEventDetails"]["name"] for e in events if "Entered" in e["type"]]


def ended(states: Any, arn: str) -> Any:
    def found() -> Any:
        answer = states.describe_execution(executionArn=arn)
        return None if answer["status"] == "RUNNING" else answer

    return eventually(found, what="the end of a run", seconds=60)


def test_runs_that_do_not_overlap(aws: Clients, start: Callable[[str], str]) -> None:
    states = aws("stepfunctions")
    one = start("one")
    eventually(lambda: "Work" in entered(states, one), what="the first run's turn")

    refused = ended(states, start("two"))

    assert (refused["status"], refused["error"]) == ("FAILED", "Busy")
    assert f"{one} is running" in refused["cause"]
    assert ended(states, one)["status"] == "SUCCEEDED"
    three = start("three")
    assert ended(states, three)["status"] == "SUCCEEDED", entered(states, three)
    assert "Follow" in entered(states, three)
