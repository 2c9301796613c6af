"""Statements over S3 and Glue: tables, partitions, views, writes, and Athena's limits on them."""

# ruff: noqa: E501 - in a table of statements a row is a line

from __future__ import annotations

import io
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyathena.error import OperationalError

from tests.contract.athena.conftest import DAYS, parquet

if TYPE_CHECKING:
    from tests.contract.athena.conftest import Shop

NewName = Callable[[], str]


def stored(shop: Shop, location: str) -> list[pa.Table]:
    """The Parquet files below a location."""
    s3 = shop.client("s3")
    bodies = [
        s3.get_object(Bucket=shop.bucket, Key=key)["Body"].read() for key in shop.keys(location)
    ]
    return [pq.read_table(io.BytesIO(body)) for body in bodies]


def reason(shop: Shop, sql: str) -> str:
    return str(shop.run(sql)["Status"].get("StateChangeReason", ""))


def test_times_of_hive_tables_are_read_to_the_millisecond(shop: Shop) -> None:
    sql = "SELECT max(at), CAST(min(at) AS varchar) FROM payments WHERE day = '2018-04-01'"
    assert [(str(a), b) for a, b in shop.rows(sql)] == [
        ("2018-04-01 09:00:00.001000", "2018-04-01 00:00:00.001")
    ]


def test_aggregates_over_partitions(shop: Shop) -> None:
    sql = (
        "SELECT day, count(*), sum(amount), count_if(fraud) FROM payments GROUP BY day ORDER BY day"
    )
    assert shop.rows(sql) == [(day, 10, Decimal("47.50"), 1) for day in DAYS]


def test_msck_repair_tells_what_it_added(shop: Shop, table_name: NewName) -> None:
    name, location = table_name(), shop.folder()
    prefix = location.removeprefix(f"s3://{shop.bucket}/")
    shop.client("s3").put_object(
        Bucket=shop.bucket, Key=f"{prefix}k=a%20b/x.parquet", Body=parquet(pa.table({"v": [1]}))
    )
    shop.rows(
        f"CREATE EXTERNAL TABLE {name} (v bigint) PARTITIONED BY (k string) STORED AS PARQUET "
        f"LOCATION '{location}'"
    )
    assert shop.rows(f"MSCK REPAIR TABLE {name}") == [
        (f"Partitions not in metastore:\t{name}:k=a b",),
        (f"Repair: Added partition to metastore {name}:k=a b",),
    ]
    assert shop.rows(f"MSCK REPAIR TABLE {name}") == []
    assert shop.rows(f"SELECT k, v FROM {name}") == [("a b", 1)]


def test_a_partition_may_lie_anywhere_and_move(shop: Shop, table_name: NewName) -> None:
    name, (first, second) = table_name(), (shop.folder(), shop.folder())
    for location, value in ((first, 1), (second, 2)):
        key = location.removeprefix(f"s3://{shop.bucket}/") + "x.parquet"
        shop.client("s3").put_object(
            Bucket=shop.bucket, Key=key, Body=parquet(pa.table({"v": [value]}))
        )
    shop.rows(
        f"CREATE EXTERNAL TABLE {name} (v bigint) PARTITIONED BY (d date) STORED AS PARQUET "
        f"LOCATION '{shop.folder()}'"
    )
    shop.rows(f"ALTER TABLE {name} ADD IF NOT EXISTS PARTITION (d='2020-01-01') LOCATION '{first}'")
    assert [(str(d), v) for d, v in shop.rows(f"SELECT d, v FROM {name}")] == [("2020-01-01", 1)]
    shop.rows(f"ALTER TABLE {name} PARTITION (d='2020-01-01') SET LOCATION '{second}'")
    assert shop.rows(f"SELECT v FROM {name} WHERE d = DATE '2020-01-01'") == [(2,)]
    assert shop.rows(f"SHOW PARTITIONS {name}") == [("d=2020-01-01",)]
    shop.rows(f"ALTER TABLE {name} DROP PARTITION (d='2020-01-01')")
    assert shop.rows(f"SELECT v FROM {name}") == []
    assert "Partition not found" in reason(
        shop, f"ALTER TABLE {name} DROP PARTITION (d='2020-01-01')"
    )


