"""The training job of the fraud model.

python pipelines/fraud/train.py --algorithm gradient_boosting --hyperparameters '{}' --seed 0
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipelines.fraud.settings import FraudSettings
from pipelines.training.dataset import Matrix
from pipelines.training.native import Classifier
from pipelines.training.steps.train import main


def fit(
    matrix: Matrix,
    labels: NDArray[np.int64],
    *,
    algorithm: str,
    hyperparameters: Mapping[str, Any],
    seed: int,
) -> Classifier:
    """Train as `pipelines.training.steps.train.Fit` says."""
    model = _unfitted(algorithm, {**FraudSettings.algorithms[algorithm], **hyperparameters}, seed)
    model.fit(matrix.astype(np.float64), labels)
    if algorithm == "random_forest":
        # Threads add up the trees' votes in any order; one thread gives the same score twice.
        model.set_params(n_jobs=1)
    fitted: Classifier = model
    return fitted


def _unfitted(algorithm: str, hyperparameters: Mapping[str, Any], seed: int) -> Any:
    """Trees need no scaling, a linear model does."""
    if algorithm == "logistic_regression":
        return make_pipeline(
            StandardScaler(), LogisticRegression(random_state=seed, **hyperparameters)
        )
    if algorithm == "random_forest":
        return RandomForestClassifier(random_state=seed, n_jobs=-1, **hyperparameters)
    return HistGradientBoostingClassifier(
        random_state=seed, early_stopping=False, **hyperparameters
    )


if __name__ == "__main__":
    main(fit, label="is_fraud")
