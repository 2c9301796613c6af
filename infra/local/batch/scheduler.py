"""Which job runs next: dependencies, priorities, and a place on this machine."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from infra.local.batch.job import Array, Job
from infra.local.batch.states import DEPENDENCY_FAILED
from infra.local.jobs.command import POLL

_log = logging.getLogger(__name__)


class Book(Protocol):
    """What the scheduler looks up and has done."""

    def find(self, job_id: str) -> Job | Array | None:
        """A job, an array, or a child ('id:index')."""

    def waiting(self) -> list[Job]:
        """Those that have not been found runnable yet, in the order in which they came."""

    def priority(self, job: Job) -> int | None:
        """Of its queue; None while that leads nowhere."""

    def fail(self, job: Job, reason: str) -> None: ...

    def make_runnable(self, job: Job) -> None: ...

    def note_pending(self, job: Job) -> None: ...

    def run(self, job: Job) -> None:
        """Run one attempt to its end, and note it."""


class Scheduler:
    """Hands runnable jobs to threads, of which as many work as there are free slots.

    The book's jobs change under `changed` only.
    """

    def __init__(self, book: Book, *, slots: threading.Semaphore, workers: int) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.closing = threading.Event()
        self._book = book
        self._slots = slots
        self._runnable: list[Job] = []
        self._threads = [
            threading.Thread(target=self._work, name=f"batch {n}", daemon=True)
            for n in range(workers)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self, seconds: float) -> None:
        with self.changed:
            self.changed.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(seconds)

    def advance(self) -> None:
        """Look at what waits, after something changed; call with `changed` held."""
        moved = True
        while moved:  # a failed dependency fails jobs that others depend on
            moved = False
            for job in self._book.waiting():
                moved = self._settle(job) or moved
        self.changed.notify_all()

    def add(self, job: Job) -> None:
        """A runnable job; call with `changed` held."""
        self._runnable.append(job)

    def _settle(self, job: Job) -> bool:
        """Decide on a waiting job; whether it waits no more."""
        verdict = dependency_verdict(job, self._book.find)
        if verdict == "wait":
            self._book.note_pending(job)
            return False
        if verdict == "fail":
            self._book.fail(job, DEPENDENCY_FAILED)
        else:
            self._book.make_runnable(job)
            self.add(job)
        return True

    def _work(self) -> None:
        while not self.closing.is_set():
            with self.changed:
                if self._best() is None:
                    self.changed.wait()
                    continue
            if self._slots.acquire(timeout=POLL):
                try:
                    self._run_next()
                finally:
                    self._slots.release()

    def _run_next(self) -> None:
        with self.changed:
            job = None if self.closing.is_set() else self._best()
            if job is None:
                return
            self._runnable.remove(job)
            job.state["status"] = "STARTING"
        try:
            self._book.run(job)
        except Exception as exc:  # noqa: BLE001 - a job must end and say how, also by our fault
            _log.exception("job %s", job.id)
            with self.changed:
                self._book.fail(job, f"Internal error of the local AWS: {exc!r}")
        with self.changed:
            self.advance()

    def _best(self) -> Job | None:
        """The runnable job whose turn it is: by its queue's priority, then by when it came."""
        self._runnable = [job for job in self._runnable if job.status == "RUNNABLE"]
        placed = [
            (-priority, job.sequence, job.index or 0, job)
            for job in self._runnable
            if (priority := self._book.priority(job)) is not None
        ]
        return min(placed, key=lambda entry: entry[:3])[3] if placed else None


def dependency_verdict(job: Job, find: Callable[[str], Job | Array | None]) -> str:
    """Whether a job may 'run', must 'wait', or must 'fail' with one that it depends on."""
    verdict = "run"
    for dependency in job.dependencies:
        other = _other(job, dependency, find)
        if other is None or other.status == "SUCCEEDED":
            continue
        if other.status == "FAILED":
            return "fail"
        verdict = "wait"
    return verdict


def _other(
    job: Job, dependency: dict[str, str], find: Callable[[str], Job | Array | None]
) -> Job | Array | None:
    """What must have succeeded; None where nothing must."""
    kind = dependency.get("type")
    if kind == "SEQUENTIAL":
        parent = job.id.rpartition(":")[0]
        return find(f"{parent}:{job.index - 1}") if job.index else None
    if kind == "N_TO_N":
        return find(f"{dependency['jobId']}:{job.index}")
    return find(dependency["jobId"])
