"""The loan default model: its simulator, its two forms, and the loans that others published."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops.errors import InputError
from mlops.plan import load_transformations
from pipelines.credit.evaluate import measure
from pipelines.credit.preprocess import complete
from pipelines.credit.settings import DEFAULTS
from pipelines.credit.simulator import simulate
from pipelines.credit.train import fit
from pipelines.training.dataset import to_matrix
from pipelines.training.graph import to_graph
from pipelines.training.metrics import largest_difference
from pipelines.training.native import Classifier, load_native, native_scores, save_native
from tests.unit.features.test_apply import REPO

_FILE = Path(os.environ.get("MLOPS_SHARED_DATA", "../shared/data")).joinpath(
    "feast_credit", "my_training_ds.parquet"
)


def with_computed(loans: pd.DataFrame) -> pd.DataFrame:
    """The loans with what the feature repo's own function makes of them, and their labels."""
    plan: Any = _Plan()
    compute = load_transformations(plan, REPO)["loan_terms"]
    asked = ("person_income", "loan_amnt", "person_home_ownership", "loan_intent")
    computed = compute({name: loans[name].tolist() for name in asked})
    return loans.assign(**computed, defaulted=loans["loan_status"])


class _Plan:
    """As much of a service's plan as loading its function needs."""

    service = "credit_v1"

    @property
    def transformations(self) -> list[Any]:
        from types import SimpleNamespace

        from mlops.plan import function_hashes

        sha256 = function_hashes(REPO)["loan_terms"]
        return [SimpleNamespace(name="loan_terms", function="loan_terms", sha256=sha256)]


@pytest.fixture(scope="module")
def loans() -> pd.DataFrame:
    tables = simulate(loans=1_500, end=date(2018, 8, 15), seed=2)
    times = ["event_timestamp", "created_timestamp"]
    rows = tables["loans"].drop(columns=times)
    for name, key in (("credit_history", "dob_ssn"), ("zipcodes", "zipcode")):
        rows = rows.merge(tables[name].drop(columns=times), on=key, how="left")
    return with_computed(rows)


def trained(rows: pd.DataFrame, **hyperparameters: Any) -> Classifier:
    return fit(
        to_matrix(rows, DEFAULTS.inputs),
        rows["defaulted"].to_numpy(),
        algorithm="lightgbm",
        hyperparameters=hyperparameters,
        seed=0,
    )


def test_the_same_seed_gives_the_same_loans() -> None:
    first, again, other = (simulate(loans=50, end=date(2020, 1, 1), seed=s) for s in (1, 1, 2))
    for name, rows in first.items():
        pd.testing.assert_frame_equal(rows, again[name])
    assert not first["loans"].equals(other["loans"])


def test_a_text_that_nobody_knows_and_an_income_of_nothing_have_their_numbers() -> None:
    loan = {
        "person_income": [0, 50_000],
        "loan_amnt": [5_000, 5_000],
        "person_home_ownership": ["TENT", "RENT"],
        "loan_intent": ["VENTURE", "GAMBLING"],
        "loan_status": [0, 1],
    }
    found = with_computed(pd.DataFrame(loan))
    assert found["loan_over_income"].tolist() == [0.0, 0.1]
    assert found["home_code"].tolist() == [-1, 3]
    assert found["intent_code"].tolist() == [5, -1]


def test_the_graph_scores_as_the_model_does_also_without_history(loans: pd.DataFrame) -> None:
    model = trained(loans[:1_000], n_estimators=60)
    unknown = loans[1_000:].copy()
    unknown.loc[unknown.index[:200], ["credit_card_due", "mortgage_due"]] = np.nan
    matrix = to_matrix(unknown, DEFAULTS.inputs)

    graph = to_graph(model, width=matrix.shape[1], name="credit")

    assert largest_difference(graph.scores(matrix), native_scores(model, matrix)) < 1e-6


def test_neighbouring_float32_values_are_split_alike_in_both_forms() -> None:
    """The threshold between two neighbours has no float32 of its own."""
    low = np.float32(0.1)
    values = np.array([[low], [np.nextafter(low, np.float32(1))]] * 50, dtype=np.float32)
    few = {"n_estimators": 5, "min_child_samples": 1}
    labels = np.array([0, 1] * 50)
    model = fit(values, labels, algorithm="lightgbm", hyperparameters=few, seed=0)

    graph = to_graph(model, width=1, name="credit")

    assert len(set(native_scores(model, values))) == 2
    assert largest_difference(graph.scores(values), native_scores(model, values)) < 1e-6


def test_a_saved_model_scores_the_same(loans: pd.DataFrame, tmp_path: Path) -> None:
    model, matrix = trained(loans, n_estimators=5), to_matrix(loans, DEFAULTS.inputs)
    save_native(model, tmp_path)
    assert (native_scores(load_native(tmp_path), matrix) == native_scores(model, matrix)).all()


def test_many_loans_without_history_mean_that_a_table_is_missing(loans: pd.DataFrame) -> None:
    rows = loans.assign(event_time=pd.Timestamp("2018-01-01", tz="UTC"))
    rows["missed_payments_1y"] = np.nan
    with pytest.raises(InputError, match=r"loans have no 'credit_history' features.*data load"):
        complete(rows)


@pytest.mark.skipif(
    not _FILE.exists(), reason=f"needs {_FILE}: set MLOPS_SHARED_DATA to the published data"
)
def test_on_the_published_loans_it_reaches_its_thresholds_and_exports_exactly() -> None:
    rows = with_computed(pd.read_parquet(_FILE).sort_values("event_timestamp"))
    times, days = rows["event_timestamp"], DEFAULTS.test_days
    cut = times.max() - pd.Timedelta(days=days)
    train, test = rows[times < cut - pd.Timedelta(days=DEFAULTS.delay_days)], rows[times >= cut]
    model, matrix = trained(train), to_matrix(test, DEFAULTS.inputs)

    scores = native_scores(model, matrix)
    metrics = measure(test, scores)

    assert all(metrics[name] >= least for name, least in DEFAULTS.thresholds.items()), metrics
    graph = to_graph(model, width=matrix.shape[1], name="credit")
    assert largest_difference(graph.scores(matrix), scores) < 1e-6


def test_a_model_costs_less_than_two_hundred_lines_of_its_own() -> None:
    """Its simulator stands in for data that a company has."""
    folder = REPO.parent / "pipelines/credit"
    own = [path for path in folder.iterdir() if path.suffix in {".py", ".toml"}]
    lines = {
        path.name: len(path.read_text().splitlines()) for path in own if path.stem != "simulator"
    }
    assert {"settings.py", "preprocess.py", "train.py", "evaluate.py"} < lines.keys()
    assert sum(lines.values()) < 200, lines
