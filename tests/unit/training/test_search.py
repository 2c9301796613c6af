"""What is tried and how it is judged; the draw is the local AWS's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from infra.local.sagemaker.search import draw_trials, refused_search
from mlops.errors import InputError
from pipelines.credit.settings import DEFAULTS as CREDIT
from pipelines.fraud.settings import DEFAULTS
from pipelines.fraud.train import fit
from pipelines.training.dataset import write_rows
from pipelines.training.native import read_tuned
from pipelines.training.run import RUN
from pipelines.training.search import Range, Search, to_trials
from pipelines.training.settings import with_overrides
from pipelines.training.steps.train import hold_out, train
from tests.unit.training import examples

SEARCH = Search(
    space={
        "rate": Range(low=0.01, high=1.0, log=True),
        "leaves": Range(low=2, high=9),
        "kind": ("a", "b"),
    }
)


def config(**changed: Any) -> dict[str, Any]:
    limits = {"MaxNumberOfTrainingJobs": 200, "MaxParallelTrainingJobs": 2}
    return {
        "Strategy": "Random",
        "RandomSeed": 5,
        "ResourceLimits": limits,
        "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "m"},
        "ParameterRanges": SEARCH.ranges(),
    } | changed


def test_trials_stay_within_their_ranges_and_reach_all_of_them() -> None:
    trials = draw_trials(config())
    rates = [float(trial["rate"]) for trial in trials]
    assert 0.01 <= min(rates) < 0.02
    assert 0.5 < max(rates) <= 1.0
    assert {int(trial["leaves"]) for trial in trials} == set(range(2, 10))
    assert {trial["kind"] for trial in trials} == {"a", "b"}
    below = sum(rate < 0.1 for rate in rates)
    assert 70 < below < 130, "half of a logarithmic range's trials lie below its middle"


def test_the_seed_decides_what_is_tried() -> None:
    assert draw_trials(config()) == draw_trials(config())
    assert draw_trials(config()) != draw_trials(config(RandomSeed=6))


def test_a_range_upside_down_is_refused() -> None:
    with pytest.raises(ValidationError, match="from low to high"):
        Range(low=2, high=1)
    upside_down = {"IntegerParameterRanges": [{"Name": "n", "MinValue": "3", "MaxValue": "2"}]}
    refused = refused_search(config(ParameterRanges=upside_down))
    assert refused is not None
    assert "'n': MinValue 3.0 is above" in refused


def test_a_model_without_a_search_has_nothing_to_try() -> None:
    with pytest.raises(InputError, match="fraud declares no search"):
        with_overrides(DEFAULTS, {"trials": "3"})
    assert with_overrides(CREDIT, {"trials": "3"}).trials == 3


def test_the_last_share_of_the_rows_is_held_out() -> None:
    rows = pd.DataFrame({"n": range(10)})
    kept, held_out = hold_out(rows, 0.2)
    assert (kept["n"].tolist(), held_out["n"].tolist()) == (list(range(8)), [8, 9])
    assert len(hold_out(rows, 0.0)[1]) == 0


def test_a_trial_tells_its_objective_and_keeps_what_it_tried(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_rows(examples.rows(300), tmp_path)
    (tmp_path / RUN).write_text(examples.run().model_dump_json())
    folders = ["--train", str(tmp_path), "--run", str(tmp_path), "--model-dir", str(tmp_path)]
    tried = [
        "--max_iter",
        "4",
        "-l2_regularization",
        "0.5",
        "--_tuning_objective_metric",
        "objective",
    ]
    given = ["--algorithm", "gradient_boosting", "--holdout", "0.3", *tried]
    with caplog.at_level("INFO"):
        train(fit, label="is_fraud", arguments=[*given, *folders])
    assert "objective=0." in caplog.text
    assert "on 210 rows" in caplog.text
    assert read_tuned(tmp_path) == {"max_iter": 4, "l2_regularization": 0.5}


def test_a_trial_that_did_not_come_that_far_has_no_value() -> None:
    summary = {"TrainingJobName": "t", "TrainingJobStatus": "Failed", "TunedHyperParameters": {}}
    assert to_trials([summary])[0].value is None