def test_columns_that_a_file_lacks_are_null(shop: Shop, table_name: NewName) -> None:
    name, location = table_name(), shop.folder()
    prefix = location.removeprefix(f"s3://{shop.bucket}/")
    for key, table in (("a", pa.table({"v": [1]})), ("b", pa.table({"w": ["x"], "v": [2]}))):
        shop.client("s3").put_object(
            Bucket=shop.bucket, Key=f"{prefix}{key}.parquet", Body=parquet(table)
        )
    shop.rows(
        f"CREATE EXTERNAL TABLE {name} (v bigint, w string) STORED AS PARQUET LOCATION '{location}'"
    )
    shop.rows(f"ALTER TABLE {name} ADD COLUMNS (z double)")
    assert shop.rows(f"SELECT v, w, z FROM {name} ORDER BY v") == [(1, None, None), (2, "x", None)]


def test_ctas_makes_a_table_of_parquet_files(shop: Shop, table_name: NewName) -> None:
    name, location = table_name(), shop.folder()
    execution = shop.run(
        f"CREATE TABLE {name} WITH (format = 'PARQUET', external_location = '{location}', "
        "write_compression = 'SNAPPY') AS SELECT id, at, amount FROM payments"
    )
    assert (execution["StatementType"], execution["SubstatementType"]) == (
        "DDL",
        "CREATE_TABLE_AS_SELECT",
    )
    tables = stored(shop, location)
    assert sum(table.num_rows for table in tables) == 30
    assert tables[0].schema.field("at").type == pa.timestamp("ns")
    assert shop.rows(f"SELECT count(*), max(amount) FROM {name}") == [(30, Decimal("9.25"))]
    manifest = execution["Statistics"]["DataManifestLocation"]
    assert manifest == f"s3://{shop.bucket}/results/{execution['QueryExecutionId']}-manifest.csv"


def test_ctas_without_a_location_writes_below_the_results(shop: Shop, table_name: NewName) -> None:
    name = table_name()
    execution = shop.run(f'CREATE TABLE "{name}" AS (SELECT 1 AS x);\n')
    location = f"s3://{shop.bucket}/results/tables/{execution['QueryExecutionId']}/"
    assert shop.keys(location)
    assert shop.rows(f"SELECT x FROM {name}") == [(1,)]


def test_ctas_and_insert_write_partitions(shop: Shop, table_name: NewName) -> None:
    name, location = table_name(), shop.folder()
    shop.rows(
        f"CREATE TABLE {name} WITH (external_location = '{location}', partitioned_by = ARRAY['day']) "
        "AS SELECT id, amount, day FROM payments WHERE day < '2018-04-03'"
    )
    answer = shop.run(
        f"INSERT INTO {name} SELECT id, amount, day FROM payments WHERE day > '2018-04-01'"
    )
    results = shop.client("athena").get_query_results(QueryExecutionId=answer["QueryExecutionId"])
    assert results["UpdateCount"] == 20
    counts = shop.rows(f"SELECT day, count(*) FROM {name} GROUP BY day ORDER BY day")
    assert counts == [("2018-04-01", 10), ("2018-04-02", 20), ("2018-04-03", 10)]
    assert [p for (p,) in shop.rows(f"SHOW PARTITIONS {name}")] == [f"day={day}" for day in DAYS]
    folders = {key.split("/")[1] for key in shop.keys(location)}
    assert folders == {f"day={day}" for day in DAYS}


