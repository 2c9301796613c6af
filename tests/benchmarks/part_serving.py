"""Serving over HTTP: feature reads (in `feature_reads`), predictions end to end (in `predictions`),
and inference by ours, MLflow's scoring server, MLServer and BentoML on one ONNX file.

A forest of 100 trees with 15 inputs; one worker and one thread each, four connections. Each server
runs alone with the load beside it. Before anything is timed, its answers are held to ONNX Runtime's
own. The floor is ONNX Runtime called in a loop, as requests a second.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime

from mlops.cli.console import err
from tests.benchmarks import feature_reads, predictions
from tests.benchmarks.inference import WIDTH
from tests.benchmarks.load import Load, closed_loop, open_loop
from tests.benchmarks.measure import Measurement
from tests.benchmarks.servers import BENTOML, MLFLOW, MLSERVER, OURS, Server, running

PART = "serving"
ROWS = (1, 10, 100)
SERVERS = (OURS, MLFLOW, MLSERVER, BENTOML)


def measure() -> Iterator[Measurement]:
    for work in WORKS.values():
        yield from work()


def measure_inference() -> Iterator[Measurement]:
    with tempfile.TemporaryDirectory(prefix="mlops-bench-") as name:
        folder = Path(name)
        (folder / "model.onnx").write_bytes(forest())
        found = {server.name: measure_server(server, folder) for server in SERVERS}
        floors = {count: rate_of_session(folder, count) for count in ROWS}
    for count in ROWS:
        ours = found[OURS.name][count]
        for peer in SERVERS[1:]:
            theirs = found[peer.name][count]
            work = f"infer-{count}-{peer.name}"
            yield Measurement(
                PART, work, ours.rate, theirs.rate, "1/s", floors[count], more_is_better=True
            )
            yield Measurement(
                PART,
                f"{work}-p99",
                ours.percentile(99) * 1e3,
                theirs.percentile(99) * 1e3,
                "ms",
            )


WORKS = {
    "features": feature_reads.measure,
    "predict": predictions.measure,
    "infer": measure_inference,
}


def forest() -> bytes:
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestClassifier

    rows = batches(20_000, 1)[0]
    labels = (rows[:, 0] + rows[:, 1] * rows[:, 2] > 0).astype(int)
    model = RandomForestClassifier(100, max_depth=8, random_state=0, n_jobs=2).fit(rows, labels)
    graph = to_onnx(
        model,
        rows[:1],
        options={"zipmap": False},
        target_opset={"": 17, "ai.onnx.ml": 3},
    )
    return bytes(graph.SerializeToString())


def batches(rows: int, count: int) -> list[Any]:
    rng = np.random.default_rng(5)
    return [rng.normal(size=(rows, WIDTH)).astype(np.float32) for _ in range(count)]


def measure_server(server: Server, folder: Path) -> dict[int, Load]:
    """The closed-loop maximum for each number of rows; the open loop at half of it is told."""
    err.print(f"  {server.version()}", style="dim")
    found = {}
    with running(server, folder) as port:
        for count in ROWS:
            asked = batches(count, 50)
            check(server, port, folder, asked[:3])
            requests = [server.ask(rows) for rows in asked]
            closed_loop(port, requests, seconds=1)
            found[count] = most(closed_loop(port, requests) for _ in range(3))
            half = open_loop(port, requests, rate=found[count].rate / 2)
            err.print(
                f"    {count} rows: {found[count].rate:,.0f}/s, p99 "
                f"{found[count].percentile(99) * 1e3:.2f} ms; at half of it p50 "
                f"{half.percentile(50) * 1e3:.2f} ms, p99 {half.percentile(99) * 1e3:.2f} ms",
                style="dim",
                highlight=False,
            )
            assert not found[count].errors + half.errors
    return found


def most(loads: Iterator[Load]) -> Load:
    """The median run."""
    return sorted(loads, key=lambda load: load.rate)[1]


def session(folder: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        folder / "model.onnx", options, providers=["CPUExecutionProvider"]
    )


def check(server: Server, port: int, folder: Path, asked: Sequence[Any]) -> None:
    native = session(folder)
    for rows in asked:
        request = server.ask(rows)
        answer = httpx.post(
            f"http://127.0.0.1:{port}{request.path}",
            content=request.body,
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code == httpx.codes.OK, answer.text
        (expected,) = native.run(["probabilities"], {"X": rows})
        np.testing.assert_allclose(server.read(answer.json()), expected, atol=1e-6)


def rate_of_session(folder: Path, count: int) -> float:
    native, asked = session(folder), batches(count, 50)
    runs, started = 0, time.perf_counter()
    while (taken := time.perf_counter() - started) < 1:
        native.run(["probabilities"], {"X": asked[runs % len(asked)]})
        runs += 1
    return runs / taken
