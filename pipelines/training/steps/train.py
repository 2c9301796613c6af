"""The training job, in SageMaker's script mode: read the rows, fit, save.

What is a model's own, it hands in: how it is fitted, and which column is its label.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.training.container import run_script
from pipelines.training.dataset import Matrix, read_rows, to_matrix
from pipelines.training.native import Classifier, save_native
from pipelines.training.run import read_run

_log = logging.getLogger(__name__)


class Fit(Protocol):
    """How a model is fitted."""

    def __call__(
        self,
        matrix: Matrix,
        labels: NDArray[np.int64],
        *,
        algorithm: str,
        hyperparameters: Mapping[str, Any],
        seed: int,
    ) -> Classifier:
        """Train on float32 [n, inputs], the values that serving will present; seeded.

        hyperparameters: what differs from the algorithm's defaults in the model's settings.
        """


def main(fit: Fit, *, label: str) -> None:
    run_script(lambda: train(fit, label=label))


def train(fit: Fit, *, label: str, arguments: Sequence[str] | None = None) -> None:
    """Fit on the channel `train` and save into the folder of the model."""
    options = _parse(arguments)
    rows = read_rows(options.train)
    settings = read_run(options.run).model_settings
    labels = rows[label].to_numpy(dtype=np.int64)
    _log.info("training %s on %d rows, %d positive", options.algorithm, len(rows), labels.sum())
    model = fit(
        to_matrix(rows, settings.inputs),
        labels,
        algorithm=options.algorithm,
        hyperparameters=options.hyperparameters,
        seed=options.seed,
    )
    save_native(model, options.model_dir)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--algorithm", required=True)
    parser.add_argument("--hyperparameters", type=json.loads, default={})
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", type=Path, default=os.environ.get("SM_CHANNEL_TRAIN"))
    parser.add_argument("--run", type=Path, default=os.environ.get("SM_CHANNEL_RUN"))
    parser.add_argument("--model-dir", type=Path, default=os.environ.get("SM_MODEL_DIR"))
    return parser.parse_args(arguments)
