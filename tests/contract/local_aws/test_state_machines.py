"""Step Functions beyond SageMaker's tasks: names, ends, retries, tags."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.local_aws import (
    eventually,
    make_function,
    make_role,
    make_state_machine,
    run_state_machine,
    unique,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Clients

PASS = {"Pass": {"Type": "Pass", "End": True}}
WAIT = {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}}


def test_executions_without_a_name_get_names_of_their_own(aws: Clients) -> None:
    machine = make_state_machine(aws, PASS)
    names = {run_state_machine(aws, machine)["name"] for _ in range(3)}
    assert len(names) == 3
    assert "None" not in names


def test_a_name_is_given_once(aws: Clients) -> None:
    machine, client = make_state_machine(aws, PASS), aws("stepfunctions")
    run_state_machine(aws, machine, name="once", input='{"n": 1}')
    with pytest.raises(client.exceptions.ExecutionAlreadyExists):
        client.start_execution(stateMachineArn=machine, name="once", input='{"n": 2}')


def test_a_stopped_execution_says_why(aws: Clients) -> None:
    machine, client = make_state_machine(aws, WAIT), aws("stepfunctions")
    run = client.start_execution(stateMachineArn=machine)["executionArn"]

    def waits() -> bool:
        events = client.get_execution_history(executionArn=run)["events"]
        return any(event["type"] == "WaitStateEntered" for event in events)

    eventually(waits, what="the waiting")
    client.stop_execution(executionArn=run, error="Superseded", cause="A newer run")

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = client.describe_execution(executionArn=run)
        return found if found["status"] == "ABORTED" else None

    found = eventually(ended, what="the stop")
    assert (found["error"], found["cause"]) == ("Superseded", "A newer run")


def test_a_failing_branch_is_caught_within_a_parallel(aws: Clients) -> None:
    caught = {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Caught"}
    branch = {"StartAt": "Break", "States": {"Break": {"Type": "Fail", "Error": "E", "Cause": "C"}}}
    machine = make_state_machine(
        aws,
        {
            "Both": {
                "Type": "Parallel",
                "Branches": [branch],
                "Catch": [caught],
                "Next": "Caught",
            },
            "Caught": {"Type": "Pass", "End": True},
        },
    )
    run = run_state_machine(aws, machine)
    assert run["status"] == "SUCCEEDED"
    assert json.loads(run["output"])["error"]["Error"] == "E"


def test_a_function_is_a_task_and_is_tried_again(aws: Clients, tmp_path: Path) -> None:
    flaky = """
import pathlib
def handler(event, context):
    tried = pathlib.Path(event["tried"])
    if not tried.exists():
        tried.touch()
        raise RuntimeError("first")
    return {"n": event["n"] + 1}
"""
    function = make_function(aws, flaky, role=make_role(aws))["FunctionArn"]
    retry = {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 2}
    task = {"Type": "Task", "Resource": function, "Retry": [retry], "End": True}
    given = json.dumps({"n": 1, "tried": str(tmp_path / "tried")})
    run = run_state_machine(aws, make_state_machine(aws, {"Task": task}), input=given)
    assert json.loads(run["output"]) == {"n": 2}


def test_a_machine_is_changed_and_tagged_and_deleted(aws: Clients) -> None:
    client, machine = aws("stepfunctions"), make_state_machine(aws, PASS)
    definition = {"StartAt": "Other", "States": {"Other": {"Type": "Succeed"}}}
    client.update_state_machine(stateMachineArn=machine, definition=json.dumps(definition))
    client.tag_resource(resourceArn=machine, tags=[{"key": "code", "value": "1"}])
    client.tag_resource(resourceArn=machine, tags=[{"key": "old", "value": "1"}])
    client.untag_resource(resourceArn=machine, tagKeys=["old"])
    found = client.describe_state_machine(stateMachineArn=machine)
    assert json.loads(found["definition"]) == definition
    tags = client.list_tags_for_resource(resourceArn=machine)["tags"]
    assert tags == [{"key": "code", "value": "1"}]
    pages = client.get_paginator("list_state_machines").paginate()
    listed = [m["stateMachineArn"] for page in pages for m in page["stateMachines"]]
    assert machine in listed
    run = run_state_machine(aws, machine)["executionArn"]
    of_run = client.describe_state_machine_for_execution(executionArn=run)
    assert of_run["stateMachineArn"] == machine
    client.delete_state_machine(stateMachineArn=machine)
    with pytest.raises(client.exceptions.StateMachineDoesNotExist):
        client.describe_state_machine(stateMachineArn=machine)


def test_a_definition_that_is_none_is_refused(aws: Clients) -> None:
    client = aws("stepfunctions")
    with pytest.raises(client.exceptions.InvalidDefinition):
        client.create_state_machine(
            name=unique("bad"), definition='{"StartAt": "A"}', roleArn=make_role(aws)
        )
