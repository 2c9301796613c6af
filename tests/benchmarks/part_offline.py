"""Point-in-time joins: ours, Feast's own Athena store, and DuckDB's ASOF join as the floor.

Everything runs with one thread on the same data in the same process or on the same local AWS.
Before anything is timed, the answers are checked equal wherever the peers promise the same: Feast
where its own are right (one row for an entity row), ASOF where no feature rows tie.
"""

from __future__ import annotations

import functools
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
from feast import Entity, FeatureStore, FeatureView, Field, ValueType
from feast.types import Float64, Int64

from mlops.cli.console import err
from tests.athena_engine import MemoryAthena
from tests.benchmarks import offline_fraud, offline_memory
from tests.benchmarks.measure import Measurement, seconds
from tests.benchmarks.offline_data import (
    FEATURE_TYPES,
    FEATURES,
    OTHER_TTL_DAYS,
    TTL_DAYS,
    asof,
    make,
)
from tests.benchmarks.offline_sql import check, feast_sql, loaded, our_sql
from tests.feast_athena import FEASTS, OURS, Warehouse, environment

PART = "offline"
FEATURE_ROWS, ENTITY_ROWS = 1_700_000, 300_000
GROWTH = (10_000, 40_000, 160_000, 500_000, 1_700_000)
FEASTS_GROWTH = GROWTH[:3]
"""Feast's join takes too long for more than a comparison of exponents needs."""
STREAMED = (200_000, 600_000, 2_000_000)
"""Entity rows whose join is streamed."""


def measure() -> Iterator[Measurement]:
    yield from measure_sql()
    yield from measure_growth()
    yield from measure_s3()


# The SQL alone


def measure_sql() -> Iterator[Measurement]:
    with loaded(make(FEATURE_ROWS, ENTITY_ROWS)) as engine:
        others = ((f"join-sql-{ttl}d", ttl) for ttl in OTHER_TTL_DAYS)
        for work, ttl in (("join-sql", TTL_DAYS), *others):
            ours, feasts = (engine.translate(sql) for sql in (our_sql(engine, ttl), feast_sql(ttl)))
            check(engine, ours, feasts, asof(ttl))
            works = [runner(engine, sql) for sql in (ours, asof(ttl), feasts)]
            mine, floor, peer = medians(works, rounds=(5, 5, 1))
            yield Measurement(PART, work, mine, peer, "s", floor=floor)


