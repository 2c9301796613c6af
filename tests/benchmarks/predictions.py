"""A prediction end to end: our proxy and inference endpoint, and the stock composition.

Ours are `mlops serve proxy` and `mlops serve inference` as they are, on the local AWS. The stock
composition is a FastAPI service that asks `feast serve` and `mlflow models serve`. All have one
worker and one thread, the same Redis, the same forest of 100 trees and the same payments, one in
a request. Each side runs alone with the load beside it. Before anything is timed, both must give
the same scores. What is served is logged by neither.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
from prometheus_client.parser import text_string_to_metric_families

from pipelines.fraud.settings import DEFAULTS
from tests.benchmarks.load import Request, summary
from tests.benchmarks.measure import Measurement
from tests.benchmarks.prediction_place import PEOPLE, Place, prepared
from tests.benchmarks.servers import MLFLOW, ROOT, Server, started
from tests.benchmarks.turns import Side, maxima, process_of, say, steady
from tests.fraud_plan import REPO
from tests.integration.serving.conftest import Service, wait_for
from tests.ports import free_port

PART = "serving"
CONNECTIONS = 16
RATE = 1000
"""Requests a second of the open loop."""
_WARM_SECONDS, _SECONDS = 1.0, 3.0


def measure() -> Iterator[Measurement]:
    asked = payments(500)
    with prepared(forest()) as place, stock(place, asked) as peer, ours(place, asked) as us:
        scores = [[score(one.port, request) for request in one.requests[:20]] for one in (peer, us)]
        np.testing.assert_allclose(scores[1], scores[0], atol=1e-6)
        before = costs(us.port)
        runs = maxima([peer, us], connections=CONNECTIONS, warming=_WARM_SECONDS, seconds=_SECONDS)
        peers_most, most = (run.load for run in runs)
        tell_costs(before, costs(us.port))
        redis = process_of(place.redis.process)
        peers_steady = steady(peer, redis, peers_most.rate / 2, alone=False)
        at_rate = steady(us, redis, RATE, alone=False)
        say(f"{peer.name}: {summary(peers_most, peers_steady, 'half of it')}")
        say(f"{us.name}: {summary(most, at_rate, f'{RATE}/s')}")
    yield Measurement(PART, "predict", most.rate, peers_most.rate, "1/s", more_is_better=True)
    yield Measurement(
        PART,
        f"predict-p99-at-{RATE}",
        at_rate.percentile(99) * 1e3,
        peers_steady.percentile(99) * 1e3,
        "ms",
        data="the peer at half of its maximum",
    )


def forest() -> bytes:
    """Of the fraud model's inputs."""
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestClassifier

    rng = np.random.default_rng(5)
    rows = rng.gamma(2.0, 30.0, size=(20_000, len(DEFAULTS.inputs))).astype(np.float32)
    labels = (rows[:, 0] + rows[:, 5] > 2 * rows[:, 9]).astype(int)
    model = RandomForestClassifier(100, max_depth=8, random_state=0, n_jobs=2).fit(rows, labels)
    graph = to_onnx(
        model, rows[:1], options={"zipmap": False}, target_opset={"": 17, "ai.onnx.ml": 3}
    )
    return bytes(graph.SerializeToString())


