"""An execution's history, read into the steps that it went through. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

BATCH = "batch"
"""In place of a log group: a Batch job tells its own, and the streams of its attempts."""
TAKES = {"Take preprocess": "preprocess", "Take training": "training"}
"""States that take a step's outcome from an earlier run, and where the state then names the run."""
_FAILURE = {"Give back", "Tell failure", "Failed"}
"""The states that a failure without an answer leads to."""
_JOBS = {
    "TrainingJobName": ("/aws/sagemaker/TrainingJobs", "/"),
    "ProcessingJobName": ("/aws/sagemaker/ProcessingJobs", "/"),
    "HyperParameterTuningJobName": ("/aws/sagemaker/TrainingJobs", "-"),
}
"""By the field that names a job: its log group, and what follows the name in its streams' names."""


class Machine(BaseModel):
    """What a job runs on, and for how long it is paid."""

    model_config = ConfigDict(frozen=True)

    instance: str
    count: int = 1
    volume_gb: int = 0
    spot: bool = False
    billed_seconds: float | None = None
    """As SageMaker says at the job's end; a spot instance is billed for less than it ran."""


class Step(BaseModel):
    """One state that an execution entered."""

    model_config = ConfigDict(frozen=True)

    name: str
    status: str
    """RUNNING, SUCCEEDED, FAILED, HANDLED (it failed and the workflow has an answer to it), or
    TAKEN: its outcome is an earlier run's."""
    started: datetime
    seconds: float | None = None
    job: str | None = None
    log_group: str | None = None
    log_streams: str | None = None
    """How the names of the job's streams begin."""
    machine: Machine | None = None
    taken_from: str | None = None
    """The run whose outcome it is."""
    cause: str | None = None


def readable_cause(error: str | None, cause: str | None) -> str | None:
    """What failed and why; a failed job tells its whole description, of which this is little."""
    if not error and not cause:
        return None
    try:
        job = json.loads(cause or "")
    except json.JSONDecodeError:
        return f"{error}: {cause}"
    if isinstance(job, dict) and "StatusReason" in job and "JobName" in job:
        code = job.get("Container", {}).get("ExitCode")
        exited = "" if code is None else f" (exit code {code})"
        return f"{job['JobName']}: {job['StatusReason']}{exited}"
    if not isinstance(job, dict) or "FailureReason" not in job:
        return f"{error}: {cause}"
    name = next((job[key] for key in _JOBS if key in job), "a job")
    return f"{name}: {job['FailureReason']}"


def to_steps(events: Iterable[Mapping[str, Any]]) -> list[Step]:
    """Read an execution's history into the states it entered, in order."""
    steps: list[Step] = []
    for event in events:
        kind, at = event["type"], event["timestamp"]
        if kind.endswith("StateEntered"):
            name = event["stateEnteredEventDetails"]["name"]
            if steps and steps[-1].status == "FAILED" and name not in _FAILURE:
                steps[-1] = steps[-1].model_copy(update={"status": "HANDLED"})
            failed = "FAILED" if kind == "FailStateEntered" else "RUNNING"
            steps.append(Step(name=name, status=failed, started=at))
        elif steps and kind.endswith("StateExited"):
            steps[-1] = _taken(_ended(steps[-1], at), event.get("stateExitedEventDetails", {}))
        elif steps and kind in _TASK_EVENTS:
            details = event.get(f"{kind[:1].lower()}{kind[1:]}EventDetails", {})
            steps[-1] = _TASK_EVENTS[kind](steps[-1], details)
        elif steps and kind.startswith("Execution") and kind != "ExecutionStarted":
            steps[-1] = _ended(steps[-1], at)
    return steps


def _ended(step: Step, at: datetime) -> Step:
    status = step.status
    if status == "RUNNING":
        status = "FAILED" if step.cause else "SUCCEEDED"
    seconds = step.seconds if step.seconds is not None else (at - step.started).total_seconds()
    return step.model_copy(update={"status": status, "seconds": seconds})


def _taken(step: Step, details: Mapping[str, Any]) -> Step:
    """Name the run of a step that only took what another one made."""
    field = TAKES.get(step.name)
    if field is None or step.status != "SUCCEEDED":
        return step
    found = json.loads(details.get("output") or "{}").get(field, {})
    return step.model_copy(update={"status": "TAKEN", "taken_from": found.get("run")})


def _scheduled(step: Step, details: Mapping[str, Any]) -> Step:
    """A retried task is scheduled again: what failed before is no longer its outcome."""
    parameters = json.loads(details.get("parameters") or "{}")
    for key, (group, end) in _JOBS.items():
        if key in parameters:
            job = {
                "job": parameters[key],
                "log_group": group,
                "log_streams": parameters[key] + end,
                "machine": _machine(parameters),
            }
            return step.model_copy(update={"cause": None, **job})
    return step.model_copy(update={"cause": None})


def _machine(parameters: Mapping[str, Any]) -> Machine | None:
    """What a SageMaker job asks for; of a search, what its trials ask for side by side."""
    if "TrainingJobDefinition" in parameters:
        trial = _machine(parameters["TrainingJobDefinition"])
        limits = parameters["HyperParameterTuningJobConfig"]["ResourceLimits"]
        side_by_side = {"count": limits["MaxParallelTrainingJobs"]}
        return trial and trial.model_copy(update=side_by_side)
    resources = parameters.get("ResourceConfig") or parameters.get("ProcessingResources", {}).get(
        "ClusterConfig", {}
    )
    if "InstanceType" not in resources:
        return None
    return Machine(
        instance=resources["InstanceType"],
        count=resources.get("InstanceCount", 1),
        volume_gb=resources.get("VolumeSizeInGB", 0),
        spot=parameters.get("EnableManagedSpotTraining", False),
    )


def _succeeded(step: Step, details: Mapping[str, Any]) -> Step:
    """What a SageMaker job was billed for; times are epoch milliseconds."""
    answer = json.loads(details.get("output") or "{}")
    billed = answer.get("BillableTimeInSeconds")
    if {"ProcessingStartTime", "ProcessingEndTime"} <= answer.keys():
        billed = (answer["ProcessingEndTime"] - answer["ProcessingStartTime"]) / 1000
    if step.machine is None or billed is None:
        return step
    machine = step.machine.model_copy(update={"billed_seconds": billed})
    return step.model_copy(update={"machine": machine})


def _submitted(step: Step, details: Mapping[str, Any]) -> Step:
    """A Batch job has an id once it is submitted."""
    if details.get("resourceType") != BATCH:
        return step
    answer = json.loads(details.get("output") or "{}")
    return step.model_copy(update={"job": answer.get("JobId"), "log_group": BATCH})


def _failed(step: Step, details: Mapping[str, Any]) -> Step:
    cause = readable_cause(details.get("error"), details.get("cause"))
    return step.model_copy(update={"cause": cause})


_TASK_EVENTS: dict[str, Callable[[Step, Mapping[str, Any]], Step]] = {
    "TaskScheduled": _scheduled,
    "TaskSubmitted": _submitted,
    "TaskSucceeded": _succeeded,
    "TaskFailed": _failed,
    "TaskTimedOut": _failed,
}