def test_ninety_partitions_of_an_insert_are_one_file_each(shop: Shop, table_name: NewName) -> None:
    name, location = table_name(), shop.folder()
    shop.rows(
        f"CREATE TABLE {name} WITH (external_location = '{location}', partitioned_by = ARRAY['p']) "
        "AS SELECT x, x % 90 AS p FROM (SELECT 10000 * y + x AS x "
        "FROM UNNEST(sequence(1, 10000)) AS t(x) CROSS JOIN UNNEST(sequence(0, 8)) AS u(y))"
    )
    keys = shop.keys(location)
    assert len({key.rpartition("/")[0] for key in keys}) == 90
    assert len(keys) < 2 * 90
    assert shop.rows(f"SELECT count(*), count(DISTINCT p), sum(x) FROM {name}") == [
        (90000, 90, 90000 * 90001 // 2)
    ]


LIMITS = [
    (
        "CREATE TABLE {t} WITH (external_location = '{full}') AS SELECT 1 AS x",
        "HIVE_PATH_ALREADY_EXISTS: Target directory for table",
    ),
    ("UNLOAD (SELECT 1 AS x) TO '{full}' WITH (format = 'PARQUET')", "HIVE_PATH_ALREADY_EXISTS"),
    (
        "CREATE TABLE {t} WITH (partitioned_by = ARRAY['p']) AS SELECT 1 AS x, p FROM UNNEST(sequence(1, 101)) AS u(p)",
        "HIVE_TOO_MANY_OPEN_PARTITIONS: Exceeded limit of 100 open writers for partitions/buckets",
    ),
    (
        "CREATE TABLE {t} WITH (partitioned_by = ARRAY['x']) AS SELECT 1 AS x, 2 AS y",
        "HIVE_COLUMN_ORDER_MISMATCH: Partition keys must be the last columns",
    ),
    ("CREATE TABLE {t} AS SELECT 1", "COLUMN_NAME_NOT_SPECIFIED: line 1:1: Column name not specified at position 1"),
    ("CREATE TABLE {t} AS SELECT 1 AS x, 2 AS X", "DUPLICATE_COLUMN_NAME: line 1:1: Column name 'x' specified more than once"),
    ("CREATE TABLE {t} AS SELECT now() AS x", "NOT_SUPPORTED: Unsupported Hive type: timestamp(3) with time zone"),
    (
        "CREATE TABLE {t} AS SELECT TIMESTAMP '2020-01-01 00:00:00.123456' AS x",
        "NOT_SUPPORTED: Incorrect timestamp precision for timestamp(6); the configured precision is MILLISECONDS; column name: x",
    ),
    ("CREATE TABLE {t} WITH (bucket_count = 4) AS SELECT 1 AS x", "NOT_SUPPORTED: The local Athena does not support the table property bucket_count"),
    ("CREATE TABLE payments AS SELECT 1 AS x", "TABLE_ALREADY_EXISTS: line 1:14: Destination table"),
    ("INSERT INTO payments SELECT 1", "TYPE_MISMATCH: Insert query has mismatched column types: Table: [varchar, timestamp(3)"),
    ("INSERT INTO nothing SELECT 1", "TABLE_NOT_FOUND: line 1:13: Table"),
    ("DROP TABLE nothing", "FAILED: SemanticException [Error 10001]: Table not found"),
    ("CREATE EXTERNAL TABLE payments (x int) STORED AS PARQUET LOCATION '{full}'", "FAILED: Execution Error"),
    ("CREATE VIEW payments AS SELECT 1 AS x", "TABLE_ALREADY_EXISTS"),
    ("SHOW PARTITIONS spend_nothing", "FAILED: SemanticException [Error 10001]: Table not found"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "wanted"), LIMITS, ids=[sql for sql, _ in LIMITS])
def test_athenas_limits_hold(shop: Shop, table_name: NewName, sql: str, wanted: str) -> None:
    written = sql.format(t=table_name(), full=f"s3://{shop.bucket}/raw/")
    assert reason(shop, written).startswith(wanted)


def test_a_failed_ctas_leaves_no_file_and_no_table(shop: Shop, table_name: NewName) -> None:
    name, location = table_name(), shop.folder()
    sql = (
        f"CREATE TABLE {name} WITH (external_location = '{location}') AS "
        "SELECT 1 / (x - 5) AS y FROM UNNEST(sequence(1, 9)) AS t(x)"
    )
    assert reason(shop, sql) == "DIVISION_BY_ZERO: Division by zero"
    assert shop.keys(location) == []
    assert "TABLE_NOT_FOUND" in reason(shop, f"SELECT * FROM {name}")


def test_unload_writes_parquet_and_its_manifest(shop: Shop) -> None:
    location = shop.folder()
    execution = shop.run(
        f"UNLOAD (SELECT id, fraud FROM payments) TO '{location}' "
        "WITH (format = 'PARQUET', compression = 'SNAPPY')"
    )
    bucket, _, key = (
        execution["Statistics"]["DataManifestLocation"].removeprefix("s3://").partition("/")
    )
    listed = shop.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode().split()
    assert listed == [f"s3://{shop.bucket}/{one}" for one in shop.keys(location)]
    assert sum(table.num_rows for table in stored(shop, location)) == 30


def test_unload_of_no_rows_writes_no_file(shop: Shop) -> None:
    location = shop.folder()
    shop.rows(
        f"UNLOAD (SELECT id FROM payments WHERE day = 'x') TO '{location}' WITH (format = 'PARQUET')"
    )
    assert shop.keys(location) == []


def test_a_view_keeps_its_types_and_its_database(shop: Shop) -> None:
    view = f"v_{shop.database}"
    shop.rows(
        f"CREATE OR REPLACE VIEW {view} AS SELECT day, sum(amount) AS total FROM payments GROUP BY day"
    )
    raw = shop.client("glue").get_table(DatabaseName=shop.database, Name=view)["Table"]
    assert raw["TableType"] == "VIRTUAL_VIEW"
    assert raw["ViewOriginalText"].startswith("/* Presto View: ")
    assert [(c["Name"], c["Type"]) for c in raw["StorageDescriptor"]["Columns"]] == [
        ("day", "string"),
        ("total", "decimal(38,2)"),
    ]
    execution = shop.run(
        f"SELECT total FROM {shop.database}.{view} WHERE day = '2018-04-02'",
        QueryExecutionContext={"Database": "default"},
    )
    one_day = shop.run("SELECT day, amount FROM payments WHERE day = '2018-04-02'")
    scanned = [e["Statistics"]["DataScannedInBytes"] for e in (execution, one_day)]
    assert execution["Status"]["State"] == "SUCCEEDED"
    assert scanned[0] == scanned[1]
    assert shop.rows(f"SHOW CREATE VIEW {view}")[0] == (
        f'CREATE VIEW "{shop.database}"."{view}" AS ',
    )
    shop.rows(f"DROP VIEW {view}")
    assert "TABLE_NOT_FOUND" in reason(shop, f"SELECT * FROM {view}")


def test_a_view_is_replaced_in_one_step(shop: Shop) -> None:
    view = f"w_{shop.database}"
    for value in (1, 2):
        shop.rows(f"CREATE OR REPLACE VIEW {view} AS SELECT {value} AS x")
        assert shop.rows(f"SELECT x FROM {view}") == [(value,)]
    assert "ALREADY_EXISTS" in reason(shop, f"CREATE VIEW {view} AS SELECT 3 AS x")
    shop.rows(f"DROP VIEW IF EXISTS {view}")


SHOWN: list[tuple[str, Any]] = [
    ("SHOW TABLES", [("payments",)]),
    ("SHOW TABLES 'nothing*'", []),
    ("SHOW COLUMNS IN payments", [(f"{n:<20}",) for n in ("id", "at", "customer", "amount", "fraud", "note", "day")]),
    ("SHOW PARTITIONS payments", [(f"day={day}",) for day in DAYS]),
    ("SHOW TBLPROPERTIES payments('EXTERNAL')", [("EXTERNAL\tTRUE",)]),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "lines"), SHOWN, ids=[sql for sql, _ in SHOWN])
