"""A job and its record; an array and its children."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from infra.local.batch import states
from infra.local.batch.checks import Document

_SHOWN = ("statusReason", "startedAt", "stoppedAt", "isCancelled", "isTerminated")
_OF_CONTAINER = ("exitCode", "reason", "logStreamName", "taskArn")


@dataclass
class Job:
    """Something that runs a command: a job of its own, or a child of an array.

    `state` is what changes: status, times in epoch milliseconds, attempts, the container's end.
    """

    id: str
    arn: str
    template: Document
    state: Document
    sequence: int
    """By when it came; children follow their array's order."""
    index: int | None = None
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def status(self) -> states.Status:
        status: states.Status = self.state["status"]
        return status

    @property
    def ended(self) -> bool:
        return self.status in states.ENDED

    @property
    def dependencies(self) -> Sequence[Document]:
        found: Sequence[Document] = self.template["dependsOn"]
        return found

    def describe(self) -> Document:
        """As DescribeJobs shows it."""
        container = self.template["container"] | {
            name: self.state["container"][name]
            for name in _OF_CONTAINER
            if name in self.state["container"]
        }
        array = {} if self.index is None else {"arrayProperties": {"index": self.index}}
        return copy.deepcopy(
            self.template | _common(self, self.state) | {"container": container} | array
        )

    def summarize(self) -> Document:
        """As ListJobs shows it."""
        container = self.state["container"]
        shown = {name: container[name] for name in ("exitCode", "reason") if name in container}
        array = {} if self.index is None else {"arrayProperties": {"index": self.index}}
        return _summary(self, self.state) | {"container": shown} | array


@dataclass
class Array:
    """A job of which each child runs the command; its state is that of its children."""

    id: str
    arn: str
    template: Document
    created: int
    children: list[Job]
    sequence: int

    @property
    def status(self) -> states.Status:
        return states.array_status(self.counts())

    @property
    def ended(self) -> bool:
        return self.status in states.ENDED

    def counts(self) -> dict[str, int]:
        return states.summary(child.status for child in self.children)

    def describe(self) -> Document:
        return copy.deepcopy(
            self.template | _common(self, self._state()) | {"arrayProperties": self._array()}
        )

    def summarize(self) -> Document:
        return _summary(self, self._state()) | {"arrayProperties": self._array()}

    def _array(self) -> Document:
        return {"size": len(self.children), "statusSummary": self.counts()}

    def _state(self) -> Document:
        """Started with the first child and, once all have ended, stopped with the last."""
        status = self.status
        state: Document = {"status": status, "createdAt": self.created, "attempts": []}
        started = [c.state["startedAt"] for c in self.children if "startedAt" in c.state]
        if started:
            state["startedAt"] = min(started)
        if status in states.ENDED:
            stopped = [c.state["stoppedAt"] for c in self.children if "stoppedAt" in c.state]
            state["stoppedAt"] = max(stopped, default=self.created)
        if status == "FAILED":
            state["statusReason"] = states.CHILD_FAILED
        return state


def new_state(now: int) -> Document:
    return {"status": "SUBMITTED", "createdAt": now, "attempts": [], "container": {}}


def jobs_of(found: Job | Array) -> Iterator[Job]:
    """What runs a command of it."""
    yield from found.children if isinstance(found, Array) else (found,)


def _common(job: Job | Array, state: Document) -> Document:
    shown = {name: state[name] for name in _SHOWN if name in state}
    kept: dict[str, Any] = {name: state[name] for name in ("status", "createdAt", "attempts")}
    return {"jobId": job.id, "jobArn": job.arn} | kept | shown


def _summary(job: Job | Array, state: Document) -> Document:
    shown = {name: state[name] for name in _SHOWN if name in state}
    template = {name: job.template[name] for name in ("jobName", "jobDefinition")}
    kept = {name: state[name] for name in ("status", "createdAt")}
    return {"jobId": job.id, "jobArn": job.arn} | template | kept | shown
