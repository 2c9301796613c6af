"""What is measured of a new model, and of the approved one, on the test rows."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import onnxruntime
import pandas as pd
from numpy.typing import NDArray

from mlops.registry.scorecard import Curves, Examination, Latency, Measured, Points
from pipelines.training.approved import ApprovedModel
from pipelines.training.bootstrap import Measure, replicate
from pipelines.training.dataset import Matrix, rows_sha256
from pipelines.training.graph import Graph
from pipelines.training.metrics import Labels, Scores, hits_and_misses

EXAMINATION = "examination.json"
_POINTS = 100
_TENTHS = 10
_RUNS = 300
_WARMING = 20


@dataclass(frozen=True)
class Grouping:
    """Columns of the test rows: their labels, and what is drawn whole for intervals."""

    label: str | None = None
    unit: str | None = None


def examine(
    rows: pd.DataFrame,
    scores: Scores,
    approved: ApprovedModel | None,
    measure: Measure,
    grouping: Grouping,
) -> Examination:
    """Measure the model of n scores, and the approved one, on all rows and on draws of them."""
    every = [scores] if approved is None else [scores, approved.scores(rows)]
    replicates = replicate(measure, rows, every, unit=grouping.unit)
    labels = None if grouping.label is None else rows[grouping.label].to_numpy(dtype=np.int64)
    found = [
        Measured(
            metrics=measure(rows, own),
            replicates=draws,
            curves=None if labels is None else draw_curves(labels, own),
        )
        for own, draws in zip(every, replicates, strict=True)
    ]
    return Examination(
        rows_sha256=rows_sha256(rows),
        rows=len(rows),
        unit=grouping.unit,
        own=found[0],
        approved_version=approved.version if approved else None,
        approved=found[1] if approved else None,
    )


def draw_curves(labels: Labels, scores: Scores) -> Curves:
    """ROC, precision over recall, and calibration of n scores with both kinds of labels."""
    hits, misses = hits_and_misses(labels, scores)
    recall, precision = hits / hits[-1], hits / (hits + misses)
    return Curves(
        roc=_thinned(np.insert(misses / misses[-1], 0, 0.0), np.insert(recall, 0, 0.0)),
        precision_recall=_thinned(recall, precision),
        calibration=_calibration(labels, scores),
    )


def _calibration(labels: Labels, scores: Scores) -> Points:
    parts = np.array_split(np.argsort(scores, kind="stable"), min(_TENTHS, len(scores)))
    return _points([scores[part].mean() for part in parts], [labels[part].mean() for part in parts])


def _thinned(x: Scores, y: Scores) -> Points:
    """At most some hundred points, evenly along the curve, both ends among them."""
    way = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    places = np.unique(np.searchsorted(way, np.linspace(0, way[-1], _POINTS)))
    return _points(x[places], y[places])


def _points(x: Scores | list[float], y: Scores | list[float]) -> Points:
    return tuple((round(float(a), 6), round(float(b), 6)) for a, b in zip(x, y, strict=True))


def time_rows(graph: Graph, rows: Matrix, *, runs: int = _RUNS) -> Latency:
    """How long one row takes on one thread, of n rows taken in turn."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph.body, options, providers=["CPUExecutionProvider"])
    taken: list[float] = []
    for number in range(runs + _WARMING):
        row = rows[number % len(rows)][None, :]
        before = time.perf_counter()
        session.run([graph.output], {graph.input: row})
        taken.append((time.perf_counter() - before) * 1000)
    p50, p99 = _percentiles(np.array(taken[_WARMING:]))
    return Latency(runs=runs, p50_ms=p50, p99_ms=p99)


def _percentiles(values: NDArray[np.float64]) -> tuple[float, float]:
    middle, late = np.percentile(values, [50, 99])
    return round(float(middle), 4), round(float(late), 4)