def test_what_the_catalog_shows(shop: Shop, sql: str, lines: list[tuple[str]]) -> None:
    assert shop.rows(sql) == lines


def test_describe_and_show_create_table_name_every_column(shop: Shop) -> None:
    described = [line.split("\t")[0].strip() for (line,) in shop.rows("DESCRIBE payments")]
    assert described[:7] == ["id", "at", "customer", "amount", "fraud", "note", "day"]
    text = "\n".join(line for (line,) in shop.rows("SHOW CREATE TABLE payments"))
    assert f"CREATE EXTERNAL TABLE `{shop.database}.payments`(" in text
    assert "PARTITIONED BY ( \n  `day` string)" in text


def test_a_database_with_tables_is_dropped_only_with_cascade(shop: Shop) -> None:
    name = f"{shop.database}_other"
    shop.rows(f"CREATE DATABASE {name}")
    shop.rows(
        f"CREATE EXTERNAL TABLE {name}.t (x int) STORED AS PARQUET LOCATION '{shop.folder()}'"
    )
    assert "is not empty" in reason(shop, f"DROP DATABASE {name}")
    shop.rows(f"DROP DATABASE {name} CASCADE")
    with pytest.raises(OperationalError, match="does not exist"):
        shop.rows(f"SHOW TABLES IN {name}")


