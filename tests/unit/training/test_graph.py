"""The model's two forms: the native file and the ONNX graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skops.io

from mlops.errors import NotFound, Refused
from pipelines.fraud.settings import DEFAULTS
from pipelines.fraud.train import fit
from pipelines.training.archive import archive
from pipelines.training.dataset import to_matrix
from pipelines.training.graph import to_graph
from pipelines.training.metrics import largest_difference
from pipelines.training.native import Classifier, load_native, native_scores, save_native
from tests.unit.training import examples

_QUICK = {
    "logistic_regression": {},
    "random_forest": {"n_estimators": 20},
    "gradient_boosting": {"max_iter": 30},
}


def _trained(algorithm: str, *, seed: int = 0) -> Classifier:
    rows = examples.rows(600)
    return fit(
        to_matrix(rows, DEFAULTS.inputs),
        rows["is_fraud"].to_numpy(),
        algorithm=algorithm,
        hyperparameters=_QUICK[algorithm],
        seed=seed,
    )


@pytest.mark.parametrize("algorithm", list(_QUICK))
def test_the_graph_scores_as_the_model_does(algorithm: str) -> None:
    model = _trained(algorithm)
    matrix = to_matrix(examples.rows(2000, seed=1), DEFAULTS.inputs)

    graph = to_graph(model, width=len(DEFAULTS.inputs), name="fraud")

    assert largest_difference(graph.scores(matrix), native_scores(model, matrix)) < 1e-6


def test_a_forest_splits_neighbouring_float32_values_alike_in_both_forms() -> None:
    """The threshold between two neighbours has no float32 of its own."""
    low = np.float32(0.1)
    values = np.array([[low], [np.nextafter(low, np.float32(1))]] * 50, dtype=np.float32)
    model = fit(
        values,
        np.array([0, 1] * 50),
        algorithm="random_forest",
        hyperparameters={"n_estimators": 5},
        seed=0,
    )

    graph = to_graph(model, width=1, name="fraud")

    assert largest_difference(graph.scores(values), native_scores(model, values)) < 1e-6


@pytest.mark.parametrize("algorithm", list(_QUICK))
def test_training_twice_gives_the_same_bytes(algorithm: str) -> None:
    graphs = [
        to_graph(_trained(algorithm), width=len(DEFAULTS.inputs), name="fraud") for _ in range(2)
    ]

    assert graphs[0].body == graphs[1].body


@pytest.mark.parametrize("algorithm", list(_QUICK))
def test_a_saved_model_scores_the_same(algorithm: str, tmp_path: Path) -> None:
    model, matrix = _trained(algorithm), to_matrix(examples.rows(50), DEFAULTS.inputs)
    save_native(model, tmp_path)

    loaded = load_native(tmp_path)

    assert native_scores(loaded, matrix).tolist() == native_scores(model, matrix).tolist()


class _Harmful:
    """A type that a model file has no business to name."""


def test_a_file_with_a_type_that_nobody_trusts_is_refused(tmp_path: Path) -> None:
    skops.io.dump(_Harmful(), tmp_path / "model.skops")

    with pytest.raises(Refused, match="_Harmful"):
        load_native(tmp_path)


def test_an_archive_without_a_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.tar.gz").write_bytes(archive({"readme.txt": b"nothing here"}))

    with pytest.raises(NotFound, match=r"model\.tar\.gz of the training job holds no model\.skops"):
        load_native(tmp_path)


def test_scores_of_no_rows_are_none() -> None:
    graph = to_graph(_trained("logistic_regression"), width=len(DEFAULTS.inputs), name="fraud")

    assert graph.scores(np.empty((0, len(DEFAULTS.inputs)), dtype=np.float32)).tolist() == []
