"""Serving over HTTP: feature reads, predictions end to end, and inference alone.

Each work is a module of its own: `feature_reads`, `predictions`, `inference_alone`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from tests.benchmarks import feature_reads, inference_alone, predictions
from tests.benchmarks.measure import Measurement

WORKS: dict[str, Callable[[], Iterator[Measurement]]] = {
    "features": feature_reads.measure,
    "predict": predictions.measure,
    "infer": inference_alone.measure,
    **{f"features-{n}": partial(feature_reads.measure, (n,)) for n in feature_reads.ROWS},
    **{f"infer-{n}": partial(inference_alone.measure, (n,)) for n in inference_alone.ROWS},
}
_OF_ALL = ("features", "predict", "infer")


def measure() -> Iterator[Measurement]:
    for name in _OF_ALL:
        yield from WORKS[name]()
