"""The demo on a small file of one's own, as `make demo DATA=FILE` runs it, and once more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.local import lifecycle, serving
from infra.local.settings import StateDir
from pipelines.data.simulator import World, write
from pipelines.fraud.settings import DEFAULTS
from tests.local_aws import eventually

WORLD = World(customers=300, terminals=600, days=60, seed=1)
STEPS = [
    "Start the local AWS",
    "Deploy the infrastructure",
    "Import the payments",
    "Apply the feature definitions",
    "Build the feature tables in Athena",
    "Load the features into Redis",
    "Deploy the training workflow",
    "Train, evaluate, gate, export and register",
    "Approve it as another person",
    "Start the proxy and the inference endpoint",
    "Score a payment over HTTP",
]

pytestmark = pytest.mark.xdist_group("demo")


@dataclass(frozen=True)
class Shown:
    """A run of the demo."""

    folder: Path
    done: subprocess.CompletedProcess[str]

    @property
    def report(self) -> dict[str, Any]:
        """What it wrote, as it is now."""
        text = (self.folder / "build/demo.json").read_text()
        report: dict[str, Any] = json.loads(text)
        return report


def show(folder: Path) -> Shown:
    command = [sys.executable, "-m", "infra.local.demo", "--data", "payments.parquet"]
    done = subprocess.run(
        command, cwd=folder, env=os.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Shown(folder, done)


@dataclass(frozen=True)
class Twice:
    """Two runs on the same file, with the payments in it."""

    rows: int
    first: Shown
    first_report: dict[str, Any]
    second: Shown


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Twice:
    folder = tmp_path_factory.mktemp("demo")
    rows = write(WORLD, folder / "payments.parquet")
    first = show(folder)
    report = first.report
    return Twice(rows, first, report, show(folder))


def test_every_step_is_told_and_timed(twice: Twice) -> None:
    steps = twice.first_report["steps"]
    assert [step["name"] for step in steps] == STEPS
    assert all(step["seconds"] >= 0 for step in steps)
    for name in STEPS:
        assert name in twice.first.done.stderr


def test_steps_that_move_rows_say_how_many(twice: Twice) -> None:
    rows = {step["name"]: step["rows"] for step in twice.first_report["steps"]}
    metrics = twice.first_report["metrics"]
    assert rows["Import the payments"] == twice.rows
    assert rows["Build the feature tables in Athena"] > 10_000
    assert 0 < rows["Load the features into Redis"] <= WORLD.customers + WORLD.terminals
    trained = rows["Train, evaluate, gate, export and register"]
    assert trained == metrics["train_rows"] + metrics["test_rows"] > 1000
    assert rows["Score a payment over HTTP"] == 1


def test_the_payments_are_accounted_for(twice: Twice) -> None:
    payments = twice.first_report["payments"]
    assert payments["file"] == "payments.parquet"
    assert (payments["rows_imported"], payments["rows_refused"]) == (twice.rows, 0)
    assert payments["first_day"] == "2025-01-01"
    assert payments["last_day"] == "2025-03-01"


def test_the_metrics_and_the_approval_are_shown(twice: Twice) -> None:
    report = twice.first_report
    approval = report["approval"]
    assert report["model_version"] == 1
    assert 0.6 <= report["metrics"]["auc_roc"] <= 1
    assert report["metrics"]["onnx_max_difference"] <= DEFAULTS.onnx_bound
    assert (approval["from"], approval["to"]) == ("PendingManualApproval", "Approved")
    assert "approver" in approval["who"]
    assert approval["reason"]
    assert approval["hash"][:12] in twice.first.done.stdout


def test_the_scored_payment_comes_with_the_features_read_for_it(twice: Twice) -> None:
    scored = twice.first_report["scored_payment"]
    [prediction] = scored["answer"]["predictions"]
    wanted = {column.name for column in DEFAULTS.inputs if column.origin != "request"}
    assert scored["payment"]["event_time"].startswith("2025-03-01")
    assert scored["answer"]["version"] == 1
    assert 0 <= prediction["score"] <= 1
    assert set(prediction["features"]) >= wanted
    read = {name: feature["status"] for name, feature in prediction["features"].items()}
    assert read["customer_count_30d"] == "PRESENT"
    assert prediction["features"]["customer_count_30d"]["value"] > 0


def test_it_says_how_to_start_what_it_showed(twice: Twice) -> None:
    assert "mlops --clock 2025-03-02T00:00:00Z local up --state .mlops/payments" in (
        twice.first.done.stdout
    )


def test_a_second_run_goes_on_from_the_first_and_repeats_nothing(twice: Twice) -> None:
    again, before = twice.second.report, twice.first_report
    rows = {step["name"]: step["rows"] for step in again["steps"]}
    said = twice.second.done.stdout
    assert "0 resources changed" in said
    assert "already imported" in said
    assert "0 definitions changed" in said
    assert rows["Build the feature tables in Athena"] == 0
    assert "state machine unchanged" in said
    assert (again["model_version"], again["metrics"]) == (1, before["metrics"])
    assert "version 1: unchanged" in said
    assert again["approval"] == before["approval"]
    assert again["scored_payment"]["payment"] == before["scored_payment"]["payment"]
    scores = [r["scored_payment"]["answer"]["predictions"][0]["score"] for r in (before, again)]
    assert scores[0] == scores[1]


def test_nothing_is_left_running(twice: Twice) -> None:
    state = StateDir.at(twice.second.folder / ".mlops" / "payments")
    assert state.root.is_dir()
    assert lifecycle.find(state.root) is None
    assert serving.find(state) == []
    eventually(lambda: not of_folder(twice.second.folder), what="the end of every process")


def of_folder(folder: Path) -> list[list[str]]:
    """Commands of the processes that still work in the folder or were told its path."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        facts = [process.info["cwd"] or "", *(process.info["cmdline"] or ())]
        if any(str(folder) in fact for fact in facts):
            found.append(process.info["cmdline"])
    return found
