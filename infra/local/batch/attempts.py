"""One attempt of a job: its command in a folder of its own, as its role."""

from __future__ import annotations

import shutil
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from infra.local.batch.checks import Document
from infra.local.batch.job import Job
from infra.local.batch.states import EXITED, INTERRUPTED, OVERTIME, Outcome
from infra.local.jobs.command import Command, Commands, How, platform_environment
from infra.local.jobs.identity import ADMIN, Clients, Credentials
from infra.local.jobs.logs import LogStream, Tail
from infra.local.service import AwsError

LOG_GROUP = "/aws/batch/job"
_TRUSTED = "ecs-tasks.amazonaws.com"
_KILLED = 137


@dataclass(frozen=True)
class Place:
    """What an attempt is told about where it runs."""

    queue: str
    environment: str
    array_size: int | None


class Attempts:
    """Runs attempts, each to its end."""

    def __init__(
        self, clients: Clients, folder: Path, *, grace: float, closing: threading.Event
    ) -> None:
        self._clients = clients
        self._folder = folder
        self._closing = closing
        self._commands = Commands(grace=grace, closing=closing)

    def clear(self) -> None:
        """Remove what attempts of a former local AWS left."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, job: Job, place: Place, started: Callable[[dict[str, Any]], None]) -> Outcome:
        """started: is told the identity of the process once it runs."""
        task = uuid.uuid4().hex
        job.state["container"] = {"taskArn": _task_arn(job, place, task)}
        try:
            role = self._assume(job.template["container"].get("jobRoleArn"), task)
            writer = self._assume(job.template["container"].get("executionRoleArn"), task)
        except (AwsError, ClientError) as exc:
            return _unable(exc)
        base = self._folder / task
        base.mkdir(parents=True)
        try:
            return self._execute(job, place, base, role, self._log(job, task, writer), started)
        finally:
            shutil.rmtree(base, ignore_errors=True)

    def _execute(
        self,
        job: Job,
        place: Place,
        base: Path,
        role: Credentials | None,
        log: LogStream,
        started: Callable[[dict[str, Any]], None],
    ) -> Outcome:
        home = base / "home"
        home.mkdir()
        command = Command(
            job.template["container"]["command"],
            environment=self._environment(job, place, home, role),
            workdir=home,
            log=base / "output.log",
            seconds=job.template.get("timeout", {}).get("attemptDurationSeconds"),
        )
        tail = Tail(command.log, log.write)
        code, how = self._commands.run(command, tail, stopping=job.stopping, started=started)
        return outcome_of(code, how, job.state.get("stopReason"), closing=self._closing.is_set())

    def _assume(self, role_arn: str | None, session: str) -> Credentials | None:
        if role_arn is None:
            return None
        self._clients.check_role(role_arn, _TRUSTED)
        return self._clients.assume(role_arn, session)

    def _log(self, job: Job, task: str, writer: Credentials | None) -> LogStream:
        options = job.template["container"].get("logConfiguration", {}).get("options", {})
        definition = job.template["jobDefinition"].rpartition("/")[2].partition(":")[0]
        stream = f"{options.get('awslogs-stream-prefix', definition)}/default/{task}"
        job.state["container"]["logStreamName"] = stream
        client = self._clients.client("logs", writer or ADMIN)
        group = options.get("awslogs-group", LOG_GROUP)
        if group == LOG_GROUP:
            _ensure_group(self._clients.client("logs"), group)
        return LogStream(client, group, stream, has_group=True)

    def _environment(
        self, job: Job, place: Place, home: Path, role: Credentials | None
    ) -> dict[str, str]:
        """Everything that the process sees; nothing of the server's own environment is in it."""
        platform = platform_environment(self._clients.endpoint, self._clients.region, role)
        own = {pair["name"]: pair["value"] for pair in job.template["container"]["environment"]}
        given = {name: value for name, value in platform.items() if name.startswith("AWS_")}
        return {
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            **platform,
            **own,
            **given,
            **batch_variables(job, place),
        }


def batch_variables(job: Job, place: Place) -> dict[str, str]:
    """What Batch sets: https://docs.aws.amazon.com/batch/latest/userguide/job_env_vars.html"""
    variables = {
        "AWS_BATCH_JOB_ID": job.id,
        "AWS_BATCH_JOB_ATTEMPT": str(len(job.state["attempts"]) + 1),
        "AWS_BATCH_JQ_NAME": place.queue,
        "AWS_BATCH_CE_NAME": place.environment,
    }
    if job.index is not None:
        variables["AWS_BATCH_JOB_ARRAY_INDEX"] = str(job.index)
        variables["AWS_BATCH_JOB_ARRAY_SIZE"] = str(place.array_size)
    return variables


def outcome_of(code: int, how: How, stopped_for: str | None, *, closing: bool) -> Outcome:
    """What an attempt came to. stopped_for: the reason of whoever terminated the job."""
    exit_code = code if code >= 0 else 128 - code
    if how == "overtime":
        return Outcome(OVERTIME, exit_code, final=True)
    if stopped_for is not None and how == "stopped":
        return Outcome(stopped_for, exit_code, final=True)
    if how == "stopped" and closing:
        return Outcome(INTERRUPTED, _KILLED)
    return Outcome(EXITED, exit_code)


def attempt_document(job: Job, outcome: Outcome, stopped: int) -> Document:
    """An ended attempt, as Batch lists it."""
    times = {"startedAt": job.state["startedAt"]} if "startedAt" in job.state else {}
    return {
        "container": dict(job.state["container"]),
        **times,
        "stoppedAt": stopped,
        "statusReason": outcome.status_reason,
    }


def milliseconds() -> int:
    return int(time.time() * 1000)


def _ensure_group(client: Any, group: str) -> None:
    """Batch's own log group is there once a job runs."""
    try:
        client.create_log_group(logGroupName=group)
    except client.exceptions.ResourceAlreadyExistsException:
        return


def _task_arn(job: Job, place: Place, task: str) -> str:
    region, account = job.arn.split(":")[3:5]
    return f"arn:aws:ecs:{region}:{account}:task/{place.environment}/{task}"


def _unable(error: AwsError | ClientError) -> Outcome:
    said = error.message if isinstance(error, AwsError) else str(error)
    return Outcome(f"ECS was unable to assume the role that was provided for this task. {said}")
