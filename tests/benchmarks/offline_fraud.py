"""The fraud service's stored features of every payment of half a year, from S3 to Arrow.

The payments are those of the Fraud Detection Handbook where the published file is there, and
generated ones of the same size where it is not. Their features are the platform's own daily
snapshots, which its own SQL makes of them on the local Athena.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
from feast import Entity, FeatureView, Field, ValueType
from feast.types import Float64, Int64, String

from mlops.aws import Aws
from mlops.stores.athena.execution import Executions
from mlops.stores.athena.staging import parquet_table
from pipelines.data.schema import TABLE as PAYMENTS
from pipelines.features.tables import TABLES, FeatureTable, snapshot_sql
from tests.feast_athena import Warehouse

FILE = Path(os.environ.get("MLOPS_SHARED_DATA", "../shared/data")).joinpath(
    "fraud_handbook", "transactions_raw.parquet"
)
FIRST, LAST = date(2018, 4, 1), date(2018, 9, 30)
_TTL = timedelta(days=3)
_TYPES = {"bigint": Int64, "double": Float64}
_PAYMENT_TYPES = {
    "payment_id": "bigint",
    "customer_id": "string",
    "terminal_id": "string",
    "amount": "decimal(18,2)",
    "is_fraud": "boolean",
    "event_time": "timestamp",
    "day": "string",
}
_HANDBOOK = """SELECT TRANSACTION_ID AS payment_id, CAST(CUSTOMER_ID AS VARCHAR) AS customer_id,
CAST(TERMINAL_ID AS VARCHAR) AS terminal_id, CAST(TX_AMOUNT AS DECIMAL(18, 2)) AS amount,
TX_FRAUD = 1 AS is_fraud, CAST(TX_DATETIME AS TIMESTAMP) AS event_time FROM '{}'"""
_GENERATED = """SELECT n AS payment_id, CAST(CAST(random() * 4989 AS INTEGER) AS VARCHAR) AS
customer_id, CAST(CAST(random() * 9999 AS INTEGER) AS VARCHAR) AS terminal_id,
CAST(random() * 100 AS DECIMAL(18, 2)) AS amount, random() < 0.008 AS is_fraud,
TIMESTAMP '2018-04-01' + to_seconds(CAST(floor(random() * 183 * 86400) AS BIGINT)) AS event_time
FROM range(1754155) AS t (n)"""


@dataclass(frozen=True)
class Fraud:
    """Definitions, references, and the entity rows to join at."""

    objects: list[Any]
    references: list[str]
    payments: pd.DataFrame
    origin: str
    """Where the payments are from."""


def prepare(warehouse: Warehouse) -> Fraud:
    """Put the payments into S3, and build the snapshots of all days."""
    payments, origin = read_payments()
    warehouse.add(PAYMENTS, payments, _PAYMENT_TYPES)
    objects: list[Any] = []
    for table in TABLES.values():
        build(warehouse, table)
        objects += define(warehouse, table)
    columns = ["payment_id", "customer_id", "terminal_id", "amount", "event_time"]
    frame = payments.select(columns).to_pandas().astype({"amount": "float64"})
    frame["event_timestamp"] = frame.pop("event_time").dt.tz_localize("UTC")
    return Fraud(objects, list(_references()), frame, origin)


def read_payments() -> tuple[pa.Table, str]:
    """The published payments, or generated ones, and which of both."""
    found = FILE.exists()
    sql = _HANDBOOK.format(FILE) if found else _GENERATED
    with duckdb.connect() as connection:
        connection.execute("SELECT setseed(0.5)")
        rows = connection.execute(
            "SELECT * REPLACE (CAST(event_time AS TIMESTAMP_MS) AS event_time), "
            f"strftime(event_time, '%Y-%m-%d') AS day FROM ({sql})"
        ).to_arrow_table()
    return rows, f"payments of {FILE.name}" if found else f"generated payments: no {FILE}"


def build(warehouse: Warehouse, table: FeatureTable) -> None:
    """The snapshots of a feature table, by the platform's own SQL."""
    location = f"s3://{warehouse.name}/tables/{warehouse.name}/{table.name}/"
    sql = snapshot_sql(
        table, FIRST, LAST, created="2018-10-01 00:00:00.000", database=warehouse.name
    )
    executions = Executions(Aws(), workgroup=warehouse.name, catalog="", database=warehouse.name)
    executions.run(
        f"UNLOAD (\n{sql}\n) TO '{location}' WITH (format = 'PARQUET')",
        output=f"s3://{warehouse.name}/workgroup/",
    )
    entry = parquet_table(table.name, {**_columns(table), "day": "string"}, location)
    warehouse.glue.create_table(DatabaseName=warehouse.name, TableInput=entry)


