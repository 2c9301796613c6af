"""Runs one job from its request to its end, on a thread of its own."""

from __future__ import annotations

import logging
import re
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from infra.local.jobs.command import POLL, Command, Commands, How, platform_environment
from infra.local.jobs.identity import Clients, Credentials
from infra.local.jobs.logs import LogStream, Tail
from infra.local.jobs.shelf import Shelf
from infra.local.sagemaker.container import (
    Container,
    lay_out,
    process_environment,
    relocate,
)
from infra.local.sagemaker.kinds import Document, End, Kind, Phase
from infra.local.sagemaker.storage import Storage, StorageError

_log = logging.getLogger(__name__)
_ENDS: dict[How, End] = {
    "ended": "Completed",
    "stopped": "Stopped",
    "overtime": "MaxRuntimeExceeded",
}


class Job:
    """One job: its document, and what happens to it. The document changes under `lock` only."""

    def __init__(
        self, kind: Kind, document: Document, tags: list[Any], *, folder: Path, shelf: Shelf
    ) -> None:
        self.kind = kind
        self.document = document
        self.tags = tags
        self.folder = folder
        self.lock = threading.RLock()
        self.stopping = threading.Event()
        self.process: dict[str, Any] | None = None
        self._shelf = shelf

    @property
    def name(self) -> str:
        return str(self.document[f"{self.kind.word}JobName"])

    @property
    def status(self) -> str:
        return str(self.document[f"{self.kind.word}JobStatus"])

    @property
    def running(self) -> bool:
        return self.status in {"InProgress", "Stopping"}

    def note_process(self, identity: dict[str, Any]) -> None:
        self.process = identity
        self.save()

    def save(self) -> None:
        with self.lock:
            record = {"document": self.document, "tags": self.tags, "process": self.process}
            self._shelf.save(self.name, record)


class Runner:
    """Runs jobs while there are free `slots`; the others wait as 'Starting'."""

    def __init__(self, clients: Clients, *, slots: threading.Semaphore, grace: float) -> None:
        self._clients = clients
        self._slots = slots
        self.closing = threading.Event()
        self._commands = Commands(grace=grace, closing=self.closing)

    def run(self, job: Job) -> None:
        """Bring a job to its end, whatever happens."""
        while not self._slots.acquire(timeout=POLL):
            if job.stopping.is_set():
                self._end_unstarted(job)
                return
        try:
            self._run(job)
        except StorageError as exc:
            self._end(job, "Failed", f"ClientError: {exc}")
        except Exception as exc:  # noqa: BLE001 - a job must end and say how, also by our fault
            _log.exception("job %s", job.name)
            self._end(job, "Failed", f"InternalServerError: {type(exc).__name__}: {exc}")
        finally:
            self._slots.release()
            shutil.rmtree(job.folder, ignore_errors=True)

    def _run(self, job: Job) -> None:
        base = job.folder / "ml"
        container = job.kind.container(job.document)
        role = self._clients.assume(job.document["RoleArn"])
        storage = Storage(self._clients.client("s3", role))
        lay_out(container, base)
        self._enter(job, "Downloading")
        for source in container.inputs:
            (base / source.path).mkdir(parents=True, exist_ok=True)
            storage.download(source.uri, base / source.path)
        if job.stopping.is_set():
            self._end_unstarted(job)
            return
        self._enter(job, "Running")
        exit_code, ended = self._execute(job, container, base, role)
        self._finish(job, base, storage, exit_code, ended)

    def _finish(self, job: Job, base: Path, storage: Storage, exit_code: int, ended: End) -> None:
        if self.closing.is_set():
            self._end(job, "Failed", INTERRUPTED)
            return
        failed = ended == "Completed" and exit_code != 0
        if not failed:
            self._enter(job, "Uploading")
        more = job.kind.store(job.document, base, storage, whole=not failed)
        with job.lock:
            job.document |= more
        if failed:
            self._end(job, "Failed", job.kind.failure(base, exit_code))
        else:
            self._end(job, ended, None)

    def _execute(
        self, job: Job, container: Container, base: Path, role: Credentials
    ) -> tuple[int, End]:
        """Run the command; its exit code, and whether it ended by itself."""
        log = job.folder / "output.log"
        platform = platform_environment(self._clients.endpoint, self._clients.region, role)
        command = Command(
            _relocated(container, base),
            environment=process_environment(container, base, platform=platform),
            workdir=base / container.workdir,
            log=log,
            seconds=container.seconds,
        )
        tail = Tail(log, self._stream(job, role).write, _metrics(job, container.metrics))
        try:
            code, how = self._commands.run(
                command, tail, stopping=job.stopping, started=job.note_process
            )
        finally:
            job.process = None
        return code, _ENDS[how]

    def _stream(self, job: Job, role: Credentials) -> LogStream:
        stream = f"{job.name}/algo-1-{int(time.time())}"
        group = f"/aws/sagemaker/{job.kind.word}Jobs"
        return LogStream(self._clients.client("logs", role), group, stream)

    def _enter(self, job: Job, phase: Phase) -> None:
        with job.lock:
            job.kind.enter(job.document, phase, time.time())
            job.save()

    def _end_unstarted(self, job: Job) -> None:
        if self.closing.is_set():
            self._end(job, "Failed", INTERRUPTED)
        else:
            self._end(job, "Stopped", None)

    def _end(self, job: Job, end: End, reason: str | None) -> None:
        with job.lock:
            job.kind.end(job.document, end, time.time(), reason)
            job.save()


INTERRUPTED = "InternalServerError: the local AWS was stopped while the job ran. Start it again."


def _relocated(container: Container, base: Path) -> list[str]:
    return [relocate(word, base) for word in container.command]


def _metrics(job: Job, expressions: Mapping[str, str]) -> Callable[[list[str]], None]:
    """Keeps the last value of every metric that a line of output shows."""
    patterns = {name: re.compile(expression) for name, expression in expressions.items()}

    def read(lines: list[str]) -> None:
        for line in lines:
            for name, pattern in patterns.items():
                found = pattern.search(line)
                if found:
                    _note_metric(job, name, found[1])

    return read


def _note_metric(job: Job, name: str, text: str) -> None:
    try:
        value = float(text)
    except ValueError:
        _log.warning("job %s: metric %s reads '%s', no number", job.name, name, text)
        return
    with job.lock:
        final = job.document.setdefault("FinalMetricDataList", [])
        final[:] = [metric for metric in final if metric["MetricName"] != name]
        final.append({"MetricName": name, "Value": value, "Timestamp": time.time()})
