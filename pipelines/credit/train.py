"""The training job of the loan default model: boosted trees.

python pipelines/credit/train.py --algorithm lightgbm --hyperparameters '{}' --seed 0
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from lightgbm import LGBMClassifier
from numpy.typing import NDArray

from pipelines.credit.settings import CreditSettings
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
    """Train as `pipelines.training.steps.train.Fit` says; one thread adds up in one order."""
    chosen = {**CreditSettings.algorithms[algorithm], **hyperparameters}
    model = LGBMClassifier(
        random_state=seed, n_jobs=1, deterministic=True, force_row_wise=True, verbose=-1, **chosen
    )
    fitted: Classifier = model.fit(matrix.astype(np.float64), labels)
    return fitted


if __name__ == "__main__":
    main(fit, label="defaulted")
