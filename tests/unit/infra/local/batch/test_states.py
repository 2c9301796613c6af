"""When a Batch job is tried again, and what an array's status is."""

from __future__ import annotations

from typing import Any

import pytest

from infra.local.batch.attempts import outcome_of
from infra.local.batch.states import (
    EXITED,
    INTERRUPTED,
    OVERTIME,
    STATUSES,
    Outcome,
    array_status,
    should_retry,
    summary,
)

FAILED = Outcome(EXITED, exit_code=1)
THREE = {"attempts": 3}


def strategy(*entries: dict[str, str]) -> dict[str, Any]:
    return {"attempts": 3, "evaluateOnExit": list(entries)}


def test_a_job_without_a_strategy_is_tried_once() -> None:
    assert not should_retry({}, FAILED, attempts=1)


@pytest.mark.parametrize(("attempts", "again"), [(1, True), (2, True), (3, False)])
def test_a_failed_job_is_tried_as_often_as_its_strategy_says(attempts: int, again: bool) -> None:
    assert should_retry(THREE, FAILED, attempts=attempts) is again


def test_the_first_entry_that_holds_decides() -> None:
    rules = strategy({"onExitCode": "1", "action": "EXIT"}, {"onExitCode": "*", "action": "RETRY"})
    assert not should_retry(rules, FAILED, attempts=1)
    assert should_retry(rules, Outcome(EXITED, exit_code=137), attempts=1)


def test_an_entry_holds_only_when_all_its_conditions_do() -> None:
    entry = {"onExitCode": "1", "onReason": "OutOfMemory*", "action": "EXIT"}
    assert should_retry(strategy(entry), FAILED, attempts=1)
    memory = Outcome(EXITED, exit_code=1, reason="OutOfMemoryError: killed")
    assert not should_retry(strategy(entry), memory, attempts=1)


def test_a_job_of_a_lost_host_is_found_by_its_status_reason() -> None:
    rules = strategy(
        {"onStatusReason": "Host EC2*", "action": "RETRY"},
        {"onReason": "*", "action": "EXIT"},
    )
    assert should_retry(rules, Outcome(INTERRUPTED, exit_code=137), attempts=1)
    assert not should_retry(rules, FAILED, attempts=1)


def test_what_matches_no_entry_is_tried_again() -> None:
    assert should_retry(strategy({"onExitCode": "2", "action": "EXIT"}), FAILED, attempts=1)


def test_a_job_that_was_terminated_or_late_is_not_tried_again() -> None:
    stopped = outcome_of(143, "stopped", "enough", closing=False)
    assert stopped.status_reason == "enough"
    assert not should_retry(THREE, stopped, attempts=1)
    late = outcome_of(143, "overtime", None, closing=False)
    assert late.status_reason == OVERTIME
    assert not should_retry(THREE, late, attempts=1)


def test_a_command_that_ended_by_itself_has_not_been_stopped() -> None:
    assert outcome_of(0, "ended", "enough", closing=True).succeeded


def test_a_killed_process_exits_as_a_shell_says_it() -> None:
    assert outcome_of(-9, "ended", None, closing=False).exit_code == 137


@pytest.mark.parametrize(
    ("children", "status"),
    [
        (["SUBMITTED", "SUBMITTED"], "SUBMITTED"),
        (["RUNNABLE", "RUNNABLE"], "PENDING"),
        (["SUCCEEDED", "RUNNING"], "PENDING"),
        (["FAILED", "RUNNING"], "PENDING"),
        (["SUCCEEDED", "FAILED"], "FAILED"),
        (["SUCCEEDED", "SUCCEEDED"], "SUCCEEDED"),
    ],
)
def test_an_array_is_pending_until_its_last_child_has_ended(
    children: list[str], status: str
) -> None:
    assert array_status(summary(children)) == status


def test_a_summary_counts_every_status() -> None:
    counts = summary(["RUNNING", "FAILED", "FAILED"])
    assert set(counts) == set(STATUSES)
    assert (counts["RUNNING"], counts["FAILED"], counts["SUCCEEDED"]) == (1, 2, 0)