def test_a_file_in_another_type_than_declared_is_bad_data(shop: Shop, table_name: NewName) -> None:
    name, location = table_name(), shop.folder()
    key = location.removeprefix(f"s3://{shop.bucket}/") + "x.parquet"
    body = parquet(pa.table({"v": [1.5], "w": [1]}))
    shop.client("s3").put_object(Bucket=shop.bucket, Key=key, Body=body)
    shop.made(
        f"CREATE EXTERNAL TABLE {name} (v string, w bigint) STORED AS PARQUET LOCATION '{location}'"
    )
    assert shop.rows(f"SELECT w FROM {name}") == [(1,)]
    assert reason(shop, f"SELECT v FROM {name}") == (
        f"HIVE_BAD_DATA: Field v's type DOUBLE in parquet file s3://{shop.bucket}/{key} is "
        "incompatible with type varchar defined in table schema"
    )


def test_a_truncated_file_is_bad_data(shop: Shop, table_name: NewName) -> None:
    name, location = table_name(), shop.folder()
    key = location.removeprefix(f"s3://{shop.bucket}/") + "x.parquet"
    body = parquet(pa.table({"v": [1.5]}))[:-20]
    shop.client("s3").put_object(Bucket=shop.bucket, Key=key, Body=body)
    shop.made(f"CREATE EXTERNAL TABLE {name} (v double) STORED AS PARQUET LOCATION '{location}'")
    assert reason(shop, f"SELECT v FROM {name}").startswith("HIVE_BAD_DATA: Not valid Parquet file")


def test_times_past_2262_are_stored_too(shop: Shop, table_name: NewName) -> None:
    name = table_name()
    shop.made(f"CREATE TABLE {name} AS SELECT TIMESTAMP '9999-12-31 00:00:00.000' AS until")
    assert [str(u) for (u,) in shop.rows(f"SELECT until FROM {name}")] == ["9999-12-31 00:00:00"]


def test_a_replaced_file_is_read_again(shop: Shop, table_name: NewName) -> None:
    name, location = table_name(), shop.folder()
    key = location.removeprefix(f"s3://{shop.bucket}/") + "x.parquet"
    shop.made(f"CREATE EXTERNAL TABLE {name} (v bigint) STORED AS PARQUET LOCATION '{location}'")
    for values in ([1], [2, 3]):
        body = parquet(pa.table({"v": values}))
        shop.client("s3").put_object(Bucket=shop.bucket, Key=key, Body=body)
        assert shop.rows(f"SELECT v FROM {name} ORDER BY v") == [(v,) for v in values]