def payments(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(9)
    return [
        {
            "customer_id": str(rng.integers(PEOPLE)),
            "terminal_id": str(rng.integers(PEOPLE)),
            "amount": round(float(rng.gamma(2.0, 30.0)), 2),
            "event_time": f"2018-08-{rng.integers(1, 8):02d}T{rng.integers(24):02d}:30:00Z",
        }
        for _ in range(count)
    ]


# The stock composition


@contextmanager
def stock(place: Place, asked: Sequence[Any]) -> Iterator[Side]:
    requests = [Request("/predict", orjson.dumps({"instances": [one]})) for one in asked]
    with ExitStack() as stack:
        feast = stack.enter_context(started(_feast(), place.folder))
        mlflow = stack.enter_context(started(MLFLOW, place.folder))
        service = stack.enter_context(started(_stock(feast.port, mlflow.port), place.folder))
        processes = [*feast.processes, *mlflow.processes, *service.processes]
        yield Side("stock", service.port, requests, processes)


def _feast() -> Server:
    def start(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
        feast = str(Path(sys.executable).with_name("feast"))
        # Without --max-requests its worker would end after 1,000 requests.
        options = ["--no-access-log", "--max-requests", "0", "--registry_ttl_sec", "3600"]
        command = [feast, "-c", str(folder / "feast"), "serve", "-p", str(port), *options]
        return command, {"FEAST_USAGE": "False"}

    return Server(
        "feast", start, "/health", _no_rows, _no_rows, lambda: f"feast serve {version('feast')}"
    )


def _stock(feast: int, mlflow: int) -> Server:
    def start(_: Path, port: int) -> tuple[list[str], dict[str, str]]:
        service = "tests.benchmarks.peers.stock_service:app"
        command = [sys.executable, "-m", "uvicorn", service, "--port", str(port)]
        return [*command, "--no-access-log"], {
            "PYTHONPATH": str(ROOT),
            "FEATURE_REPO": str(REPO),
            "COLUMNS": ",".join(column.name for column in DEFAULTS.inputs),
            "FEAST": f"http://127.0.0.1:{feast}",
            "MLFLOW": f"http://127.0.0.1:{mlflow}",
        }

    return Server(
        "stock", start, "/docs", _no_rows, _no_rows, lambda: f"FastAPI {version('fastapi')}"
    )


def _no_rows(_: Any) -> Any:
    raise NotImplementedError("these servers are asked for predictions, not for rows")


# Ours


@contextmanager
def ours(place: Place, asked: Sequence[Any]) -> Iterator[Side]:
    key = {"X-Api-Key": place.key}
    path = "/v1/models/fraud:predict"
    requests = [Request(path, orjson.dumps({"instances": [one]}), key) for one in asked]
    with our_processes(place) as services:
        proxy, inference = (process_of(service.process) for service in services)
        yield Side("ours", services[0].port, requests, [proxy, inference])
        for name, one in (("proxy", proxy), ("inference", inference)):
            say(f"{name}: {one.memory_info().rss / 2**20:.0f} MiB")


@contextmanager
def our_processes(place: Place) -> Iterator[tuple[Service, Service]]:
    """Proxy and inference, started without a model, which is deployed then."""
    inference = Service("inference", free_port(), place.environment, place.folder / "inference.log")
    to = {"MLOPS_PROXY_INFERENCE_URL": inference.url}
    proxy = Service("proxy", free_port(), place.environment | to, place.folder / "proxy.log")
    running: list[Service] = []
    try:
        for service in (inference, proxy):
            began = time.perf_counter()
            running.append(service)
            service.start()
            say(f"{service.name}: up without a model in {time.perf_counter() - began:.1f} s")
        place.deploy()
        wait_for(lambda: proxy.status("/readyz") == httpx.codes.OK, "the model")
        yield proxy, inference
    finally:
        for service in reversed(running):
            service.stop()


def costs(port: int) -> dict[str, tuple[float, float]]:
    """Seconds and times by stage, from the proxy's own metrics; the whole request as 'all'."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            kind = sample.name.rpartition("_")[2]
            if kind not in ("sum", "count") or not family.name.endswith("_seconds"):
                continue
            if family.name == "mlops_proxy_stage_seconds":
                found.setdefault(sample.labels["stage"], {})[kind] = sample.value
            elif sample.labels.get("route", "").endswith(":predict"):
                found.setdefault("all", {})[kind] = sample.value
    return {stage: (parts["sum"], parts["count"]) for stage, parts in found.items()}


def tell_costs(
    before: dict[str, tuple[float, float]], after: dict[str, tuple[float, float]]
) -> None:
    """What a request took on average while the load was at its maximum, waiting included."""
    parts = []
    for stage, (seconds, count) in after.items():
        earlier = before.get(stage, (0.0, 0.0))
        taken = (seconds - earlier[0]) / max(count - earlier[1], 1)
        parts.append(f"{stage} {taken * 1e6:.0f} µs")
    say(f"of a request in the proxy: {', '.join(parts)}")


# Both


def score(port: int, request: Request) -> float:
    answer = httpx.post(
        f"http://127.0.0.1:{port}{request.path}",
        content=request.body,
        headers={"Content-Type": "application/json"} | request.headers,
    )
    assert answer.status_code == httpx.codes.OK, answer.text
    return float(answer.json()["predictions"][0]["score"])
