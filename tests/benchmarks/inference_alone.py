"""Inference by ours, MLflow's scoring server, MLServer and BentoML on one ONNX file.

A forest of 100 trees with 15 inputs; one worker and one thread each, four connections. Each server
runs alone with the load beside it. Before anything is timed, its answers are held to ONNX Runtime's
own. The floor is ONNX Runtime called in a loop.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime
import psutil

from mlops.cli.console import err
from tests.benchmarks.inference import WIDTH
from tests.benchmarks.load import Load, closed_loop, open_loop
from tests.benchmarks.measure import Measurement
from tests.benchmarks.servers import BENTOML, MLFLOW, MLSERVER, OURS, Server, running

PART = "serving"
ROWS = (1, 10, 100)
SERVERS = (OURS, MLFLOW, MLSERVER, BENTOML)
_ROUNDS, _SECONDS = 3, 2.0


@dataclass(frozen=True)
class Asked:
    """One server, asked for one number of rows at a time."""

    load: Load
    """The closed loop's median run."""
    cpu: float
    """Seconds of CPU a request, of all its processes, while that ran."""
    memory: float
    """MiB that they hold at its end."""


Found = Mapping[str, Mapping[int, Asked]]


def measure(rows: Sequence[int] = ROWS) -> Iterator[Measurement]:
    with tempfile.TemporaryDirectory(prefix="mlops-bench-") as name:
        folder = Path(name)
        (folder / "model.onnx").write_bytes(forest())
        found = {server.name: measure_server(server, folder, rows) for server in SERVERS}
        floors = {count: seconds_of_session(folder, count) for count in rows}
    for count in rows:
        yield from compared(found, count, floors[count])
        yield from costs(found, count, floors[count])


def compared(found: Found, count: int, floor: float) -> Iterator[Measurement]:
    """Requests a second and the 99th percentile at that load, by peer."""
    ours = found[OURS.name][count].load
    for peer in SERVERS[1:]:
        theirs, work = found[peer.name][count].load, f"infer-{count}-{peer.name}"
        yield Measurement(PART, work, ours.rate, theirs.rate, "1/s", 1 / floor, more_is_better=True)
        yield Measurement(
            PART, f"{work}-p99", ours.percentile(99) * 1e3, theirs.percentile(99) * 1e3, "ms"
        )


def costs(found: Found, count: int, floor: float) -> Iterator[Measurement]:
    """What a request takes of a core, all of it and beside the run itself; and the memory."""
    ours, theirs = found[OURS.name][count], found[MLFLOW.name][count]
    own, peer, least = (seconds * 1e6 for seconds in (ours.cpu, theirs.cpu, floor))
    yield Measurement(PART, f"infer-{count}-cpu", own, peer, "us", least)
    yield Measurement(PART, f"infer-{count}-overhead", own - least, peer - least, "us")
    yield Measurement(PART, f"infer-{count}-memory", ours.memory, theirs.memory, "MiB")


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


def measure_server(server: Server, folder: Path, rows: Sequence[int]) -> dict[int, Asked]:
    """The closed loop's maximum for each number of rows; the open loop at half of it is told."""
    err.print(f"  {server.version()}", style="dim")
    with started(server, folder) as (port, processes):
        return {count: ask(server, port, processes, folder, count) for count in rows}


@contextmanager
def started(server: Server, folder: Path) -> Iterator[tuple[int, list[psutil.Process]]]:
    """Its port, and its processes."""
    before, this = set(psutil.Process().children(recursive=True)), psutil.Process()
    with running(server, folder) as port:
        yield port, [one for one in this.children(recursive=True) if one not in before]


def ask(
    server: Server, port: int, processes: Sequence[psutil.Process], folder: Path, count: int
) -> Asked:
    asked = batches(count, 50)
    check(server, port, folder, asked[:3])
    requests = [server.ask(rows) for rows in asked]
    closed_loop(port, requests, seconds=1)
    before = cpu_seconds(processes)
    runs = [closed_loop(port, requests, seconds=_SECONDS) for _ in range(_ROUNDS)]
    spent = (cpu_seconds(processes) - before) / sum(run.requests for run in runs)
    most = sorted(runs, key=lambda run: run.rate)[_ROUNDS // 2]
    half = open_loop(port, requests, rate=most.rate / 2, seconds=_SECONDS)
    held = sum(one.memory_info().rss for one in processes) / 2**20
    assert not half.errors + sum(run.errors for run in runs)
    tell(count, most, half)
    return Asked(most, spent, held)


def cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(one.cpu_times()[:2]) for one in processes)


def tell(count: int, most: Load, half: Load) -> None:
    err.print(
        f"    {count} rows: {most.rate:,.0f}/s, p99 {most.percentile(99) * 1e3:.2f} ms; at half "
        f"of it p50 {half.percentile(50) * 1e3:.2f} ms, p99 {half.percentile(99) * 1e3:.2f} ms",
        style="dim",
        highlight=False,
    )


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


def seconds_of_session(folder: Path, count: int) -> float:
    """Of one run, on rows that differ from run to run."""
    native, asked = session(folder), batches(count, 50)
    runs, started_at = 0, time.perf_counter()
    while (taken := time.perf_counter() - started_at) < 1:
        native.run(["probabilities"], {"X": asked[runs % len(asked)]})
        runs += 1
    return taken / runs
