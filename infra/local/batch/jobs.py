"""The operations on jobs: submit, describe, list, cancel, terminate; and their records."""

from __future__ import annotations

import itertools
import os
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infra.local.batch import states
from infra.local.batch.attempts import Attempts, Place, attempt_document, milliseconds
from infra.local.batch.checks import Document, client_error
from infra.local.batch.definitions import Definitions
from infra.local.batch.job import Array, Job, jobs_of, new_state
from infra.local.batch.listing import page
from infra.local.batch.queues import Operations, Queues
from infra.local.batch.scheduler import Scheduler
from infra.local.batch.submission import array_size, check_submission, job_template
from infra.local.jobs import process
from infra.local.jobs.identity import Clients
from infra.local.jobs.shelf import Shelf
from infra.local.service import Caller

KEPT_SECONDS = 7 * 24 * 3600
"""How long ended jobs can be described, as on AWS."""
_MOST_DESCRIBED = 100


class Jobs:
    """Every job of the last days; what `Scheduler` takes for its book."""

    def __init__(
        self,
        folder: Path,
        arn: str,
        clients: Clients,
        queues: Queues,
        definitions: Definitions,
        *,
        slots: threading.Semaphore,
        grace: float,
    ) -> None:
        self._arn = arn
        self._queues, self._definitions = queues, definitions
        self._shelf = Shelf(folder / "jobs")
        self._jobs: dict[str, Job | Array] = {}
        self._waiting: dict[str, Job] = {}
        self._sequence = itertools.count()
        self._scheduler = Scheduler(self, slots=slots, workers=os.cpu_count() or 1)
        closing = self._scheduler.closing
        self._attempts = Attempts(clients, folder / "running", grace=grace, closing=closing)
        self._restore()

    def operations(self) -> Operations:
        return {
            "SubmitJob": self._submit,
            "DescribeJobs": self._describe,
            "ListJobs": self._list,
            "CancelJob": self._cancel,
            "TerminateJob": self._terminate,
        }

    def start(self) -> None:
        """Begin to run what waits: from now on the endpoint answers."""
        self._scheduler.start()
        self.wake()

    def wake(self) -> None:
        """Look at what waits: something that it waits for may have changed."""
        with self._scheduler.changed:
            self._scheduler.advance()

    def close(self) -> None:
        """End what runs; what is left to do is done after a restart."""
        self._scheduler.closing.set()
        with self._scheduler.changed:
            for job in self._all():
                if job.status in states.STARTED:
                    job.stopping.set()
        self._scheduler.join(15)

    def drain(self, queue_arn: str) -> None:
        """End every job of a queue."""
        with self._scheduler.changed:
            for job in self._all():
                if job.template["jobQueue"] == queue_arn:
                    self._end(job, "Job queue was deleted", started=True)
            self._scheduler.advance()

    # What the scheduler asks for and has done; it holds `changed`.

    def find(self, job_id: str) -> Job | Array | None:
        parent, colon, index = job_id.partition(":")
        found = self._jobs.get(parent)
        if not colon:
            return found
        children = found.children if isinstance(found, Array) else []
        return children[int(index)] if index.isdecimal() and int(index) < len(children) else None

    def waiting(self) -> list[Job]:
        return list(self._waiting.values())

    def priority(self, job: Job) -> int | None:
        return self._queues.priority(job.template["jobQueue"])

    def note_pending(self, job: Job) -> None:
        job.state["status"] = "PENDING"

    def make_runnable(self, job: Job) -> None:
        self._waiting.pop(job.id, None)
        job.state["status"] = "RUNNABLE"

    def fail(self, job: Job, reason: str) -> None:
        self._waiting.pop(job.id, None)
        job.state |= {"status": "FAILED", "statusReason": reason, "stoppedAt": milliseconds()}
        self._save(job)

    def run(self, job: Job) -> None:
        """One attempt, and what follows from it."""
        with self._scheduler.changed:
            job.state |= {"startedAt": milliseconds()}
            self._save(job)
            place = self._place(job)
        outcome = self._attempts.run(job, place, lambda identity: self._note(job, identity))
        with self._scheduler.changed:
            self._conclude(job, outcome)
            if job.status == "RUNNABLE" and not self._scheduler.closing.is_set():
                self._scheduler.add(job)

    def _note(self, job: Job, identity: dict[str, Any]) -> None:
        with self._scheduler.changed:
            job.state |= {"status": "RUNNING", "process": identity}
            self._save(job)

    def _conclude(self, job: Job, outcome: states.Outcome) -> None:
        now = milliseconds()
        job.state.pop("process", None)
        ended = {"exitCode": outcome.exit_code, "reason": outcome.reason}
        job.state["container"] |= {k: v for k, v in ended.items() if v not in (None, "")}
        job.state["attempts"].append(attempt_document(job, outcome, now))
        job.state["statusReason"] = outcome.status_reason
        attempts = len(job.state["attempts"])
        strategy = job.template["retryStrategy"]
        if outcome.succeeded:
            job.state |= {"status": "SUCCEEDED", "stoppedAt": now}
        elif states.should_retry(strategy, outcome, attempts=attempts):
            job.state["status"] = "RUNNABLE"
        else:
            job.state |= {"status": "FAILED", "stoppedAt": now}
        self._save(job)

    def _place(self, job: Job) -> Place:
        parent = self._jobs[job.id.partition(":")[0]]
        size = len(parent.children) if isinstance(parent, Array) else None
        queue = job.template["jobQueue"]
        return Place(queue.rpartition("/")[2], self._queues.first_place(queue), size)

    # The operations.

    def _submit(self, request: Document, caller: Caller) -> Document:
        check_submission(request)
        queue = self._queues.open(request["jobQueue"])
        definition = self._definitions.find(request["jobDefinition"])
        template = job_template(request, definition, queue["jobQueueArn"])
        if not template["container"]["command"]:
            raise client_error(
                "command: the local AWS pulls no image, so a job needs a command: in its "
                "definition's containerProperties, or in containerOverrides."
            )
        with self._scheduler.changed:
            self._check_dependencies(template, array_size(request))
            made = self._make(template, array_size(request))
            self._jobs[made.id] = made
            self._keep(made)
            self._waiting |= {job.id: job for job in jobs_of(made)}
            self._scheduler.advance()
        return {"jobArn": made.arn, "jobName": request["jobName"], "jobId": made.id}

    def _check_dependencies(self, template: Document, size: int | None) -> None:
        for dependency in template["dependsOn"]:
            if dependency.get("type") == "SEQUENTIAL":
                continue
            other = self.find(dependency["jobId"])
            if other is None:
                raise client_error(f"dependsOn: job {dependency['jobId']} does not exist.")
            if dependency.get("type") == "N_TO_N" and (
                not isinstance(other, Array) or len(other.children) != size
            ):
                raise client_error("dependsOn: N_TO_N is for arrays of the same size.")

    def _make(self, template: Document, size: int | None) -> Job | Array:
        id_, now, sequence = str(uuid.uuid4()), milliseconds(), next(self._sequence)
        arn = f"{self._arn}:job/{id_}"
        if size is None:
            return Job(id_, arn, template, new_state(now), sequence)
        children = [_child(id_, arn, template, new_state(now), sequence, n) for n in range(size)]
        return Array(id_, arn, template, now, children, sequence)

    def _describe(self, request: Document, caller: Caller) -> Document:
        asked = request["jobs"]
        if len(asked) > _MOST_DESCRIBED:
            raise client_error(f"At most {_MOST_DESCRIBED} jobs can be described at once.")
        with self._scheduler.changed:
            found = [self.find(job_id.rpartition("/")[2]) for job_id in asked]
            return {"jobs": [job.describe() for job in found if job is not None]}

    def _list(self, request: Document, caller: Caller) -> Document:
        with self._scheduler.changed:
            shown, rest = page(list(self._listed(request)), request)
        return {"jobSummaryList": shown, **rest}

    def _listed(self, request: Document) -> Iterator[Document]:
        """The newest first, by the queue or the array that is asked for."""
        status = request.get("jobStatus") or (None if request.get("filters") else "RUNNING")
        for job in self._candidates(request):
            found = job.summarize()
            if status in (None, found["status"]) and _passes(found, request.get("filters", ())):
                yield found

    def _candidates(self, request: Document) -> list[Job | Array]:
        if "multiNodeJobId" in request:
            raise client_error("multiNodeJobId: the local AWS runs jobs of one container each.")
        if "arrayJobId" in request:
            array = self.find(request["arrayJobId"])
            return list(array.children) if isinstance(array, Array) else []
        if "jobQueue" not in request:
            raise client_error("Give a jobQueue or an arrayJobId.")
        queue = self._queues.arn_of(request["jobQueue"])
        found = [job for job in self._jobs.values() if job.template["jobQueue"] == queue]
        return sorted(found, key=lambda job: -job.sequence)

    def _cancel(self, request: Document, caller: Caller) -> Document:
        self._end_all(request, started=False)
        return {}

    def _terminate(self, request: Document, caller: Caller) -> Document:
        self._end_all(request, started=True)
        return {}

    def _end_all(self, request: Document, *, started: bool) -> None:
        with self._scheduler.changed:
            found = self.find(request["jobId"])
            if found is None:
                raise client_error(f"Job {request['jobId']} does not exist.")
            for job in jobs_of(found):
                self._end(job, request["reason"], started=started)
            self._scheduler.advance()

    def _end(self, job: Job, reason: str, *, started: bool) -> None:
        """End a job that waits and, if so asked, one that has started; others stay."""
        if job.ended or (job.status in states.STARTED and not started):
            return
        job.state["isTerminated" if started else "isCancelled"] = True
        if job.status in states.STARTED:
            job.state["stopReason"] = reason
            job.stopping.set()
        else:
            self.fail(job, reason)

    # The records.

    def _all(self) -> Iterator[Job]:
        for found in self._jobs.values():
            yield from jobs_of(found)

    def _keep(self, made: Job | Array) -> None:
        """The submission, without which no state means anything."""
        record: Document = {"template": made.template, "arn": made.arn, "sequence": made.sequence}
        if isinstance(made, Array):
            record |= {"created": made.created, "size": len(made.children)}
        else:
            record |= {"state": made.state}
        self._shelf.save(made.id, record)

    def _save(self, job: Job) -> None:
        if job.index is None:
            self._keep(job)
        else:
            self._shelf.save(job.id, {"state": job.state})

    def _restore(self) -> None:
        """Read the records; an attempt that was cut short failed, and may be tried again."""
        self._attempts.clear()
        records = self._shelf.load()
        loaded = (_loaded(id_, r, records) for id_, r in records.items() if "template" in r)
        for found in sorted(loaded, key=lambda job: job.sequence):
            if _is_old(found):
                self._forget(found)
                continue
            self._jobs[found.id] = found
            for job in jobs_of(found):
                self._resume(job)
        last = max((job.sequence for job in self._jobs.values()), default=-1)
        self._sequence = itertools.count(last + 1)

    def _resume(self, job: Job) -> None:
        if job.status in states.STARTED:
            if "process" in job.state:
                process.end_orphan(job.state["process"])
            stopped = job.state.get("stopReason")
            reason = states.INTERRUPTED if stopped is None else stopped
            self._conclude(job, states.Outcome(reason, final=stopped is not None))
        if not job.ended:
            self._waiting[job.id] = job

    def _forget(self, found: Job | Array) -> None:
        for id_ in {found.id, *(job.id for job in jobs_of(found))}:
            self._shelf.delete(id_)


