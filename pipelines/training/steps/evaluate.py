"""The evaluate job: score the test rows, also with the approved version, and write the verdict."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import pandas as pd

from mlops.aws import Aws
from mlops.objects import S3Documents
from mlops.registry.opening import open_registry
from mlops.settings import load_settings
from pipelines.training.approved import ApprovedModel, load_approved
from pipelines.training.bootstrap import Measure
from pipelines.training.comparison import EVALUATION, ApprovedScore, Evaluation, margins, shortfalls
from pipelines.training.container import Container, run_step
from pipelines.training.dataset import read_rows, to_matrix
from pipelines.training.native import load_native, native_scores, read_tuned
from pipelines.training.run import Run, read_run, read_trials
from pipelines.training.scorecard import EXAMINATION, Grouping, examine
from pipelines.training.tracking import Tracking

_log = logging.getLogger(__name__)


def main(measure: Measure, *, label: str | None = None, unit: str | None = None) -> None:
    """Evaluate with a model's own metrics.

    label: the column of the labels, for curves of the scores. unit: the column whose values are
    drawn whole for confidence intervals, as rows of one customer are not independent.
    """
    run_step(lambda container: _evaluate(container, measure, Grouping(label, unit)))


def _evaluate(container: Container, measure: Measure, grouping: Grouping) -> None:
    run, settings = read_run(container.input("run")), load_settings()
    rows = read_rows(container.input("test"))
    matrix = to_matrix(rows, run.model_settings.inputs)
    scores = native_scores(load_native(container.input("model")), matrix)
    metrics = dict(measure(rows, scores))
    aws, names = Aws(region=settings.region), settings.names
    approved = load_approved(
        open_registry(settings, aws),
        S3Documents(aws, names.artifact_bucket),
        names.artifact_bucket,
        run.workflow,
    )
    tracking = Tracking(settings, aws).begin(
        run,
        metrics,
        tuned=read_tuned(container.input("model")),
        trials=read_trials(container.input("run")),
    )
    verdict = judge(run, rows, metrics, approved, measure, tracking)
    test = examine(rows, scores, approved, measure, grouping)
    for name, document in ((EVALUATION, verdict), (EXAMINATION, test)):
        text = document.model_dump_json(indent=1)
        (container.output("evaluation") / name).write_text(text, encoding="utf-8")
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
