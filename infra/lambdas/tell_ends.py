"""Lambda: a run of a workflow that could not tell of its end itself is told to the topic.

Invoked by EventBridge when an execution was stopped, ran out of time or failed. Most failures are
told by the state machine, which knows more of them; what it cannot tell is left to this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mlops.aws import Aws, translated
from mlops.errors import InputError
from mlops.names import Names
from mlops.notices import Notices, SnsNotices
from mlops.settings import load_settings
from pipelines.training.executions import BUSY

UNCAUGHT = frozenset({"States.Runtime", "States.DataLimitExceeded"})
"""Errors that Step Functions lets no state machine catch."""


@dataclass(frozen=True)
class End:
    """How an execution ended."""

    workflow: str
    execution: str
    status: str
    error: str | None
    cause: str | None

    @property
    def told_itself(self) -> bool:
        return self.status == "FAILED" and self.error not in {BUSY, *UNCAUGHT}

    @property
    def event(self) -> str:
        if self.status == "FAILED":
            return "run_refused" if self.error == BUSY else "run_failed"
        return {"ABORTED": "run_stopped", "TIMED_OUT": "run_timed_out"}[self.status]

    @property
    def subject(self) -> str:
        how = {
            "run_refused": "a run was refused, as another one is in its way",
            "run_failed": "a run failed",
            "run_stopped": "a run was stopped",
            "run_timed_out": "a run timed out",
        }
        return f"{self.workflow}: {how[self.event]}"

    @property
    def facts(self) -> dict[str, Any]:
        return {
            "event": self.event,
            "workflow": self.workflow,
            "execution": self.execution,
            "error": self.error,
            "cause": self.cause,
        }


class Executions(Protocol):
    """What is asked of Step Functions."""

    def describe(self, execution: str) -> Mapping[str, Any]:
        """DescribeExecution's answer. Raises NotFound, Unavailable."""


class StepFunctionsExecutions:
    """Of one account."""

    def __init__(self, aws: Aws) -> None:
        self._states = aws.client("stepfunctions")

    def describe(self, execution: str) -> Mapping[str, Any]:
        with translated(f"Reading execution {execution}"):
            found: Mapping[str, Any] = self._states.describe_execution(executionArn=execution)
        return found


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Raises Unavailable where it cannot be told, so that the invocation is tried again."""
    settings = load_settings()
    names, aws = settings.names, Aws(region=settings.region)
    notices = SnsNotices(aws, names.topic_arn)
    return report(event, names, StepFunctionsExecutions(aws), notices)


def report(
    event: Mapping[str, Any], names: Names, executions: Executions, notices: Notices
) -> dict[str, Any]:
    """Raises InputError for what is no end of an execution of ours."""
    arn = _execution_of(event, names)
    answer = executions.describe(arn)
    end = End(
        workflow=_workflow_of(arn, names),
        execution=arn,
        status=str(event["detail"]["status"]),
        error=answer.get("error"),
        cause=answer.get("cause"),
    )
    if end.told_itself:
        return {"action": "told by itself", "execution": arn}
    notices.publish(end.subject, end.facts)
    return {"action": "told", "event": end.event, "execution": arn}


def _execution_of(event: Mapping[str, Any], names: Names) -> str:
    arn = str(event.get("detail", {}).get("executionArn", ""))
    if not arn.startswith(_executions(names)):
        raise InputError(
            f"This Lambda takes ends of executions of '{names.prefix}', not {arn or sorted(event)}."
        )
    return arn


def _workflow_of(arn: str, names: Names) -> str:
    return arn.removeprefix(_executions(names)).partition(":")[0]


def _executions(names: Names) -> str:
    return names.state_machine_arn("").replace(":stateMachine:", ":execution:")
