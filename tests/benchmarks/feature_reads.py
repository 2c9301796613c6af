"""Feature reads over HTTP: our proxy and `feast serve`, 50 features of 5 views, on one Redis.

Feast's server reads what Feast's own Redis store wrote, one worker; ours packed rows, one process.
Each is asked alone, in turn, over four connections. Nothing is told unless both answer the same
values, statuses and times.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import psutil
import pyarrow as pa

from infra.local import redis as local_redis
from mlops.clock import FixedClock
from mlops.plan import FeaturePlan, PlannedField, PlannedView
from mlops.stores.redis.batches import Batch
from mlops.stores.redis.link import open_link
from mlops.stores.redis.target import RedisTarget, parse_target
from mlops.stores.redis.views import stored_view
from mlops.stores.redis.writing import OnlineWriter
from serving.proxy.keys import ApiKeys, FileKeys
from tests.benchmarks.feature_server import STAGES
from tests.benchmarks.load import Load, Request, closed_loop, summary
from tests.benchmarks.measure import Measurement
from tests.benchmarks.pauses import machine_pauses
from tests.benchmarks.prediction_place import write_feasts
from tests.benchmarks.servers import ROOT, Server, Started, started
from tests.benchmarks.turns import Side, maxima, process_of, say, steady

PART = "serving"
ROWS = (1, 10, 100)
CUSTOMERS, VIEWS, WIDTH = 2000, 5, 10
AT = datetime(2018, 8, 8, tzinfo=UTC)
_CONNECTIONS = 4
_WARM_SECONDS, _SECONDS, _STAGE_SECONDS = 0.5, 1.5, 0.4


@dataclass(frozen=True)
class Place:
    """A folder with all that the two servers need, their Redis, and the key of a caller."""

    folder: Path
    redis: psutil.Process
    key: str


def measure(rows: Sequence[int] = ROWS) -> Iterator[Measurement]:
    say(f"the machine pauses for {'; '.join(one.describe() for one in machine_pauses())}")
    with prepared() as place:
        feast, ours = measure_servers([feast_server(), our_server(place.key)], place, rows)
        assert ours.answers == feast.answers, "the two do not answer the same"
        tell_stages(place, rows)
    for count in rows:
        (most, half), (feasts, feasts_half) = ours.loads[count], feast.loads[count]
        work = f"features-{count}"
        yield Measurement(PART, work, most.rate, feasts.rate, "1/s", more_is_better=True)
        yield Measurement(
            PART, f"{work}-p99", half.percentile(99) * 1e3, feasts_half.percentile(99) * 1e3, "ms"
        )


@contextmanager
def prepared() -> Iterator[Place]:
    """The same rows twice in one Redis: packed, and as Feast's own store has them."""
    with tempfile.TemporaryDirectory(prefix="mlops-bench-") as name:
        folder = Path(name)
        server = local_redis.start(folder / "redis-data", log=folder / "redis.log")
        try:
            target = parse_target(server.url, server.password)
            (folder / "redis").write_text(target.url)
            tables = {f"view{n}": view_rows(n) for n in range(VIEWS)}
            write_feasts(folder, server, write_ours(folder, target, tables), tables)
            keys, key = ApiKeys().add("bench", now=AT, permissions=["read:bench"])
            FileKeys(folder / "keys.json").save(keys)
            yield Place(folder, process_of(server.process), key)
        finally:
            server.stop()


def view_rows(number: int) -> pa.RecordBatch:
    """Counts and amounts, as views of payments have them."""
    rng = np.random.default_rng(number)
    columns: dict[str, Any] = {"customer_id": [str(n) for n in range(CUSTOMERS)]}
    for place in range(WIDTH):
        name = f"v{number}_f{place}"
        amounts, counts = rng.gamma(2.0, 50.0, CUSTOMERS), rng.integers(0, 500, CUSTOMERS)
        columns[name] = pa.array(amounts if place % 2 else counts)
    columns["event_time"] = pa.array([AT] * CUSTOMERS, pa.timestamp("us", "UTC"))
    return pa.record_batch(columns)


def features_of(rows: pa.RecordBatch) -> tuple[PlannedField, ...]:
    kinds = {pa.int64(): "Int64", pa.float64(): "Float64"}
    return tuple(
        PlannedField(name=field.name, dtype=kinds[field.type])
        for field in rows.schema
        if field.name not in ("customer_id", "event_time")
    )


def write_ours(folder: Path, target: RedisTarget, tables: dict[str, pa.RecordBatch]) -> FeaturePlan:
    customer = PlannedField(name="customer_id", dtype="String")
    views = [
        PlannedView(
            name=name, join_keys=("customer_id",), features=features_of(rows), ttl_seconds=0
        )
        for name, rows in tables.items()
    ]
    plan = FeaturePlan(
        service="bench",
        project="bench",
        entities=(customer,),
        request=(),
        views=tuple(views),
        transformations=(),
    )
    (folder / "plan.json").write_text(plan.model_dump_json())
    with closing(open_link(target)) as link:
        writer = OnlineWriter(link, FixedClock(AT))
        for view in views:
            stored = stored_view(
                "bench",
                view.name,
                join_keys=[customer],
                features=view.features,
                ttl_seconds=0,
            )
            assert not writer.write(Batch(stored, tables[view.name], "event_time")).refused
    return plan


