"""Two versions side by side."""

from __future__ import annotations

import math

import pytest

from mlops.registry.comparison import Comparison, better_direction, compare
from mlops.registry.dossier import from_registry
from mlops.registry.versions import ModelVersion
from tests.approvals import model_version


def _compare(first: ModelVersion, second: ModelVersion) -> Comparison:
    return compare(from_registry(first, None, None), from_registry(second, None, None))


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("auc_roc", 1),
        ("average_precision", 1),
        ("card_precision_100", 1),
        ("log_loss", -1),
        ("onnx_max_difference", -1),
        ("train_seconds", -1),
        ("rmse", -1),
        ("weekly_mae", -1),
        ("maestro_share", None),
        ("train_rows", None),
        ("test_frauds", None),
        ("mood", None),
    ],
)
def test_a_metric_says_by_its_name_which_way_is_better(metric: str, direction: int | None) -> None:
    assert better_direction(metric) == direction


def test_each_metric_stands_beside_the_other_with_the_better_one_named() -> None:
    first = model_version(1, metrics={"auc_roc": 0.8, "log_loss": 0.25, "train_rows": 10, "f1": 1})
    second = model_version(
        2, metrics={"auc_roc": 0.75, "log_loss": 0.125, "train_rows": 20, "f1": 1}
    )
    found = {pair.metric: pair for pair in _compare(first, second).metrics}
    assert found["auc_roc"].difference == pytest.approx(-0.05)
    assert {name: pair.better for name, pair in found.items()} == {
        "auc_roc": "first",
        "log_loss": "second",
        "train_rows": None,
        "f1": "equal",
    }


def test_a_metric_that_one_version_lacks_is_shown_without_a_verdict() -> None:
    first, second = model_version(1, metrics={"auc_roc": 0.8}), model_version(2, metrics={"f1": 1})
    pairs = _compare(first, second).metrics
    assert [(p.metric, p.first, p.second, p.difference, p.better) for p in pairs] == [
        ("auc_roc", 0.8, None, None, None),
        ("f1", None, 1.0, None, None),
    ]


def test_a_metric_that_is_no_number_is_never_better() -> None:
    first = model_version(1, metrics={"auc_roc": 0.8})
    second = model_version(2, metrics={"auc_roc": math.nan})
    assert _compare(first, second).metrics[0].better is None


def test_only_the_lineage_that_changed_is_shown() -> None:
    first = model_version(1, lineage={"feature_service": "fraud_v1", "code_sha256": "a"})
    second = model_version(2, lineage={"feature_service": "fraud_v1", "code_sha256": "b"})
    changed = _compare(first, second).changed
    assert [(pair.name, pair.first, pair.second) for pair in changed] == [("code_sha256", "a", "b")]