def measure_growth() -> Iterator[Measurement]:
    """The exponent by which time grows with rows; 1 is linear."""
    times: dict[str, list[float]] = {"ours": [], "feast": [], "asof": []}
    for rows in GROWTH:
        with loaded(make(rows, rows * ENTITY_ROWS // FEATURE_ROWS)) as engine:
            times["ours"].append(best(runner(engine, engine.translate(our_sql(engine)))))
            times["asof"].append(best(runner(engine, asof(TTL_DAYS))))
            if rows in FEASTS_GROWTH:
                times["feast"].append(best(runner(engine, engine.translate(feast_sql())), tries=1))
    exponents = {name: exponent(found) for name, found in times.items()}
    yield Measurement(
        PART,
        "join-growth",
        exponents["ours"],
        exponents["feast"],
        "exponent",
        floor=exponents["asof"],
    )


def exponent(times: list[float]) -> float:
    """The slope of log time over log rows, by least squares."""
    rows = [math.log(n) for n in GROWTH[: len(times)]]
    logs = [math.log(t) for t in times]
    mean_rows, mean_logs = sum(rows) / len(rows), sum(logs) / len(logs)
    above = sum((r - mean_rows) * (t - mean_logs) for r, t in zip(rows, logs, strict=True))
    return above / sum((r - mean_rows) ** 2 for r in rows)


# From S3 to Arrow, on the local AWS


def measure_s3() -> Iterator[Measurement]:
    from infra.local import lifecycle

    os.environ |= {"MLOPS_LOCAL_ATHENA_THREADS": "1", "MLOPS_LOCAL_ATHENA_MEMORY": "4GB"}
    with (
        tempfile.TemporaryDirectory(prefix="mlops-bench-") as folder,
        lifecycle.start(Path(folder) / "aws") as aws,
        environment(aws),
    ):
        warehouse = Warehouse(aws, Path(folder))
        yield from measure_join_s3(warehouse)
        yield from measure_memory(warehouse)
        yield from measure_fraud(warehouse)


def measure_join_s3(warehouse: Warehouse) -> Iterator[Measurement]:
    data = make(FEATURE_ROWS, ENTITY_ROWS)
    warehouse.add("features", data.features, FEATURE_TYPES)
    key = Entity(name="key", join_keys=["k"], value_type=ValueType.INT64)
    fields = [Field(name=name, dtype=Float64) for name in FEATURES]
    view = FeatureView(
        name="v",
        entities=[key],
        ttl=timedelta(days=TTL_DAYS),
        schema=[Field(name="k", dtype=Int64), *fields],
        source=warehouse.source("features"),
    )
    entities = data.entities.to_pandas()
    entities["event_timestamp"] = entities["event_timestamp"].dt.tz_localize("UTC")
    references = [f"v:{name}" for name in FEATURES]
    stores = [warehouse.store([key, view], kind=kind) for kind in (OURS, FEASTS)]

    def joined(store: FeatureStore) -> object:
        return store.get_historical_features(entities, references).to_arrow()

    works = [functools.partial(joined, store) for store in stores]
    mine, peer = medians(works, rounds=(3, 1))
    yield Measurement(PART, "join-s3-arrow", mine, peer, "s")


def measure_fraud(warehouse: Warehouse) -> Iterator[Measurement]:
    """The ASOF joins read the payments where they are; both stores upload them."""
    fraud = offline_fraud.prepare(warehouse)
    err.print(f"fraud-1750k: {fraud.origin}", style="dim")
    answers: dict[str, pa.Table] = {}

    def joined(kind: str) -> None:
        store = stores[kind]
        found = store.get_historical_features(fraud.payments, fraud.references).to_arrow()
        answers[kind] = found

    stores = {kind: warehouse.store(fraud.objects, kind=kind) for kind in (OURS, FEASTS)}
    mine = best(lambda: joined(OURS), tries=2)
    floor = best(lambda: offline_fraud.asof(warehouse, fraud.payments), tries=2)
    peer = best(lambda: joined(FEASTS), tries=1)
    offline_fraud.require_equal(answers[OURS], answers[FEASTS])
    yield Measurement(PART, "fraud-1750k", mine, peer, "s", floor=floor, data=fraud.origin)


def measure_memory(warehouse: Warehouse) -> Iterator[Measurement]:
    """A stream's peak beside that of the same rows as one table; the floor is a tenth of them."""
    offline_memory.prepare(warehouse)
    least = offline_memory.measure(warehouse, STREAMED[0], "stream")
    for rows in STREAMED[1:]:
        mine = offline_memory.measure(warehouse, rows, "stream")
        peer = offline_memory.measure(warehouse, rows, "table")
        work = f"stream-memory-{rows // 1000}k"
        yield Measurement(PART, work, mine, peer, "MiB", floor=least)


# How


def runner(engine: MemoryAthena, sql: str) -> Callable[[], object]:
    return lambda: engine.connection.execute(sql).to_arrow_table()


def best(work: Callable[[], object], *, tries: int = 3) -> float:
    return min(seconds(work) for _ in range(tries))


def medians(works: Sequence[Callable[[], object]], *, rounds: tuple[int, ...]) -> list[float]:
    """Median seconds of each, in turn; slow ones have fewer rounds, and quick ones a warm-up."""
    times: list[list[float]] = [[] for _ in works]
    for work, count in zip(works, rounds, strict=True):
        if count > 2:
            work()
    for turn in range(max(rounds)):
        for work, count, found in zip(works, rounds, times, strict=True):
            if turn < count:
                found.append(seconds(work))
    return [sorted(found)[len(found) // 2] for found in times]
