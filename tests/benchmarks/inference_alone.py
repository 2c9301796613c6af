"""Inference by ours, MLflow's scoring server, MLServer and BentoML on one ONNX file.

A forest of 100 trees with 15 inputs; one worker and one thread each, four connections. All are
started and take turns, so that a machine that drifts is fair to each; who is not asked sleeps.
Before anything is timed, answers are held to ONNX Runtime's own. The floor is ONNX Runtime called
in a loop. Processors are kept awake, as in the benchmark of the online store.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime

from mlops.cli.console import err
from tests.benchmarks.awake import processors_awake
from tests.benchmarks.inference import WIDTH
from tests.benchmarks.load import Load, open_loop, summary
from tests.benchmarks.measure import Measurement
from tests.benchmarks.servers import BENTOML, MLFLOW, MLSERVER, OURS, Server, Started, started
from tests.benchmarks.turns import Side, maxima, say

PART = "serving"
ROWS = (1, 10, 100)
SERVERS = (OURS, MLFLOW, MLSERVER, BENTOML)
_CONNECTIONS, _ROUNDS, _SECONDS = 4, 5, 1.0


@dataclass(frozen=True)
class Asked:
    """One server, asked for one number of rows at a time."""

    load: Load
    """The closed loop's median run."""
    cpu: float
    """Seconds of CPU a request, of all its processes: the median run's."""
    memory: float
    """MiB that they hold at its end."""


Found = Mapping[int, Mapping[str, Asked]]


def measure(rows: Sequence[int] = ROWS) -> Iterator[Measurement]:
    with tempfile.TemporaryDirectory(prefix="mlops-bench-") as name:
        folder = Path(name)
        (folder / "model.onnx").write_bytes(forest())
        with processors_awake(), ExitStack() as stack:
            servers = [stack.enter_context(started(server, folder)) for server in SERVERS]
            found = {count: ask(servers, folder, count) for count in rows}
        floors = {count: seconds_of_session(folder, count) for count in rows}
    for count in rows:
        yield from compared(found, count, floors[count])
        yield from costs(found, count, floors[count])


def compared(found: Found, count: int, floor: float) -> Iterator[Measurement]:
    """Requests a second and the 99th percentile at that load, by peer."""
    ours = found[count][OURS.name].load
    for peer in SERVERS[1:]:
        theirs, work = found[count][peer.name].load, f"infer-{count}-{peer.name}"
        yield Measurement(PART, work, ours.rate, theirs.rate, "1/s", 1 / floor, more_is_better=True)
        yield Measurement(
            PART, f"{work}-p99", ours.percentile(99) * 1e3, theirs.percentile(99) * 1e3, "ms"
        )


def costs(found: Found, count: int, floor: float) -> Iterator[Measurement]:
    """What a request takes of a core, all of it and beside the run itself; and the memory."""
    ours, theirs = found[count][OURS.name], found[count][MLFLOW.name]
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


def ask(servers: Sequence[Started], folder: Path, count: int) -> dict[str, Asked]:
    """The closed loop's maximum of each, in turns; the open loop at half of it is told."""
    err.print(f"  {count} rows", style="dim")
    asked = batches(count, 50)
    for one in servers:
        check(one.server, one.port, folder, asked[:3])
    sides = [
        Side(one.server.name, one.port, [one.server.ask(rows) for rows in asked], one.processes)
        for one in servers
    ]
    runs = maxima(
        sides, connections=_CONNECTIONS, warming=_SECONDS, seconds=_SECONDS, rounds=_ROUNDS
    )
    found = {}
    for one, side, run in zip(servers, sides, runs, strict=True):
        half = open_loop(side.port, side.requests, rate=run.load.rate / 2, seconds=_SECONDS)
        assert not half.errors
        say(f"{side.name}: {summary(run.load, half, 'half of it')}")
        found[side.name] = Asked(run.load, sum(run.cpu), one.memory())
    return found


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
