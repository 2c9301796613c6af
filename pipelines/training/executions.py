"""Executions of workflows: starting, following and explaining them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from mlops.aws import Aws, translated
from mlops.errors import Conflict, JobFailed, MlopsError, NotFound, Refused
from mlops.names import Names
from pipelines.training.history import BATCH, Step, readable_cause, to_steps

GATE_REFUSED, BUSY = "GateRefused", "Busy"
"""Errors by which a workflow ends itself: at the gate, and because another run is in its way."""
_DESCRIBED = 100
"""Batch describes at most so many jobs at once."""
_ENDED = {"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Execution(_Frozen):
    """One run of a workflow, as Step Functions tells it."""

    workflow: str
    name: str
    arn: str
    status: str
    started: datetime
    stopped: datetime | None = None
    error: str | None = None
    cause: str | None = None
    package_arn: str | None = None
    """The registered version, when it got that far."""
    metrics: Mapping[str, float] = {}

    @property
    def ended(self) -> bool:
        return self.status in _ENDED

    def outcome(self) -> MlopsError | None:
        """What to raise: nothing after success, Refused for the gate's no, else JobFailed."""
        if not self.ended or self.status == "SUCCEEDED":
            return None
        text = f"Execution '{self.name}' of '{self.workflow}' {self.status.lower()}: {self.cause}"
        if self.error == GATE_REFUSED:
            return Refused(text)
        if self.error == BUSY:
            return Conflict(f"{text} Start it again when that one has ended.")
        logs = f"mlops workflows logs {self.workflow} --name {self.name}"
        return JobFailed(f"{text.rstrip('.')}. Read what its jobs logged: '{logs}'.")


