"""The workflow `start` as a state machine: it names a run after its event, and starts it."""

from __future__ import annotations

from typing import Any

from mlops.names import Names, Role
from pipelines.training import asl
from pipelines.training.asl import Path, State, json_text
from pipelines.training.machine import Site
from pipelines.training.starts import ONCE_A_DAY

_FROM_ERROR = {"error_path": "$.error.Error", "cause_path": "$.error.Cause"}
_TAKEN = ["Sfn.ExecutionAlreadyExistsException", "Sfn.ExecutionAlreadyExists"]


def build(site: Site) -> dict[str, Any]:
    """The state machine, in the Amazon States Language.

    Its input is what a rule sends: `workflow`, `why`, `often` (each or once a day), the event's
    `id` and `time`, and `settings`.
    """
    names = site.names
    prepare, start = _start(names)
    told, failed = _tell_failure(names), asl.fail("Failed", **_FROM_ERROR)
    done, before = asl.succeed("Done"), asl.succeed("Started before")
    day = "States.ArrayGetItem(States.StringSplit($.time, 'T'), 0)"
    by_day = asl.assemble(
        "Name by day", {"name.$": f"States.Format('{{}}-{{}}', $.why, {day})"}, result_path="$.run"
    )
    by_event = asl.assemble("Name by event", {"name.$": "$.id"}, result_path="$.run")
    asl.catch_errors(start, _TAKEN, then=before)
    asl.catch_all([start], then=told)
    asl.catch_all([told], then=failed, result_path="$.not_told")
    asl.retry_throttled([start, told])
    asl.chain([by_day, prepare])
    asl.chain([by_event, prepare, start, done])
    asl.chain([told, failed])
    first = asl.choose(
        "How often", [asl.equals("$.often", ONCE_A_DAY)], then=by_day, otherwise=by_event
    )
    return asl.definition(
        [first], comment="Starts workflows when rules say so.", region=names.region
    )


def _start(names: Names) -> tuple[State, State]:
    """What the run is told, and the call that starts it."""
    given = {
        "settings.$": "$.settings",
        "submitted_by": names.role_arn(Role.SCHEDULER),
        "started": {"why.$": "$.why", "event.$": "$.id", "at.$": "$.time"},
    }
    parameters = {
        "StateMachineArn": asl.formatted(names.state_machine_arn("{}"), "$.workflow"),
        "Name": Path("$.run.name"),
        "Input": Path(json_text("$.given")),
    }
    prepare = asl.assemble("Prepare", given, result_path="$.given")
    start = asl.call("Start", "aws-sdk:sfn:startExecution", parameters, result_path=None)
    return prepare, start


def _tell_failure(names: Names) -> State:
    facts = {
        "event": "run_not_started",
        "workflow.$": "$.workflow",
        "why.$": "$.why",
        "error.$": "$.error.Error",
        "cause.$": "$.error.Cause",
    }
    parameters = {
        "TopicArn": names.topic_arn,
        "Subject": "A run was not started",
        "Message": facts,
    }
    return asl.call("Tell failure", "sns:publish", parameters, result_path=None)
