"""A schedule and an event start executions by themselves, once each."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlops.names import Role
from pipelines.credit.simulator import simulate
from tests.local_aws import eventually
from tests.recorded_calls import read_calls, uncovered
from tests.training_site import CLOCKWORK

if TYPE_CHECKING:
    from tests.training_site import Site

# Where the platform stands already.
pytestmark = pytest.mark.xdist_group("fraud-workflow")


def executions(site: Site, workflow: str) -> list[dict[str, Any]]:
    states, machine = site.client("stepfunctions"), site.names.state_machine_arn(workflow)
    listed = states.list_executions(stateMachineArn=machine)["executions"]
    return [states.describe_execution(executionArn=one["executionArn"]) for one in listed]


def load_loans(site: Site, folder: Path, *, seed: int) -> None:
    rows = simulate(loans=50, end=datetime(2018, 8, 15, tzinfo=UTC).date(), seed=seed)["loans"]
    rows.to_parquet(folder / f"loans-{seed}.parquet", index=False)
    site.mlops("data", "load", "loans", str(folder / f"loans-{seed}.parquet"))


def by_event(site: Site) -> list[dict[str, Any]]:
    """The executions of 'start' that ended after an event on data."""
    found = executions(site, "start")
    return [e for e in found if '"why": "data"' in e["input"] and e["status"] != "RUNNING"]


@pytest.fixture(scope="module")
def started(site: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What new loans started, ended before it does its work; more of them came on the same day."""
    folder = tmp_path_factory.mktemp("loans")
    site.mlops("workflows", "deploy", "credit")
    given = json.loads(
        site.mlops(
            "workflows", "schedule", "set", "credit", "--set", "train_days=9", "--json"
        ).stdout
    )
    assert [(one["why"], one["action"]) for one in given["rules"]] == [("data", "create")]
    load_loans(site, folder, seed=11)
    name = f"data-{datetime.now(UTC):%Y-%m-%d}"
    found = eventually(
        lambda: [one for one in executions(site, "credit") if one["name"] == name],
        what="the run after new loans",
    )
    site.client("stepfunctions").stop_execution(executionArn=found[0]["executionArn"])
    load_loans(site, folder, seed=12)
    eventually(lambda: len(by_event(site)) == 2, what="the second event")
    return found[0]


def test_a_schedule_starts_an_execution(site: Site) -> None:
    """Armed before the tables were built, for the minute after."""
    (run,) = eventually(lambda: executions(site, CLOCKWORK), what="the schedule", seconds=90)
    given = json.loads(run["input"])
    assert given["started"]["why"] == "schedule"
    assert run["name"] == given["started"]["event"]
    assert given["submitted_by"] == site.names.role_arn(Role.SCHEDULER)


def test_new_data_starts_an_execution_with_the_settings_of_its_rule(
    started: dict[str, Any], site: Site
) -> None:
    given = json.loads(started["input"])
    assert given["settings"] == {"train_days": 9}
    assert given["submitted_by"] == site.names.role_arn(Role.SCHEDULER)
    assert given["started"]["why"] == "data"


def test_more_of_it_on_the_same_day_starts_nothing(site: Site, started: dict[str, Any]) -> None:
    assert [one["status"] for one in by_event(site)] == ["SUCCEEDED", "SUCCEEDED"]
    again = [one for one in executions(site, "credit") if one["name"].startswith("data-")]
    assert [one["executionArn"] for one in again] == [started["executionArn"]]


def test_what_is_in_force_is_shown_paused_and_removed(site: Site, started: dict[str, Any]) -> None:
    def state() -> str:
        shown = site.mlops(
            "workflows", "schedule", "show", "credit", "--json", role=Role.DATA_SCIENTIST
        )
        return ", ".join(row["state"] for row in json.loads(shown.stdout))

    assert state() == "in force"
    site.mlops("workflows", "schedule", "pause", "credit")
    assert state() == "paused"
    site.mlops("workflows", "schedule", "resume", "credit")
    assert state() == "in force"
    site.mlops("workflows", "schedule", "remove", "credit")
    assert state() == "declared, not set"


def test_every_call_was_one_that_its_role_may_make(site: Site, started: dict[str, Any]) -> None:
    assert uncovered(read_calls(site.local.state.root), site.names) == {}
