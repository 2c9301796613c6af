from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.errors import InputError
from pipelines.training.metrics import largest_difference, ranking_metrics

_pairs = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 8).map(lambda n: n / 8)), min_size=2, max_size=40
).filter(lambda rows: 0 < sum(label for label, _ in rows) < len(rows))


def _columns(rows: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([r[0] for r in rows]), np.array([r[1] for r in rows])


@given(_pairs)
def test_auc_is_the_share_of_pairs_in_order(rows: list[tuple[int, float]]) -> None:
    positive = [score for label, score in rows if label]
    negative = [score for label, score in rows if not label]
    won = sum((p > n) + 0.5 * (p == n) for p in positive for n in negative)

    found = ranking_metrics(*_columns(rows))["auc_roc"]

    assert found == pytest.approx(won / (len(positive) * len(negative)))


@given(_pairs)
def test_average_precision_weighs_each_threshold_by_the_recall_it_adds(
    rows: list[tuple[int, float]],
) -> None:
    total, seen, expected = sum(label for label, _ in rows), 0, 0.0
    for threshold in sorted({score for _, score in rows}, reverse=True):
        chosen = [label for label, score in rows if score >= threshold]
        expected += (sum(chosen) - seen) / total * sum(chosen) / len(chosen)
        seen = sum(chosen)

    assert ranking_metrics(*_columns(rows))["average_precision"] == pytest.approx(expected)


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1]])
def test_a_test_window_of_one_class_is_refused_with_the_remedy(labels: list[int]) -> None:
    with pytest.raises(InputError, match="--set test_end=DATE"):
        ranking_metrics(np.array(labels), np.zeros(len(labels)))


def test_the_largest_difference_of_nothing_is_zero() -> None:
    assert largest_difference(np.empty(0), np.empty(0)) == 0.0
    assert largest_difference(np.array([0.1, 0.9]), np.array([0.2, 0.4])) == pytest.approx(0.5)
