from __future__ import annotations

import pytest

from pipelines.training.comparison import ApprovedScore, margins


def test_a_first_run_has_nothing_to_beat() -> None:
    assert margins({"auc_roc": 0.1}, None, {"auc_roc": 0.01}) == {"auc_roc": 0.0}


@pytest.mark.parametrize(
    ("value", "good_enough"), [(0.90, True), (0.891, True), (0.889, False), (0.95, True)]
)
def test_a_margin_is_negative_where_it_falls_below_the_tolerance(
    value: float, good_enough: bool
) -> None:
    approved = ApprovedScore(version=3, metrics={"auc_roc": 0.9})

    found = margins({"auc_roc": value}, approved, {"auc_roc": 0.01})

    assert (found["auc_roc"] >= 0) is good_enough