@dataclass(frozen=True)
class Executions:
    """The executions of one environment's workflows."""

    aws: Aws
    names: Names

    def start(self, workflow: str, name: str, document: Mapping[str, Any]) -> Execution:
        """Start one; the same name with the same input is the same execution.

        Raises NotFound when the workflow is not deployed, Conflict when the name was used for
        something else.
        """
        states, text = self.aws.client("stepfunctions"), json.dumps(document, sort_keys=True)
        try:
            with translated(f"Starting workflow '{workflow}'"):
                states.start_execution(
                    stateMachineArn=self.names.state_machine_arn(workflow), name=name, input=text
                )
        except NotFound as exc:
            raise not_deployed(workflow) from exc
        except MlopsError as exc:
            if "AlreadyExists" not in str(exc):
                raise
            self._require_same(workflow, name, document)
        return self.get(workflow, name)

    def _require_same(self, workflow: str, name: str, document: Mapping[str, Any]) -> None:
        found = self._describe(workflow, name)
        if json.loads(found.get("input", "{}")) != document:
            raise Conflict(
                f"Execution '{name}' of '{workflow}' exists and was started with other settings. "
                "Choose another --name."
            )

    def get(self, workflow: str, name: str) -> Execution:
        """Raises NotFound."""
        return to_execution(workflow, self._describe(workflow, name))

    def exists(self, workflow: str, name: str) -> bool:
        try:
            self._describe(workflow, name)
        except NotFound:
            return False
        return True

    def given(self, execution: Execution) -> dict[str, Any]:
        """What an execution was started with."""
        found: dict[str, Any] = json.loads(
            self._describe(execution.workflow, execution.name).get("input") or "{}"
        )
        return found

    def newest(self, workflow: str, *, limit: int = 20) -> list[Execution]:
        """The newest executions, newest first. Raises NotFound when it is not deployed."""
        try:
            with translated(f"Listing the executions of '{workflow}'"):
                answer = self.aws.client("stepfunctions").list_executions(
                    stateMachineArn=self.names.state_machine_arn(workflow), maxResults=limit
                )
        except NotFound as exc:
            raise not_deployed(workflow) from exc
        newest = sorted(answer["executions"], key=lambda e: e["startDate"], reverse=True)
        return [self.get(workflow, entry["name"]) for entry in newest[:limit]]

    def successes(self, workflow: str, *, limit: int = 20) -> list[str]:
        """The names of the newest executions that succeeded, newest first."""
        try:
            with translated(f"Listing the executions of '{workflow}'"):
                answer = self.aws.client("stepfunctions").list_executions(
                    stateMachineArn=self.names.state_machine_arn(workflow),
                    statusFilter="SUCCEEDED",
                    maxResults=limit,
                )
        except NotFound:
            return []
        newest = sorted(answer["executions"], key=lambda e: e["startDate"], reverse=True)
        return [str(one["name"]) for one in newest]

    def steps(self, execution: Execution) -> list[Step]:
        """Every state that it entered so far, in order."""
        with translated(f"Reading the history of execution '{execution.name}'"):
            pages = (
                self.aws.client("stepfunctions")
                .get_paginator("get_execution_history")
                .paginate(executionArn=execution.arn)
            )
            return to_steps(event for page in pages for event in page["events"])

    def wait(
        self,
        execution: Execution,
        *,
        told: Callable[[Step], None],
        timeout_seconds: float,
        poll_seconds: float = 0.5,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Execution:
        """Wait until it ends; `told` hears of every step when it starts and when it ends.

        Raises JobFailed when it takes longer than the timeout; it goes on then.
        """
        seen: dict[int, Step] = {}
        followed = self.follow(
            execution, timeout_seconds=timeout_seconds, poll_seconds=poll_seconds, sleep=sleep
        )
        for now, steps in followed:
            for index, step in enumerate(steps):
                if seen.get(index) is None or seen[index].status != step.status:
                    told(step)
                seen[index] = step
            execution = now
        return execution

    def follow(
        self,
        execution: Execution,
        *,
        timeout_seconds: float,
        poll_seconds: float = 0.5,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Iterator[tuple[Execution, list[Step]]]:
        """The execution and its steps as they are, again and again, until it has ended.

        Raises JobFailed when it takes longer than the timeout; it goes on then.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            now = self.get(execution.workflow, execution.name)
            yield now, self.steps(now)
            if now.ended:
                return
            if time.monotonic() > deadline:
                raise JobFailed(
                    f"Execution '{now.name}' of '{now.workflow}' still runs after "
                    f"{timeout_seconds:.0f} s. See 'mlops workflows status {now.workflow}'."
                )
            sleep(poll_seconds)

    def log(self, step: Step) -> list[str]:
        """The lines of a step's job; empty for a step that is no job, or has not logged yet."""
        if step.job is None or step.log_group is None:
            return []
        try:
            with translated(f"Reading the log of {step.job}"):
                return [line for stream in self._streams(step) for line in self._lines(*stream)]
        except NotFound:
            return []

    def _streams(self, step: Step) -> list[tuple[str, str]]:
        """The log group and every stream of a step's job."""
        if step.log_group == BATCH:
            return self._batch_streams(str(step.job))
        pages = (
            self.aws.client("logs")
            .get_paginator("describe_log_streams")
            .paginate(logGroupName=step.log_group, logStreamNamePrefix=str(step.log_streams))
        )
        names = [stream["logStreamName"] for page in pages for stream in page["logStreams"]]
        return [(str(step.log_group), name) for name in names]

    def _batch_streams(self, job_id: str) -> list[tuple[str, str]]:
        """Of every attempt of a Batch job; of an array, of its children in order."""
        batch = self.aws.client("batch")
        [job] = batch.describe_jobs(jobs=[job_id])["jobs"]
        size = job.get("arrayProperties", {}).get("size", 0)
        children = [f"{job_id}:{index}" for index in range(size)]
        found = [job] if not children else []
        for start in range(0, len(children), _DESCRIBED):
            found += batch.describe_jobs(jobs=children[start : start + _DESCRIBED])["jobs"]
        return [
            (_log_group(one), attempt["container"]["logStreamName"])
            for one in found
            for attempt in one["attempts"]
            if "logStreamName" in attempt["container"]
        ]

    def _lines(self, group: str, stream: str) -> Iterator[str]:
        """CloudWatch ends the pages by giving the same token again."""
        token: dict[str, str] = {}
        while True:
            page = self.aws.client("logs").get_log_events(
                logGroupName=group, logStreamName=stream, startFromHead=True, **token
            )
            yield from (event["message"] for event in page["events"])
            if page["nextForwardToken"] == token.get("nextToken"):
                return
            token = {"nextToken": page["nextForwardToken"]}

    def _describe(self, workflow: str, name: str) -> dict[str, Any]:
        arn = self.names.state_machine_arn(workflow).replace(":stateMachine:", ":execution:")
        try:
            with translated(f"Reading execution '{name}' of '{workflow}'"):
                answer: dict[str, Any] = self.aws.client("stepfunctions").describe_execution(
                    executionArn=f"{arn}:{name}"
                )
        except NotFound as exc:
            raise NotFound(
                f"Workflow '{workflow}' has no execution '{name}'. "
                f"See what there is: mlops workflows status {workflow}"
            ) from exc
        return answer


def not_deployed(workflow: str) -> NotFound:
    """What to raise where a workflow must be deployed first."""
    return NotFound(
        f"Workflow '{workflow}' is not deployed. Run: mlops workflows deploy {workflow}"
    )


def to_execution(workflow: str, answer: Mapping[str, Any]) -> Execution:
    """Read a DescribeExecution answer."""
    output = json.loads(answer.get("output") or "{}")
    error = answer.get("error")
    return Execution(
        workflow=workflow,
        name=answer["name"],
        arn=answer["executionArn"],
        status=answer["status"],
        started=answer["startDate"],
        stopped=answer.get("stopDate"),
        error=error,
        cause=readable_cause(error, answer.get("cause")),
        package_arn=output.get("package", {}).get("ModelPackageArn"),
        metrics=output.get("evaluation", {}).get("verdict", {}).get("metrics", {}),
    )


def _log_group(job: Mapping[str, Any]) -> str:
    options = job["container"].get("logConfiguration", {}).get("options", {})
    return str(options.get("awslogs-group", "/aws/batch/job"))
