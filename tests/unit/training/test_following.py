"""Steps cost what the dated table says, and those who watch see it as it happens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from mlops.prices import HOURS, load_prices
from pipelines.training import following
from pipelines.training.executions import Execution, Executions
from pipelines.training.history import Machine, Step, to_steps
from pipelines.training.pricing import run_price, step_price

PRICES = load_prices("ap-northeast-2")
START = datetime(2018, 8, 15, tzinfo=UTC)
NOW = START + timedelta(hours=1)
JOB = {"started": START, "job": "fraud-train-one", "log_group": "g"}


def train(**changed: Any) -> Step:
    machine = Machine(instance="ml.m5.xlarge", volume_gb=30)
    return Step(name="Train", **({"status": "RUNNING", "machine": machine} | JOB | changed))


def test_a_running_job_costs_its_instance_and_volume_up_to_now() -> None:
    volume = 30 * PRICES.of("sagemaker.volume_gb_month") / HOURS
    wanted = PRICES.instance_hour("ml.m5.xlarge") + volume
    assert step_price(train(), PRICES, now=NOW) == pytest.approx(wanted)


def test_a_spot_job_costs_what_it_was_billed_for() -> None:
    billed = Machine(instance="ml.m5.xlarge", count=2, spot=True, billed_seconds=900)
    step = train(status="SUCCEEDED", seconds=3600.0, machine=billed)
    wanted = 2 * PRICES.instance_hour("ml.m5.xlarge") / 4
    assert step_price(step, PRICES, now=NOW) == pytest.approx(wanted)


def test_a_state_without_a_job_costs_nothing_and_an_unknown_instance_is_not_guessed() -> None:
    gate = Step(name="Gate", status="SUCCEEDED", started=START, seconds=0.1)
    odd = train(machine=Machine(instance="ml.p9.huge"))
    assert step_price(gate, PRICES, now=NOW) == 0
    assert step_price(odd, PRICES, now=NOW) is None
    assert run_price([gate, odd], PRICES, now=NOW) is None
    assert run_price([gate, train()], PRICES, now=NOW) == step_price(train(), PRICES, now=NOW)


def test_the_history_says_what_a_job_ran_on_and_was_billed_for() -> None:
    asked = {
        "TrainingJobName": "t",
        "ResourceConfig": {"InstanceType": "ml.c5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 5},
        "EnableManagedSpotTraining": True,
    }
    events: tuple[tuple[str, dict[str, Any]], ...] = (
        ("TaskStateEntered", {"stateEnteredEventDetails": {"name": "Train"}}),
        ("TaskScheduled", {"taskScheduledEventDetails": {"parameters": json.dumps(asked)}}),
        (
            "TaskSucceeded",
            {"taskSucceededEventDetails": {"output": '{"BillableTimeInSeconds": 7}'}},
        ),
        ("TaskStateExited", {}),
    )
    (step,) = to_steps({"type": kind, "timestamp": START, **more} for kind, more in events)
    assert step.machine == Machine(
        instance="ml.c5.xlarge", volume_gb=5, spot=True, billed_seconds=7
    )


def test_a_step_that_only_took_an_earlier_outcome_names_its_run() -> None:
    output = json.dumps({"training": {"run": "weekly-7", "model": "s3://b/m"}})
    events = (
        ("PassStateEntered", {"stateEnteredEventDetails": {"name": "Take training"}}),
        ("PassStateExited", {"stateExitedEventDetails": {"output": output}}),
    )
    (step,) = to_steps({"type": kind, "timestamp": START, **more} for kind, more in events)
    assert (step.status, step.taken_from) == ("TAKEN", "weekly-7")


class _Told(Executions):
    """An execution that is seen running and then ended."""

    def __init__(self, status: str, error: str | None = None) -> None:
        self.__dict__.update(status=status, error=error)  # the base is frozen

    status: str
    error: str | None

    def follow(self, execution: Execution, **_: Any) -> Iterator[tuple[Execution, list[Step]]]:
        yield execution, [train()]
        ended = execution.model_copy(
            update={"status": self.status, "error": self.error, "cause": "why"}
        )
        yield ended, self.steps(ended)

    def steps(self, execution: Execution) -> list[Step]:
        return [train(status="SUCCEEDED", seconds=12.0)]


@dataclass
class _Desk:
    executions: Executions
    prices: Any = PRICES

    def execution(self, workflow: str, name: str | None) -> Execution:
        return Execution(
            workflow=workflow, name="one", arn="arn:one", status="RUNNING", started=START
        )


def watched(monkeypatch: pytest.MonkeyPatch, *options: str, **ends: Any) -> Any:
    monkeypatch.setattr(following, "_desk", lambda: _Desk(_Told(**ends)))
    return CliRunner().invoke(following.watch, ["fraud", *options])


def test_each_change_is_a_line_of_json_and_the_last_says_how_it_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = watched(monkeypatch, "--json", status="SUCCEEDED")
    first, second, last = map(json.loads, done.stdout.splitlines())
    assert (first["name"], first["status"]) == ("Train", "RUNNING")
    assert (second["status"], second["seconds"]) == ("SUCCEEDED", 12.0)
    assert (last["event"], last["status"], last["currency"]) == ("end", "SUCCEEDED", "USD")
    assert last["estimate"] == second["estimate"] > 0
    assert done.exit_code == 0


@pytest.mark.parametrize(("error", "code"), [("GateRefused", 5), ("States.TaskFailed", 1)])
def test_watching_ends_as_the_execution_ended(
    monkeypatch: pytest.MonkeyPatch, error: str, code: int
) -> None:
    done = watched(monkeypatch, status="FAILED", error=error)
    assert getattr(done.exception, "exit_code", None) == code
    assert "Train" in done.stdout
    assert "estimated by prices of" in done.stdout
