"""Replicates of metrics on draws of the test rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from mlops.errors import InputError
from pipelines.fraud.evaluate import measure
from pipelines.training.bootstrap import replicate
from tests.unit.training import examples


def _mean(rows: pd.DataFrame, scores: NDArray[np.float64]) -> Mapping[str, float]:
    return {"mean": float(scores.mean())}


def test_the_spread_of_a_mean_is_its_standard_error() -> None:
    scores = np.random.default_rng(1).normal(size=400)
    (found,) = replicate(_mean, pd.DataFrame(index=range(400)), [scores], draws=800)
    assert np.std(found["mean"]) == pytest.approx(scores.std() / 20, rel=0.1)


def test_rows_of_one_unit_are_drawn_together() -> None:
    """Ten equal rows of each of forty units tell as much as forty rows."""
    values = np.random.default_rng(2).normal(size=40)
    rows = pd.DataFrame({"unit": np.repeat(np.arange(40), 10)})
    (found,) = replicate(_mean, rows, [np.repeat(values, 10)], unit="unit", draws=800)
    assert np.std(found["mean"]) == pytest.approx(values.std() / np.sqrt(40), rel=0.1)


def test_a_unit_that_is_drawn_twice_counts_as_two() -> None:
    def count(rows: pd.DataFrame, scores: NDArray[np.float64]) -> Mapping[str, float]:
        return {"units": float(rows["unit"].nunique()), "rows": float(len(scores))}

    rows = pd.DataFrame({"unit": list("abbccc")})
    (found,) = replicate(count, rows, [np.zeros(6)], unit="unit", draws=20)
    assert set(found["units"]) == {3.0}
    assert len(set(found["rows"])) > 1


def test_models_are_measured_on_the_same_draws_also_in_another_run() -> None:
    rows = examples.rows(200)
    scores = np.random.default_rng(3).random(200)
    both = replicate(measure, rows, [scores, scores / 2], unit="customer_id", draws=5)
    again = replicate(measure, rows.copy(), [scores], unit="customer_id", draws=5)
    assert both[0] == both[1] == again[0]
    assert len(both[0]["auc_roc"]) == 5


def test_a_draw_on_which_nothing_can_be_measured_is_left_out_for_all() -> None:
    def picky(rows: pd.DataFrame, scores: NDArray[np.float64]) -> Mapping[str, float]:
        if not rows["label"].any():
            raise InputError("no positive row")
        return _mean(rows, scores)

    rows = pd.DataFrame({"label": [1, 0, 0, 0]})
    found = replicate(picky, rows, [np.arange(4.0), np.ones(4)], draws=50)
    assert 0 < len(found[0]["mean"]) == len(found[1]["mean"]) < 50