def _child(
    parent: str, arn: str, template: Document, state: Document, sequence: int, index: int
) -> Job:
    return Job(f"{parent}:{index}", f"{arn}:{index}", template, state, sequence, index)


def _loaded(id_: str, record: Document, records: dict[str, Any]) -> Job | Array:
    template, arn, sequence = record["template"], record["arn"], record["sequence"]
    if "size" not in record:
        return Job(id_, arn, template, record["state"], sequence)
    created = record["created"]
    children = [
        _child(id_, arn, template, _state(records, f"{id_}:{n}", created), sequence, n)
        for n in range(record["size"])
    ]
    return Array(id_, arn, template, created, children, sequence)


def _state(records: dict[str, Any], id_: str, created: int) -> Document:
    """A child that never started has no record of its own."""
    state: Document = records[id_]["state"] if id_ in records else new_state(created)
    return state


def _is_old(found: Job | Array) -> bool:
    oldest = (time.time() - KEPT_SECONDS) * 1000
    return found.ended and all(job.state.get("stoppedAt", 0) < oldest for job in jobs_of(found))


def _passes(found: Document, filters: list[Document]) -> bool:
    return all(any(_fits(found, f["name"], v) for v in f["values"]) for f in filters)


def _fits(found: Document, name: str, value: str) -> bool:
    if name == "BEFORE_CREATED_AT":
        return bool(found["createdAt"] < int(value))
    if name == "AFTER_CREATED_AT":
        return bool(found["createdAt"] > int(value))
    if name not in {"JOB_NAME", "JOB_DEFINITION"}:
        raise client_error(f"filters: the local AWS knows no {name}.")
    shown = found["jobName" if name == "JOB_NAME" else "jobDefinition"].rpartition("/")[2]
    return states.matches(value, shown) or states.matches(value, shown.partition(":")[0])
