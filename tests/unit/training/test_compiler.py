"""Compiling the fraud workflow, from start to bytes."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from mlops.errors import NotFound
from pipelines.fraud.settings import DEFAULTS
from pipelines.training.compiler import Bundle, Compiled, bundle_code, compile_workflow
from pipelines.training.deploy import difference
from tests.unit.training import examples

_BUNDLE = Bundle(b"code")


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    return compile_workflow(
        "fraud", examples.settings(), bundle=_BUNDLE, submitted_by="arn:aws:iam::1:user/me"
    )


@pytest.fixture(scope="module")
def states(compiled: Compiled) -> dict[str, Any]:
    found: dict[str, Any] = compiled.definition["States"]
    return found


_COMPILE = """
import socket, sys
def refuse(*_): raise AssertionError("no call may be made")
socket.socket.connect = refuse
from tests.unit.training import test_compiler as t, examples
compiled = t.compile_workflow("fraud", examples.settings(), bundle=t._BUNDLE, submitted_by="me")
sys.stdout.buffer.write(compiled.body)
"""


def _compile_elsewhere(**environ: str) -> bytes:
    """In a new process without credentials, network or settings, every warning an error."""
    root = Path(__file__).resolve().parents[3]
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", _COMPILE],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"} | environ,
        cwd=root,
        capture_output=True,
        check=True,
    ).stdout


def test_compiling_needs_no_aws_and_gives_the_same_bytes_wherever_it_runs() -> None:
    here = compile_workflow("fraud", examples.settings(), bundle=_BUNDLE, submitted_by="me")

    assert _compile_elsewhere(AWS_DEFAULT_REGION="cn-north-1", PYTHONHASHSEED="7") == here.body


def test_the_sdks_leave_the_root_logger_as_it_was() -> None:
    before = logging.getLogger().level, logging.root.manager.disable

    compile_workflow("fraud", examples.settings(), bundle=_BUNDLE, submitted_by="me")

    assert (logging.getLogger().level, logging.root.manager.disable) == before


def test_an_unknown_workflow_is_refused() -> None:
    with pytest.raises(NotFound, match="no workflow 'frod'"):
        compile_workflow("frod", examples.settings(), bundle=_BUNDLE, submitted_by="me")


def test_nothing_in_the_definition_is_null_but_discarded_results(states: dict[str, Any]) -> None:
    def nulls(value: Any, path: str) -> list[str]:
        if isinstance(value, dict):
            return [found for k, v in value.items() for found in nulls(v, f"{path}.{k}")]
        if isinstance(value, list):
            return [found for i, v in enumerate(value) for found in nulls(v, f"{path}.{i}")]
        return [path] if value is None else []

    found = [path for path in nulls(states, "") if not path.startswith(".Defaults.Result")]
    assert all(path.endswith(".ResultPath") for path in found)


def test_hyperparameters_are_json_texts_as_the_toolkit_reads_them(states: dict[str, Any]) -> None:
    given = states["Train"]["Parameters"]["HyperParameters"]

    assert given["sagemaker_program"] == '"pipelines/fraud/train.py"'
    assert given["seed.$"] == "States.JsonToString($.run.settings.seed)"
    assert all(isinstance(text, str) for text in given.values())


def test_no_job_sets_up_a_debugger(states: dict[str, Any]) -> None:
    assert not [key for key in states["Train"]["Parameters"] if key.startswith("Debug")]


def test_job_names_are_unique_to_the_execution_and_fit(states: dict[str, Any]) -> None:
    longest = "x" * 36
    for name in ("Preprocess", "Train", "Evaluate", "Export"):
        parameters = states[name]["Parameters"]
        text = parameters.get("ProcessingJobName.$") or parameters["TrainingJobName.$"]
        assert text.endswith(", $$.Execution.Name)")
        template = text.removeprefix("States.Format('").partition("'")[0]
        assert len(template.replace("{}", longest)) <= 63


def test_every_task_but_the_search_for_a_group_is_retried_with_backoff(
    states: dict[str, Any],
) -> None:
    tasks = {name: state for name, state in states.items() if state["Type"] == "Task"}

    unguarded = [name for name, state in tasks.items() if "Retry" not in state]

    assert unguarded == ["Find group"]
    assert all(
        retry["BackoffRate"] > 1 for state in tasks.values() for retry in state.get("Retry", [])
    )


def test_whatever_fails_is_told_and_then_fails_the_execution(states: dict[str, Any]) -> None:
    tasks = {name: state for name, state in states.items() if state["Type"] == "Task"}
    caught = {name: state["Catch"][-1]["Next"] for name, state in tasks.items()}

    assert caught.pop("Tell failure") == "Failed"
    assert set(caught.values()) == {"Tell failure"}
    assert states["Tell failure"]["Next"] == "Failed"
    assert states["Failed"]["CausePath"] == "$.error.Cause"


def test_the_gate_asks_for_every_threshold_and_every_margin(states: dict[str, Any]) -> None:
    (choice,) = states["Gate"]["Choices"]
    asked = {rule["Variable"].rpartition("verdict.")[2] for rule in choice["And"]}

    metrics = {"auc_roc", "average_precision", "card_precision_100"}
    assert asked == {f"{kind}.{m}" for kind in ("metrics", "margins") for m in metrics}
    assert choice["Next"] == "Export"
    assert states[states["Gate"]["Default"]]["Next"] == "GateRefused"


def test_the_gate_asks_for_the_most_where_less_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    gated = {"thresholds": {"log_loss": 0.3}, "tolerance": {"log_loss": 0.01}}
    monkeypatch.setattr("pipelines.fraud.settings.DEFAULTS", DEFAULTS.model_copy(update=gated))
    found = compile_workflow("fraud", examples.settings(), bundle=_BUNDLE, submitted_by="me")

    (choice,) = found.definition["States"]["Gate"]["Choices"]
    reached, not_worse = choice["And"]
    assert reached["NumericLessThanEqualsPath"] == "$.run.settings.thresholds.log_loss"
    assert reached["Variable"].endswith("verdict.metrics.log_loss")
    assert not_worse["NumericGreaterThanEquals"] == 0


def test_jobs_get_settings_but_no_endpoint_secret_or_fixed_clock(states: dict[str, Any]) -> None:
    settings = examples.settings(
        MLOPS_CLOCK="2018-08-08", MLOPS_REDIS_PASSWORD="hidden", MLOPS_FEATURE_REPO="/home/me/repo"
    )

    compiled = compile_workflow("fraud", settings, bundle=_BUNDLE, submitted_by="me")

    environment = compiled.definition["States"]["Preprocess"]["Parameters"]["Environment"]
    assert environment["MLOPS_ENV"] == "dev"
    assert environment["MLOPS_FEATURE_REPO"] == "feature_repo"
    assert not {"AWS_ENDPOINT_URL", "MLOPS_CLOCK", "MLOPS_REDIS_PASSWORD"} & set(environment)
    assert states["Preprocess"]["Parameters"]["Environment"] == environment


def _repo(folder: Path) -> Path:
    folder.mkdir()
    (folder / "feature_store.yaml").write_text("project: payments\n")
    (folder / "views.py").write_text("VIEWS = []\n")
    return folder


def test_the_bundle_holds_the_jobs_code_and_the_feature_repo(tmp_path: Path) -> None:
    bundle = bundle_code(_repo(tmp_path / "repo"))

    with tarfile.open(fileobj=BytesIO(bundle.body)) as tar:
        names = set(tar.getnames())
    assert {"mlops/settings.py", "pipelines/fraud/train.py", "feature_repo/views.py"} <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests")]


def test_the_bundle_depends_on_what_the_files_hold_and_nothing_else(tmp_path: Path) -> None:
    first, second = _repo(tmp_path / "a"), _repo(tmp_path / "b")
    os.utime(second / "views.py", (1, 1))
    assert bundle_code(first).sha256 == bundle_code(second).sha256

    (second / "views.py").write_text("VIEWS = [1]\n")
    assert bundle_code(first).sha256 != bundle_code(second).sha256


def test_a_missing_feature_repo_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="is no feature repo"):
        bundle_code(tmp_path / "nowhere")


def test_a_changed_machine_shows_as_a_diff(compiled: Compiled) -> None:
    changed = json.loads(json.dumps(compiled.definition))
    changed["States"]["Preprocess"]["Retry"][0]["MaxAttempts"] = 9

    lines = difference(compiled.definition, changed).splitlines()

    assert [line.strip() for line in lines if line[:1] in "+-"][2:] == [
        '-     "MaxAttempts": 5,',
        '+     "MaxAttempts": 9,',
    ]
    assert difference(compiled.definition, compiled.definition) == ""


def test_a_registry_in_mlflow_is_written_by_a_job_and_the_rest_stays(
    states: dict[str, Any],
) -> None:
    settings = examples.settings(
        MLOPS_REGISTRY="mlflow", MLOPS_MLFLOW_TRACKING_URI="https://mlflow.internal"
    )
    found = compile_workflow("fraud", settings, bundle=_BUNDLE, submitted_by="me").definition
    own = found["States"]
    assert set(own) ^ set(states) == {
        *("Find group", "Create group", "Read registration"),
        "Read package",
    }
    assert own["Read comparison"]["Next"] == "Register"
    assert own["Register"]["Next"] == "Read package"
    assert own["Read package"]["Next"] == "Announce"
    assert own["Register"]["Parameters"]["Environment"]["MLOPS_REGISTRY"] == "mlflow"


def test_jobs_that_ask_mlflow_run_inside_and_sign_in_as_its_writer() -> None:
    settings = examples.settings(
        MLOPS_MLFLOW_SECRET="mlops-dev/mlflow-reader",
        MLOPS_JOB_SUBNETS="subnet-1,subnet-2",
        MLOPS_JOB_SECURITY_GROUP="sg-3",
    )
    found = compile_workflow("fraud", settings, bundle=_BUNDLE, submitted_by="me").definition
    asked = found["States"]["Evaluate"]["Parameters"]
    assert asked["NetworkConfig"] == {
        "VpcConfig": {"Subnets": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-3"]}
    }
    assert asked["Environment"]["MLOPS_MLFLOW_SECRET"] == "mlops-dev/mlflow-writer"
    assert "MLOPS_JOB_SUBNETS" not in asked["Environment"]


def test_a_model_is_looked_for_under_the_hash_of_all_that_it_is_made_from(
    states: dict[str, Any],
) -> None:
    hashed = states["Identify training"]["Parameters"]["sha256.$"]

    assert hashed.startswith("States.Hash(States.Format('")
    for part in (
        "data_snapshot",
        "algorithm",
        "hyperparameters",
        "inputs_sha256",
        "seed",
        "train_rows",
    ):
        assert f".{part}" in hashed
    assert _BUNDLE.sha256 in hashed
    assert "mlops-dev-training:latest" in hashed
    (choice,) = states["Which model"]["Choices"]
    assert choice["And"][0]["Variable"] == "$.merged.input.force"
    assert (choice["Next"], states["Which model"]["Default"]) == ("Search nothing", "Find training")
    assert states["Search nothing"]["Next"] == "Train"


def test_a_search_tries_what_the_model_declares_and_the_best_is_trained() -> None:
    compiled = compile_workflow(
        "credit", examples.settings(), bundle=_BUNDLE, submitted_by="me"
    ).definition["States"]

    asked = compiled["Search"]["Parameters"]
    ranges = asked["HyperParameterTuningJobConfig"]["ParameterRanges"]
    assert [r["Name"] for r in ranges["IntegerParameterRanges"]] == [
        "num_leaves",
        "min_child_samples",
    ]
    static = asked["TrainingJobDefinition"]["StaticHyperParameters"]
    trained = compiled["Train"]["Parameters"]["HyperParameters"]
    assert static.items() >= {k: v for k, v in trained.items() if k != "tuned.$"}.items()
    assert trained["tuned.$"] == "States.JsonToString(States.JsonToString($.search.tuned))"
    assert compiled["Whether to search"]["Default"] == "Search nothing"


def test_only_spot_instances_are_told_how_long_to_wait(states: dict[str, Any]) -> None:
    train = states["Train"]["Parameters"]
    assert train["StoppingCondition.$"] == "$.stopping"
    assert train["EnableManagedSpotTraining.$"] == "$.run.settings.instances.spot"
    assert set(states["Stop in time"]["Parameters"]) == {"MaxRuntimeInSeconds.$"}
    assert "MaxWaitTimeInSeconds.$" in states["Stop in time on spot"]["Parameters"]


@pytest.mark.parametrize(
    ("turns", "waits", "ends"), [("queue", ["Wait for turn"], []), ("refuse", [], ["Busy"])]
)
def test_runs_that_do_not_overlap_wait_or_are_refused(
    turns: Any, waits: list[str], ends: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(DEFAULTS), "turns", turns)
    states = compile_workflow(
        "fraud", examples.settings(), bundle=_BUNDLE, submitted_by="me"
    ).definition["States"]

    assert [name for name, state in states.items() if state["Type"] == "Wait"] == waits
    assert [name for name in states if name == "Busy"] == ends
    occupied = states["Has it ended"]["Choices"][0]["Next"]
    assert occupied == (waits + ends)[0]
    assert states["Take turn"]["Parameters"]["IfNoneMatch"] == "*"
    assert states["Follow"]["Parameters"]["IfMatch.$"] == "$.turn.etag"
