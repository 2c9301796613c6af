"""How good a classifier's scores are; pure functions of labels and scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

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
    return {
        "auc_roc": float(roc_auc_score(labels, scores)),
        "average_precision": float(average_precision_score(labels, scores)),
    }


def largest_difference(left: Scores, right: Scores) -> float:
    """The largest absolute difference of two models' scores on the same rows; 0 for no rows."""
    return float(np.max(np.abs(left - right), initial=0.0))
