"""The fitted model itself, in a file that runs no code when it is read (skops)."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Protocol

import numpy as np
import skops.io
from numpy.typing import NDArray
from skops.io.exceptions import UntrustedTypesFoundException

from mlops.errors import NotFound, Refused
from pipelines.training.dataset import Matrix

NATIVE = "model.skops"
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


def save_native(model: Classifier, folder: Path) -> None:
    skops.io.dump(model, folder / NATIVE)


def load_native(folder: Path) -> Classifier:
    """The model of a training job's folder, which holds its model.tar.gz.

    Raises NotFound, or Refused when the file asks for a type that we do not trust.
    """
    if (folder / ARCHIVE).exists():
        _unpack(folder)
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


def _unpack(folder: Path) -> None:
    """The one file that we want, by its name: whatever else the archive holds stays in it."""
    with tarfile.open(folder / ARCHIVE) as archive:
        if NATIVE not in archive.getnames():
            return
        found = archive.extractfile(NATIVE)
        if found is not None:
            (folder / NATIVE).write_bytes(found.read())


def native_scores(model: Classifier, matrix: Matrix) -> NDArray[np.float64]:
    """Probability of yes, n values, in double precision on the float32 values that serving has."""
    return np.asarray(model.predict_proba(matrix.astype(np.float64))[:, 1], dtype=np.float64)
