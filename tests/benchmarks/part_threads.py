"""What ONNX Runtime's own threads bring within one run: none as we set it, against two.

The reason for MLOPS_INFERENCE_THREADS=1: the ratio is how many times one thread is quicker. Where
it is below 1, as for large networks and large batches, more threads pay where cores stand idle.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import onnxruntime

from tests.benchmarks.inference import WIDTH
from tests.benchmarks.inference_alone import batches, forest
from tests.benchmarks.measure import Measurement

PART = "threads"
ROWS = (1, 10, 100, 1000)
THREADS = 2


def measure() -> Iterator[Measurement]:
    for name, graph in (("forest", forest()), ("network", network())):
        one, more = (session(graph, threads) for threads in (1, THREADS))
        for count in ROWS:
            rows = batches(count, 1)[0]
            ours, theirs = race_of_runs(one, more, rows)
            yield Measurement(PART, f"{name}-{count}", ours, theirs, "us")


def network() -> bytes:
    """A large one for tables: 15 inputs, two layers of 512."""
    from skl2onnx import to_onnx
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    rows = batches(2_000, 1)[0]
    model = MLPClassifier((512, 512), max_iter=2, random_state=0, tol=1.0, n_iter_no_change=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # its weights do not matter here
        model.fit(rows, rows[:, 0] > 0)
    graph = to_onnx(model, rows[:1], options={"zipmap": False})
    return bytes(graph.SerializeToString())


def session(graph: bytes, threads: int) -> Any:
    """As `serving.inference.model` opens it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def race_of_runs(one: Any, more: Any, rows: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Median microseconds of each, in turn."""
    assert rows.shape[1] == WIDTH
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(200):
        for found, run in zip(times, (one, more), strict=True):
            work, started = partial(run.run, None, {"X": rows}), time.perf_counter()
            work()
            found.append((time.perf_counter() - started) * 1e6)
    return statistics.median(times[0]), statistics.median(times[1])
