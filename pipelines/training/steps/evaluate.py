"""The evaluate job: score the test rows, also with the approved version, and write the verdict."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops.aws import Aws
from mlops.objects import S3Documents
from mlops.registry.sagemaker import SageMakerRegistry
from mlops.settings import load_settings
from pipelines.training.approved import ApprovedModel, load_approved
from pipelines.training.comparison import EVALUATION, ApprovedScore, Evaluation, margins, shortfalls
from pipelines.training.container import Container, run_step
from pipelines.training.dataset import read_rows, to_matrix
from pipelines.training.native import load_native, native_scores
from pipelines.training.run import Run, read_run
from pipelines.training.tracking import Tracking

Measure = Callable[[pd.DataFrame, NDArray[np.float64]], Mapping[str, float]]
"""A model's own metrics of n test rows and their scores."""

_log = logging.getLogger(__name__)


def main(measure: Measure) -> None:
    run_step(lambda container: _evaluate(container, measure))


def _evaluate(container: Container, measure: Measure) -> None:
    run, settings = read_run(container.input("run")), load_settings()
    rows = read_rows(container.input("test"))
    matrix = to_matrix(rows, run.model_settings.inputs)
    metrics = dict(measure(rows, native_scores(load_native(container.input("model")), matrix)))
    aws, names = Aws(region=settings.region), settings.names
    approved = load_approved(
        SageMakerRegistry(aws, names),
        S3Documents(aws, names.artifact_bucket),
        names.artifact_bucket,
        run.workflow,
    )
    tracking = Tracking(settings.mlflow_tracking_uri, names).begin(run, metrics)
    verdict = judge(run, rows, metrics, approved, measure, tracking)
    path = container.output("evaluation") / EVALUATION
    path.write_text(verdict.model_dump_json(indent=1), encoding="utf-8")
    _log.info("metrics: %s", metrics)


def judge(
    run: Run,
    rows: pd.DataFrame,
    metrics: Mapping[str, float],
    approved: ApprovedModel | None,
    measure: Measure,
    tracking_run: str,
) -> Evaluation:
    """Compare with the approved version on the same rows, where there is one."""
    score = None
    if approved is not None:
        score = ApprovedScore(
            version=approved.version, metrics=measure(rows, approved.scores(rows))
        )
    settings = run.model_settings
    return Evaluation(
        metrics=metrics,
        compared=score is not None,
        approved=score,
        margins=margins(metrics, score, settings.tolerance),
        shortfalls=shortfalls(
            metrics, score, thresholds=settings.thresholds, tolerance=settings.tolerance
        ),
        tracking_run=tracking_run,
    )