def our_server(key: str) -> Server:
    def start(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
        program = [sys.executable, "-m", "tests.benchmarks.feature_server", str(folder), str(port)]
        return program, {"PYTHONPATH": str(ROOT)}

    def ask(ids: list[str]) -> Request:
        body = orjson.dumps({"entities": {"customer_id": ids}})
        return Request("/v1/features/bench:read", body, {"X-Api-Key": key})

    return Server("ours", start, "/healthz", ask, _read_ours, lambda: "our proxy")


def _read_ours(answer: Any) -> dict[str, Any]:
    times = answer["event_times"]
    return {
        reference.partition(":")[2]: (
            found["values"],
            found["statuses"],
            times[reference.partition(":")[0]],
        )
        for reference, found in answer["features"].items()
    }


def feast_server() -> Server:
    def start(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
        feast = str(Path(sys.executable).with_name("feast"))
        # Without --max-requests its worker would end after 1,000 requests.
        options = ["--no-access-log", "--max-requests", "0", "--registry_ttl_sec", "3600"]
        command = [feast, "-c", str(folder / "feast"), "serve", "-p", str(port), *options]
        return command, {"FEAST_USAGE": "False"}

    def ask(ids: list[str]) -> Request:
        body = {"feature_service": "bench", "entities": {"customer_id": ids}}
        return Request("/get-online-features", orjson.dumps(body))

    return Server(
        "feast", start, "/health", ask, _read_feasts, lambda: f"feast serve {version('feast')}"
    )


def _read_feasts(answer: Any) -> dict[str, Any]:
    names = answer["metadata"]["feature_names"]
    return {
        name: (found["values"], found["statuses"], found["event_timestamps"])
        for name, found in zip(names, answer["results"], strict=True)
        if name != "customer_id"
    }


def id_lists(count: int) -> list[list[str]]:
    rng = np.random.default_rng(count)
    return [[str(n) for n in rng.integers(0, CUSTOMERS, count)] for _ in range(200)]


@dataclass(frozen=True)
class Measured:
    """One server's figures by number of rows, and some of what it answered."""

    loads: dict[int, tuple[Load, Load]]
    """The closed loop's median maximum, and the median of open loops at half of it."""
    answers: dict[int, list[Any]]


def measure_servers(servers: Sequence[Server], place: Place, rows: Sequence[int]) -> list[Measured]:
    with ExitStack() as stack:
        running = [stack.enter_context(started(server, place.folder)) for server in servers]
        found = [Measured({}, {}) for _ in running]
        for count in rows:
            sides = [side(one, count) for one in running]
            runs = maxima(sides, connections=_CONNECTIONS, warming=_WARM_SECONDS, seconds=_SECONDS)
            for one, each, run, into in zip(running, sides, runs, found, strict=True):
                answers = [post(one.port, request) for request in each.requests[:5]]
                into.answers[count] = [one.server.read(answer) for answer in answers]
                half = steady(each, place.redis, run.load.rate / 2, alone=True)
                into.loads[count] = run.load, half
                say(f"{each.name}: {summary(run.load, half, 'half of it')}")
        for one in running:
            version, seconds = one.server.version(), one.seconds
            say(f"{version}: ready after {seconds:.1f} s, {one.memory():.0f} MiB")
        return found


def side(one: Started, count: int, path: str | None = None) -> Side:
    """A server that is asked for so many rows. path: another one than its own."""
    requests = [one.server.ask(ids) for ids in id_lists(count)]
    if path is not None:
        requests = [replace(request, path=f"/{path}") for request in requests]
    name = one.server.version() if path is None else path
    rows = "1 row" if count == 1 else f"{count} rows"
    return Side(f"{name}, {rows}", one.port, requests, one.processes)


def post(port: int, request: Request) -> Any:
    answer = httpx.post(
        f"http://127.0.0.1:{port}{request.path}",
        content=request.body,
        headers={"Content-Type": "application/json"} | request.headers,
    )
    assert answer.status_code == httpx.codes.OK, answer.text
    return answer.json()


def tell_stages(place: Place, rows: Sequence[int]) -> None:
    """What each part costs over a bare function that reads and answers values, and its own tail."""
    server = our_server(place.key)
    with started(server, place.folder) as one:
        post(one.port, server.ask(["0"]))  # opens the connection to Redis
        for count in rows:
            taken = stage_seconds(one.port, [server.ask(ids) for ids in id_lists(count)])
            before, parts = taken[0], [f"{STAGES[0]} {taken[0] * 1e6:.0f} µs"]
            for stage, seconds in zip((*STAGES[1:], "proxy"), taken[1:], strict=True):
                parts.append(f"{stage} {(seconds - before) * 1e6:+.0f}")
                before = seconds
            whole = f"proxy {taken[-1] * 1e6:.0f} µs"
            say(f"{count} rows, a request: {', '.join(parts)}; {whole}")
            steady(side(one, count, STAGES[0]), place.redis, 0.5 / taken[-1], alone=True)


def stage_seconds(port: int, asked: Sequence[Request]) -> list[float]:
    """Seconds a request of each stage and of the proxy, run in turn so that all drift alike."""
    ways = [[replace(request, path=f"/{stage}") for request in asked] for stage in STAGES]
    ways.append(list(asked))
    rounds = [
        [1 / closed_loop(port, way, seconds=_STAGE_SECONDS).rate for way in ways] for _ in range(5)
    ]
    return [statistics.median(times) for times in zip(*rounds, strict=True)]