def define(warehouse: Warehouse, table: FeatureTable) -> list[Any]:
    """The entity and the view of a feature table, as the feature repo has them."""
    entity = Entity(name=table.key, join_keys=[table.key], value_type=ValueType.STRING)
    fields = [Field(name=name, dtype=_TYPES[_columns(table)[name]]) for name in _features(table)]
    view = FeatureView(
        name=table.name,
        entities=[entity],
        ttl=_TTL,
        schema=[Field(name=table.key, dtype=String), *fields],
        source=warehouse.source(table.name),
    )
    return [entity, view]


def require_equal(ours: pa.Table, theirs: pa.Table) -> None:
    """Raises AssertionError where two answers differ in a payment's features."""
    order, columns = [("payment_id", "ascending")], ["payment_id", *_names()]
    first, second = (table.select(columns).sort_by(order) for table in (ours, theirs))
    assert first.num_rows == second.num_rows, "an entity row is answered twice, or not at all"
    for column in columns:
        mine, other = (table[column].combine_chunks() for table in (first, second))
        assert mine.equals(other.cast(mine.type)), f"Feast answers '{column}' otherwise"


def asof(warehouse: Warehouse, payments: pd.DataFrame) -> pa.Table:
    """DuckDB reads the same files from S3, and joins them with the payments where they are."""
    from infra.local.athena.engine import _extension

    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(f"LOAD '{_extension()}'")
        connection.execute("SET TimeZone = 'UTC'")
        host = warehouse.aws.endpoint.removeprefix("http://")
        connection.execute(
            "CREATE SECRET s (TYPE s3, KEY_ID 'LOCALADMIN', SECRET 'local', REGION "
            f"'ap-northeast-2', ENDPOINT '{host}', URL_STYLE 'path', USE_SSL false)"
        )
        connection.register("payments", payments)
        joins = " ".join(_asof(warehouse, table) for table in TABLES.values())
        columns = ", ".join(f"{t.name}.{name}" for t in TABLES.values() for name in _features(t))
        return connection.execute(
            f"SELECT p.*, {columns} FROM (SELECT * REPLACE (event_timestamp::TIMESTAMP AS "
            f"event_timestamp) FROM payments) p {joins}"
        ).to_arrow_table()


def _asof(warehouse: Warehouse, table: FeatureTable) -> str:
    files = f"s3://{warehouse.name}/tables/{warehouse.name}/{table.name}/*"
    return (
        f"ASOF LEFT JOIN read_parquet('{files}') {table.name} "
        f"ON p.{table.key} = {table.name}.{table.key} "
        f"AND p.event_timestamp >= {table.name}.event_time"
    )


def _columns(table: FeatureTable) -> dict[str, str]:
    return {column.name: column.type for column in table.schema}


def _features(table: FeatureTable) -> list[str]:
    return [name for name in _columns(table) if name not in {table.key, "event_time", "created"}]


def _names() -> Iterator[str]:
    for table in TABLES.values():
        yield from _features(table)


def _references() -> Iterator[str]:
    for table in TABLES.values():
        yield from (f"{table.name}:{name}" for name in _features(table))
