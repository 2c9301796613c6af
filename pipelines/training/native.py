"""The fitted model itself, in a file that runs no code when it is read (skops)."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import skops.io
from numpy.typing import NDArray
from skops.io.exceptions import UntrustedTypesFoundException

from mlops.errors import NotFound, Refused
from pipelines.training.dataset import Matrix

NATIVE = "model.skops"
TUNED = "tuned.json"
ARCHIVE = "model.tar.gz"

TRUSTED = (
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
)
"""Beyond what skops trusts by itself: scikit-learn's tree structures, and LightGBM's model, which
is read from its text."""


class Classifier(Protocol):
    """What we use of a fitted classifier of two classes, scikit-learn's or one like it."""

    def predict_proba(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities of (no, yes), [n, 2]."""


def save_native(model: Classifier, folder: Path, *, tuned: Mapping[str, Any] | None = None) -> None:
    """tuned: the hyperparameters that a search found, which the settings do not say."""
    skops.io.dump(model, folder / NATIVE)
    (folder / TUNED).write_text(json.dumps(tuned or {}), encoding="utf-8")


def read_tuned(folder: Path) -> dict[str, Any]:
    """What a search found for the model of a training job's folder; nothing without one."""
    if (folder / ARCHIVE).exists():
        _unpack(folder, TUNED)
    path = folder / TUNED
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def load_native(folder: Path) -> Classifier:
    """The model of a training job's folder, which holds its model.tar.gz.

    Raises NotFound, or Refused when the file asks for a type that we do not trust.
    """
    if (folder / ARCHIVE).exists():
        _unpack(folder, NATIVE)
    if not (folder / NATIVE).exists():
        raise NotFound(
            f"{ARCHIVE} of the training job holds no {NATIVE}. Save the model with save_native()."
        )
    try:
        model: Classifier = skops.io.load(folder / NATIVE, trusted=list(TRUSTED))
    except UntrustedTypesFoundException as exc:
        raise Refused(
            f"{NATIVE} holds types that are not trusted: {exc}. If they are harmless, add them to "
            "TRUSTED in pipelines/training/native.py."
        ) from exc
    return model


def _unpack(folder: Path, name: str) -> None:
    """The one file that we want, by its name: whatever else the archive holds stays in it."""
    with tarfile.open(folder / ARCHIVE) as archive:
        if name not in archive.getnames():
            return
        found = archive.extractfile(name)
        if found is not None:
            (folder / name).write_bytes(found.read())


def native_scores(model: Classifier, matrix: Matrix) -> NDArray[np.float64]:
    """Probability of yes, n values, in double precision on the float32 values that serving has."""
    return np.asarray(model.predict_proba(matrix.astype(np.float64))[:, 1], dtype=np.float64)
