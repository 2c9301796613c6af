"""The states of a job, and what leads from one to the next. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED"]
STATUSES: tuple[Status, ...] = (
    "SUBMITTED",
    "PENDING",
    "RUNNABLE",
    "STARTING",
    "RUNNING",
    "SUCCEEDED",
    "FAILED",
)
ENDED = frozenset({"SUCCEEDED", "FAILED"})
STARTED = frozenset({"STARTING", "RUNNING"})

EXITED = "Essential container in task exited"
OVERTIME = "Job attempt duration exceeded timeout"
INTERRUPTED = "Host EC2 (the local AWS) terminated."
"""Worded as on AWS, where 'Host EC2*' is what retry strategies look for."""
DEPENDENCY_FAILED = "Dependent Job failed"
CHILD_FAILED = "Array Child Job failed"


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended; `exit_code` is None where no command was started."""

    status_reason: str
    exit_code: int | None = None
    reason: str = ""
    final: bool = False
    """Not to be tried again, whatever the strategy says."""

    @property
    def succeeded(self) -> bool:
        return self.exit_code == 0 and self.status_reason == EXITED


def should_retry(strategy: Mapping[str, Any], outcome: Outcome, *, attempts: int) -> bool:
    """Whether a failed job is to run again after so many attempts.

    The first entry of evaluateOnExit whose conditions all hold decides; where none does, the job
    is tried again.
    https://docs.aws.amazon.com/batch/latest/userguide/job_retries.html
    """
    if outcome.final or attempts >= strategy.get("attempts", 1):
        return False
    for entry in strategy.get("evaluateOnExit", ()):
        if _holds(entry, outcome):
            return str(entry["action"]).upper() == "RETRY"
    return True


def _holds(entry: Mapping[str, str], outcome: Outcome) -> bool:
    code = "" if outcome.exit_code is None else str(outcome.exit_code)
    said = {"onExitCode": code, "onReason": outcome.reason, "onStatusReason": outcome.status_reason}
    return all(matches(entry[name], text) for name, text in said.items() if name in entry)


def matches(pattern: str, text: str) -> bool:
    """Batch knows an asterisk at the end, and no other wildcard; letter case does not count."""
    if pattern.endswith("*"):
        return text.lower().startswith(pattern[:-1].lower())
    return text.lower() == pattern.lower()


def summary(statuses: Iterable[str]) -> dict[str, int]:
    """How many children stand where, as Batch shows it of an array."""
    counted = Counter(statuses)
    return {status: counted.get(status, 0) for status in STATUSES}


def array_status(counts: Mapping[str, int]) -> Status:
    """The status of an array: pending from the first child that moves until the last has ended."""
    size = sum(counts.values())
    if counts["SUBMITTED"] == size:
        return "SUBMITTED"
    if counts["SUCCEEDED"] + counts["FAILED"] < size:
        return "PENDING"
    return "FAILED" if counts["FAILED"] else "SUCCEEDED"
