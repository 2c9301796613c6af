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
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
from feast import Entity, FeatureStore, FeatureView, Field, ValueType
from feast.infra.offline_stores import offline_utils
from feast.infra.offline_stores.contrib.athena_offline_store.athena import (
    MULTIPLE_FEATURE_VIEW_POINT_IN_TIME_JOIN,
)
from feast.infra.offline_stores.offline_utils import FeatureViewQueryContext
from feast.types import Float64, Int64, String

from mlops.stores.athena.join import AT, ROW, Feature, Join, Key, View, join_sql
from mlops.stores.athena.sql import TimeColumn, Window, to_microseconds
from tests.athena_engine import MemoryAthena
from tests.benchmarks.measure import Measurement, seconds
from tests.benchmarks.offline_data import (
    DAYS,
    FEATURE_TYPES,
    FEATURES,
    SHORT_TTL_DAYS,
    TTL_DAYS,
    Data,
    asof,
    make,
    untied,
)
from tests.feast_athena import FEASTS, OURS, Warehouse, environment

PART = "offline"
FEATURE_ROWS, ENTITY_ROWS = 1_700_000, 300_000
GROWTH = (10_000, 40_000, 160_000, 500_000, 1_700_000)
FEASTS_GROWTH = GROWTH[:3]
"""Feast's join takes too long for more than a comparison of exponents needs."""
_ZONED_LAST = datetime(2018, 4, 1, tzinfo=UTC) + timedelta(days=DAYS)
_FIRST = datetime(2018, 4, 1, tzinfo=UTC)


def measure() -> Iterator[Measurement]:
    yield from measure_sql()
    yield from measure_growth()
    yield from measure_s3()


# The SQL alone


def measure_sql() -> Iterator[Measurement]:
    with loaded(make(FEATURE_ROWS, ENTITY_ROWS)) as engine:
        for work, ttl in (("join-sql", TTL_DAYS), ("join-sql-short-ttl", SHORT_TTL_DAYS)):
            ours, feasts = (engine.translate(sql) for sql in (our_sql(ttl), feast_sql(ttl)))
            check(engine, ours, feasts, asof(ttl))
            works = [runner(engine, sql) for sql in (ours, asof(ttl), feasts)]
            mine, floor, peer = medians(works, rounds=(5, 5, 1))
            yield Measurement(PART, work, mine, peer, "s", floor=floor)


