"""How good a classifier's scores are; pure functions of labels and scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlops.errors import InputError

Labels = NDArray[np.int64]
Scores = NDArray[np.float64]


def ranking_metrics(labels: Labels, scores: Scores) -> dict[str, float]:
    """AUC ROC and average precision of n scores.

    Raises InputError where the labels are all alike, for then neither is defined.
    """
    positives = int(labels.sum())
    if positives in (0, len(labels)):
        raise InputError(
            f"The test window has {len(labels)} rows of which {positives} are positive; AUC ROC "
            "needs both classes. Choose a window with both: --set test_end=DATE --set test_days=N."
        )
    hits, misses = hits_and_misses(labels, scores)
    gained = np.diff(hits, prepend=0.0)
    return {
        "auc_roc": float(np.trapezoid(np.insert(hits, 0, 0.0), np.insert(misses, 0, 0.0)))
        / (hits[-1] * misses[-1]),
        "average_precision": float(gained @ (hits / (hits + misses)) / hits[-1]),
    }


def hits_and_misses(labels: Labels, scores: Scores) -> tuple[Scores, Scores]:
    """Positives and negatives at or above each distinct score, the highest score first."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)
    hits = np.cumsum(labels[order], dtype=np.float64)[ends]
    return hits, ends + 1.0 - hits


def largest_difference(left: Scores, right: Scores) -> float:
    """The largest absolute difference of two models' scores on the same rows; 0 for no rows."""
    return float(np.max(np.abs(left - right), initial=0.0))
