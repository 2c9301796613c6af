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
import pandas as pd
from numpy.typing import NDArray

from pipelines.training.container import run_script
from pipelines.training.dataset import Matrix, read_rows, to_matrix
from pipelines.training.metrics import ranking_metrics
from pipelines.training.native import Classifier, native_scores, save_native
from pipelines.training.run import read_run
from pipelines.training.search import OBJECTIVE
from pipelines.training.settings import literal

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
    """Fit on the channel `train` and save into the folder of the model.

    A trial of a search is fitted on the rows before the last share, and judged on these.
    """
    options = _parse(arguments)
    settings = read_run(options.run).model_settings
    rows, held_out = hold_out(read_rows(options.train), options.holdout)

    labels = rows[label].to_numpy(dtype=np.int64)
    _log.info("training %s on %d rows, %d positive", options.algorithm, len(rows), labels.sum())
    model = fit(
        to_matrix(rows, settings.inputs),
        labels,
        algorithm=options.algorithm,
        hyperparameters={**options.hyperparameters, **options.tuned},
        seed=options.seed,
    )
    if len(held_out):
        scores = native_scores(model, to_matrix(held_out, settings.inputs))
        metrics = ranking_metrics(held_out[label].to_numpy(dtype=np.int64), scores)
        _log.info("%s=%.8f", OBJECTIVE, metrics[options.metric])
    save_native(model, options.model_dir, tuned=options.tuned)


def hold_out(rows: pd.DataFrame, share: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows, and the last share of them; they are in the order of their times."""
    cut = len(rows) - round(len(rows) * share)
    return rows[:cut], rows[cut:]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--algorithm", required=True)
    parser.add_argument("--hyperparameters", type=json.loads, default={})
    parser.add_argument("--tuned", type=_values, default={})
    parser.add_argument("--holdout", type=float, default=0.0)
    parser.add_argument("--metric", default="average_precision")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", type=Path, default=os.environ.get("SM_CHANNEL_TRAIN"))
    parser.add_argument("--run", type=Path, default=os.environ.get("SM_CHANNEL_RUN"))
    parser.add_argument("--model-dir", type=Path, default=os.environ.get("SM_MODEL_DIR"))
    options, others = parser.parse_known_args(arguments)
    options.tuned = options.tuned | _tried(others)
    return options


def _tried(arguments: Sequence[str]) -> dict[str, Any]:
    """A trial's own values: SageMaker hands them over as hyperparameters beside ours.

    The toolkit writes one hyphen before a name of one letter.
    """
    named = zip(arguments[::2], arguments[1::2], strict=True)
    pairs = {name.lstrip("-"): text for name, text in named}
    return {name: literal(text) for name, text in pairs.items() if not name.startswith("_")}


def _values(text: str) -> dict[str, Any]:
    """SageMaker tells what it tried as texts."""
    return {name: literal(value) for name, value in json.loads(text).items()}
