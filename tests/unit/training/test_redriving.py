"""A failed run goes on with what it made, or is refused with the reason."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mlops.errors import InputError, Refused
from pipelines.training.executions import Execution
from pipelines.training.history import Step
from pipelines.training.redriving import Redrive, plan_redrive

START = datetime(2018, 8, 15, tzinfo=UTC)
GIVEN = {"settings": {"seed": 3, "test_end": "2018-08-14"}, "submitted_by": "somebody"}


def step(name: str, status: str = "SUCCEEDED", **more: Any) -> Step:
    return Step(name=name, status=status, started=START, **more)


MADE = (step("Preprocess"), step("Train", "FAILED"))


def plan(*steps: Step, status: str = "FAILED", **changed: Any) -> Redrive:
    error = changed.pop("error", "States.TaskFailed")
    name = changed.pop("name", "weekly")
    failed = Execution(
        workflow="fraud", name=name, arn="arn", status=status, started=START, error=error
    )
    options: dict[str, Any] = {
        "given": GIVEN,
        "chosen": {},
        "submitted_by": "me",
        "is_taken": lambda name: False,
    }
    return plan_redrive(failed, steps or MADE, **(options | changed))


def test_it_takes_the_rows_and_keeps_the_settings() -> None:
    found = plan()
    assert found.name == "weekly-r2"
    assert found.document["taken"] == {"preprocess": "weekly"}
    assert found.document["settings"] == GIVEN["settings"]
    assert (found.document["submitted_by"], found.document["redriven"]) == ("me", "weekly")


def test_rows_that_were_taken_themselves_are_taken_from_where_they_are() -> None:
    taken = step("Take preprocess", "TAKEN", taken_from="weekly")
    found = plan(taken, step("Train", "FAILED"), name="weekly-r2", is_taken="weekly-r2".__eq__)
    assert found.name == "weekly-r3"
    assert found.document["taken"] == {"preprocess": "weekly"}


def test_rows_that_were_not_made_are_made() -> None:
    found = plan(step("Preprocess", "FAILED"), given=GIVEN)
    assert "taken" not in found.document
    assert "made anew" in found.words


def test_a_run_by_its_own_day_keeps_that_day() -> None:
    assert plan(given={}).document["settings"] == {"test_end": "2018-08-15"}


def test_a_long_name_is_cut_to_fit_its_number() -> None:
    assert plan(name="x" * 36).name == "x" * 33 + "-r2"


def test_what_it_runs_on_may_change_and_nothing_else() -> None:
    bigger = {"instances": {"training": "ml.m5.4xlarge"}}
    assert plan(chosen=bigger).document["settings"]["instances"] == bigger["instances"]
    with pytest.raises(InputError, match="seed cannot change but in a new run"):
        plan(chosen={"seed": 4})


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        ("RUNNING", None, "still runs"),
        ("SUCCEEDED", None, "succeeded"),
        ("FAILED", "GateRefused", "its gate refused"),
    ],
)
def test_what_did_not_fail_is_refused(status: str, error: str | None, message: str) -> None:
    with pytest.raises(Refused, match=message):
        plan(status=status, error=error)
