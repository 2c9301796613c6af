"""The training job of the fraud model, in SageMaker's script mode.

python pipelines/fraud/train.py --algorithm gradient_boosting --hyperparameters '{}' --seed 0
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipelines.fraud.settings import FraudSettings
from pipelines.training.container import run_script
from pipelines.training.dataset import Matrix, read_rows, to_matrix
from pipelines.training.native import Classifier, save_native
from pipelines.training.run import read_run

_log = logging.getLogger(__name__)


def fit(
    matrix: Matrix,
    labels: NDArray[np.int64],
    *,
    algorithm: str,
    hyperparameters: Mapping[str, Any],
    seed: int,
) -> Classifier:
    """Train on float32 [n, inputs], the values that serving will present; seeded.

    hyperparameters: what differs from the algorithm's defaults in FraudSettings.
    """
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


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parse(arguments)
    rows = read_rows(options.train)
    inputs = read_run(options.run).model_settings.inputs
    labels = rows["is_fraud"].to_numpy(dtype=np.int64)
    _log.info("training %s on %d rows, %d frauds", options.algorithm, len(rows), labels.sum())
    model = fit(
        to_matrix(rows, inputs),
        labels,
        algorithm=options.algorithm,
        hyperparameters=options.hyperparameters,
        seed=options.seed,
    )
    save_native(model, options.model_dir)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--algorithm", choices=list(FraudSettings.algorithms), required=True)
    parser.add_argument("--hyperparameters", type=json.loads, default={})
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", type=Path, default=os.environ.get("SM_CHANNEL_TRAIN"))
    parser.add_argument("--run", type=Path, default=os.environ.get("SM_CHANNEL_RUN"))
    parser.add_argument("--model-dir", type=Path, default=os.environ.get("SM_MODEL_DIR"))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    run_script(main)
