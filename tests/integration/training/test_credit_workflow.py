"""A second model of another kind, from its raw tables to a served score."""

from __future__ import annotations

import json
import math
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from infra.local import serving
from mlops.names import Role
from pipelines.credit.simulator import simulate

if TYPE_CHECKING:
    from tests.training_site import Site

# Where the platform stands already.
pytestmark = pytest.mark.xdist_group("fraud-workflow")

END = "2018-08-15"
GATE = {"thresholds.auc_roc": "0.85", "thresholds.average_precision": "0.6"}
"""What fewer loans than the model is made for let it reach."""
ASKED = (
    *("dob_ssn", "zipcode", "person_age", "person_income", "person_home_ownership"),
    *("person_emp_length", "loan_intent", "loan_amnt", "loan_int_rate"),
)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The simulated tables as files."""
    folder = tmp_path_factory.mktemp("loans")
    made = simulate(loans=2_000, end=date.fromisoformat(END), seed=1)
    for name, rows in made.items():
        rows.to_parquet(folder / f"{name}.parquet", index=False)
    return {name: folder / f"{name}.parquet" for name in made}


@pytest.fixture(scope="module")
def left_out(site: Site) -> str:
    """What 'upsync' says before there are loans."""
    return site.mlops("features", "upsync").stderr


@pytest.fixture(scope="module")
def loaded(site: Site, tables: dict[str, Path], left_out: str) -> dict[str, Any]:
    return {
        name: json.loads(site.mlops("data", "load", name, str(file), "--json").stdout)
        for name, file in tables.items()
    }


@pytest.fixture(scope="module")
def trained(site: Site, loaded: dict[str, Any]) -> dict[str, Any]:
    site.mlops("workflows", "deploy", "credit")
    chosen = {"test_end": END, "trials": "2"} | GATE
    pairs = [f"--set={key}={value}" for key, value in chosen.items()]
    done = site.mlops("workflows", "run", "credit", "--name", "loans", "--wait", "--json", *pairs)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_without_loans_the_others_are_loaded_and_it_is_told(left_out: str) -> None:
    assert "credit_history: left out, for there is no table 'credit_history'" in left_out
    assert "zipcode_economy: left out, for there is no table 'zipcodes'" in left_out


def test_a_table_is_made_from_its_file_once(
    site: Site, loaded: dict[str, Any], tables: dict[str, Path]
) -> None:
    assert loaded["loans"]["rows"] == 2_000
    assert loaded["loans"]["columns"]["event_timestamp"] == "timestamp"
    again = site.mlops("data", "load", "loans", str(tables["loans"]), "--json")
    assert json.loads(again.stdout)["state"] == "already loaded"


def test_a_file_with_other_columns_is_refused(
    site: Site, loaded: dict[str, Any], tables: dict[str, Path]
) -> None:
    refused = site.mlops("data", "load", "loans", str(tables["zipcodes"]), fails=True)
    assert refused.returncode == 5
    assert "Table 'loans' has the columns loan_id bigint" in " ".join(refused.stderr.split())


def test_its_version_passes_the_gate_and_tells_its_dataset(
    site: Site, trained: dict[str, Any]
) -> None:
    version = json.loads(site.mlops("models", "show", "credit", "1", "--json").stdout)
    assert trained["status"] == "SUCCEEDED"
    assert version["lineage"]["dataset"] == "credit@1"
    assert version["metrics"]["onnx_max_difference"] < 1e-6
    assert version["metrics"]["auc_roc"] > 0.85


# MLflow 3 still uses what SQLAlchemy 2.1 and others deprecate.
@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_the_search_tried_is_tracked_and_the_best_of_it_trained(
    site: Site, trained: dict[str, Any]
) -> None:
    import mlflow

    steps = {step["name"]: step for step in trained["steps"]}
    assert steps["Search"]["machine"]["count"] == 2
    trials = json.loads(site.object("runs/credit/loans/run/trials.json"))
    value = "FinalHyperParameterTuningJobObjectiveMetric"
    best = max(trials, key=lambda trial: trial[value]["Value"])["TunedHyperParameters"]
    uri = site.local.environment()["MLOPS_MLFLOW_TRACKING_URI"]
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(f"{site.names.prefix}-credit")
    runs = {r.info.run_name: r for r in client.search_runs([experiment.experiment_id])}
    assert {trial["TrainingJobName"] for trial in trials} < set(runs)
    used = {name: float(runs["loans"].data.params[name]) for name in best}
    assert used == {name: float(text) for name, text in best.items()}


@pytest.fixture(scope="module")
def served(site: Site, trained: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The proxy's address and a caller's key, once the version was approved."""
    reason = ("--reason", "the first of its kind")
    site.mlops("models", "approve", "credit", "1", *reason, role=Role.APPROVER)
    site.mlops("features", "upsync", "credit_history", "zipcode_economy")
    made = site.mlops("serve", "create-key", "lender", "--pii", "--json", role=None)
    services = serving.start(site.local, proxy_port=0, inference_port=0, clock=END)
    try:
        urls = {service.name: service.url for service in services}
        yield urls["proxy"], json.loads(made.stdout)["key"]
    finally:
        serving.stop(site.local.state)


def test_an_application_gets_the_score_that_the_model_gives_its_row(
    site: Site, served: tuple[str, str], tables: dict[str, Path]
) -> None:
    loan = pd.read_parquet(tables["loans"]).iloc[-1][list(ASKED)].to_dict()
    sent = json.loads(json.dumps(loan, default=lambda number: number.item()))
    answer = _ask(*served, sent)
    (prediction,) = answer["predictions"]
    assert answer["version"] == 1
    assert math.isfinite(prediction["score"])
    known = pd.read_parquet(tables["credit_history"]).set_index("dob_ssn").loc[loan["dob_ssn"]]
    read = json.dumps(prediction)
    assert str(known["mortgage_due"]) in read


def _ask(url: str, key: str, loan: dict[str, Any]) -> Any:
    """The score of one application, once the version is live."""
    request = urllib.request.Request(
        f"{url}/v1/models/credit:predict?explain=features",
        data=json.dumps({"instances": [loan]}).encode(),
        headers={"Content-Type": "application/json", "X-Api-Key": key},
    )
    for _ in range(400):
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return json.load(response)
        except urllib.error.HTTPError as exc:
            if exc.code not in {404, 503}:
                raise AssertionError(exc.read().decode()) from exc
        time.sleep(0.2)
    raise AssertionError(f"{url} does not serve the model; {os.getpid()}")