def measure_growth() -> Iterator[Measurement]:
    """The exponent by which time grows with rows; 1 is linear."""
    times: dict[str, list[float]] = {"ours": [], "feast": [], "asof": []}
    for rows in GROWTH:
        with loaded(make(rows, rows * ENTITY_ROWS // FEATURE_ROWS)) as engine:
            times["ours"].append(best(runner(engine, engine.translate(our_sql()))))
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


@contextmanager
def loaded(data: Data) -> Iterator[MemoryAthena]:
    """Both sides as tables in memory, as each store's SQL wants them."""
    engine = MemoryAthena()
    engine.add("features", data.features, FEATURE_TYPES)
    kinds = {"row": "bigint", "k": "bigint", "event_timestamp": "timestamp"}
    engine.add("entities", data.entities, kinds)
    engine.connection.execute(
        f'CREATE TABLE staged AS SELECT "row" AS {ROW}, epoch_us(event_timestamp) AS {AT}, '
        "k AS key0 FROM entities"
    )
    engine.declare("staged", {ROW: "bigint", AT: "bigint", "key0": "bigint"})
    try:
        yield engine
    finally:
        engine.connection.close()


def our_sql(ttl_days: int = TTL_DAYS) -> str:
    view = View(
        title="v",
        relation="features",
        keys=(Key("k", "bigint", "bigint", "key0"),),
        features=tuple(Feature(name, "double", name) for name in FEATURES),
        event_time=TimeColumn("event_time", "timestamp"),
        created=TimeColumn("created", "timestamp"),
        ttl=ttl_days * 86_400_000_000,
    )
    window = Window(to_microseconds(_FIRST), to_microseconds(_ZONED_LAST))
    return join_sql(Join((view,), "staged", window), sparse=True)


def feast_sql(ttl_days: int = TTL_DAYS) -> str:
    """What Feast's store runs for the same view, by its own template."""
    context = FeatureViewQueryContext(
        name="v",
        ttl=ttl_days * 86_400,
        entities=["k"],
        features=list(FEATURES),
        field_mapping={},
        timestamp_field="event_time",
        created_timestamp_column="created",
        table_subquery="features",
        entity_selections=["k AS k"],
        min_event_timestamp=(_FIRST - timedelta(days=ttl_days)).replace(tzinfo=None).isoformat(),
        max_event_timestamp=_ZONED_LAST.replace(tzinfo=None).isoformat(),
        date_partition_column=None,
        timestamp_field_type=None,
    )
    sql: str = offline_utils.build_point_in_time_query(
        [context],
        left_table_query_string="entities",
        entity_df_event_timestamp_col="event_timestamp",
        entity_df_columns={"row": 0, "k": 0, "event_timestamp": 0}.keys(),
        query_template=MULTIPLE_FEATURE_VIEW_POINT_IN_TIME_JOIN,
    )
    return sql.replace("SELECT row,", 'SELECT "row",')


def check(engine: MemoryAthena, ours: str, feasts: str, floor: str) -> None:
    """Our answers equal Feast's where Feast gives one, and ASOF's where nothing ties."""
    mine = _answers(engine.connection.execute(ours).to_arrow_table(), ROW)
    assert len(mine) == ENTITY_ROWS, "an entity row is not answered"
    theirs: dict[int, list[Any]] = {}
    for row, values in _rows(engine.connection.execute(feasts).to_arrow_table(), "row"):
        theirs.setdefault(row, []).append(values)
    alone = {row: found[0] for row, found in theirs.items() if len(found) == 1}
    assert all(mine[row] == values for row, values in alone.items()), "Feast answers otherwise"
    lowest = _answers(engine.connection.execute(floor).to_arrow_table(), "row")
    for row in untied(engine.connection):
        assert mine[row] == lowest[row], "ASOF answers otherwise"


def _answers(table: pa.Table, row: str) -> dict[int, tuple[float | None, ...]]:
    return dict(_rows(table, row))


def _rows(table: pa.Table, row: str) -> Iterator[tuple[int, tuple[float | None, ...]]]:
    values = zip(*(table[name].to_pylist() for name in FEATURES), strict=True)
    return zip(table[row].to_pylist(), values, strict=True)


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
    """Every payment of half a year with the fraud service's shape of features, made here.

    Daily snapshots of 4,990 customers and 10,000 terminals, 6 features each. The ASOF joins read
    the payments where they are; both stores upload them, and read back what Athena wrote.
    """
    days = 183
    duckdb.sql("SELECT setseed(0.5)").fetchall()
    objects, references = [], []
    for name, entities in (("customer", 4_990), ("terminal", 10_000)):
        columns = [f"{name}_f{n}" for n in range(6)]
        add_snapshots(warehouse, name, entities, days, columns)
        entity = Entity(name=name, join_keys=[f"{name}_id"], value_type=ValueType.STRING)
        view = FeatureView(
            name=name,
            entities=[entity],
            ttl=timedelta(days=3),
            schema=[
                Field(name=f"{name}_id", dtype=String),
                *(Field(name=column, dtype=Float64) for column in columns),
            ],
            source=warehouse.source(name),
        )
        objects += [entity, view]
        references += [f"{name}:{column}" for column in columns]
    payments = make_payments(days)
    ours, feasts = (warehouse.store(objects, kind=kind) for kind in (OURS, FEASTS))
    mine = best(lambda: ours.get_historical_features(payments, references).to_arrow(), tries=2)
    floor = best(lambda: asof_fraud(warehouse, payments), tries=2)
    peer = best(lambda: feasts.get_historical_features(payments, references).to_arrow(), tries=1)
    yield Measurement(PART, "fraud-1750k", mine, peer, "s", floor=floor)


def add_snapshots(
    warehouse: Warehouse, name: str, entities: int, days: int, columns: list[str]
) -> None:
    made = ", ".join(f"random() AS {column}" for column in columns)
    rows = duckdb.sql(
        f"""SELECT CAST(e AS VARCHAR) AS {name}_id,
        CAST(TIMESTAMP '2018-04-01' + to_days(CAST(d AS INTEGER)) AS TIMESTAMP_MS) AS event_time,
        CAST(TIMESTAMP '2018-10-02' AS TIMESTAMP_MS) AS created, {made}
        FROM range({days}) AS days(d) CROSS JOIN range({entities}) AS entities(e)"""
    ).to_arrow_table()
    kinds = {f"{name}_id": "string", "event_time": "timestamp", "created": "timestamp"}
    warehouse.add(name, rows, kinds | dict.fromkeys(columns, "double"))


def make_payments(days: int) -> pd.DataFrame:
    """1.75 million payments: ids, a time, an amount."""
    frame = duckdb.sql(
        f"""SELECT CAST(CAST(floor(random() * 4990) AS INTEGER) AS VARCHAR) AS customer_id,
        CAST(CAST(floor(random() * 10000) AS INTEGER) AS VARCHAR) AS terminal_id,
        random() * 100 AS amount,
        TIMESTAMP '2018-04-01' + to_milliseconds(CAST(random() * {days} * 86400000 AS BIGINT))
        AS event_timestamp FROM range(1754155)"""
    ).df()
    frame["event_timestamp"] = frame["event_timestamp"].dt.tz_localize("UTC")
    return frame


def asof_fraud(warehouse: Warehouse, payments: pd.DataFrame) -> pa.Table:
    """DuckDB reads the same files from S3, and joins them with the payments where they are."""
    from infra.local.athena.engine import _extension

    extension = _extension()
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(f"LOAD '{extension}'")
        connection.execute("SET TimeZone = 'UTC'")
        host = warehouse.aws.endpoint.removeprefix("http://")
        connection.execute(
            "CREATE SECRET s (TYPE s3, KEY_ID 'LOCALADMIN', SECRET 'local', REGION "
            f"'ap-northeast-2', ENDPOINT '{host}', URL_STYLE 'path', USE_SSL false)"
        )
        connection.register("payments", payments)
        tables = {
            name: f"read_parquet('s3://{warehouse.name}/tables/{warehouse.name}/{name}/*.parquet')"
            for name in ("customer", "terminal")
        }
        return connection.execute(
            f"""SELECT p.*, c.* EXCLUDE (customer_id, event_time, created),
            t.* EXCLUDE (terminal_id, event_time, created)
            FROM (SELECT * REPLACE (event_timestamp::TIMESTAMP AS event_timestamp) FROM payments) p
            ASOF LEFT JOIN {tables["customer"]} c
            ON p.customer_id = c.customer_id AND p.event_timestamp >= c.event_time
            ASOF LEFT JOIN {tables["terminal"]} t
            ON p.terminal_id = t.terminal_id AND p.event_timestamp >= t.event_time"""
        ).to_arrow_table()


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
