from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.training.comparison import ApprovedScore, margins, shortfalls


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


def test_what_keeps_the_gate_shut_is_said_in_words() -> None:
    approved = ApprovedScore(version=3, metrics={"auc_roc": 0.9, "average_precision": 0.5})

    found = shortfalls(
        {"auc_roc": 0.8, "average_precision": 0.6},
        approved,
        thresholds={"auc_roc": 0.85, "average_precision": 0.55},
        tolerance={"auc_roc": 0.01, "average_precision": 0.01},
    )

    assert found == (
        "auc_roc is 0.8000, the threshold 0.85; auc_roc is 0.8000, version 3 reaches 0.9000 on "
        "the same rows (tolerance 0.01)"
    )


def test_a_metric_that_is_no_number_is_a_shortfall() -> None:
    assert shortfalls(
        {"auc_roc": float("nan")}, None, thresholds={"auc_roc": 0.5}, tolerance={"auc_roc": 0.1}
    )


def test_a_model_that_is_good_enough_has_no_shortfalls() -> None:
    approved = ApprovedScore(version=3, metrics={"auc_roc": 0.9})

    assert not shortfalls(
        {"auc_roc": 0.895}, approved, thresholds={"auc_roc": 0.85}, tolerance={"auc_roc": 0.01}
    )


@given(
    value=st.floats(0, 1), approved=st.floats(0, 1), bound=st.floats(0, 1), allowed=st.floats(0, 1)
)
def test_less_is_better_where_the_metrics_name_says_so(
    value: float, approved: float, bound: float, allowed: float
) -> None:
    score = ApprovedScore(version=3, metrics={"log_loss": approved})

    found = shortfalls(
        {"log_loss": value},
        score,
        thresholds={"log_loss": bound},
        tolerance={"log_loss": allowed},
    )

    assert bool(found) is (value > bound or approved - value + allowed < 0)
