"""Statements are read as Athena reads them: by Hive's grammar or by Trino's."""

# ruff: noqa: E501 - in a table of statements a row is a line

from __future__ import annotations

import pytest

from infra.local.athena.errors import QueryFailed
from infra.local.athena.hive_parser import is_hive
from infra.local.athena.parameters import with_parameters
from infra.local.athena.runner import parse_statement
from infra.local.athena.statements import (
    AddColumns,
    AddPartitions,
    ChangeColumn,
    ColumnDefinition,
    CreateDatabase,
    CreateTable,
    CreateTableAs,
    CreateView,
    Deallocate,
    Describe,
    DropDatabase,
    DropPartitions,
    DropTable,
    DropView,
    Execute,
    Explain,
    Insert,
    Name,
    PartitionSpec,
    Prepare,
    RenamePartition,
    RepairTable,
    Select,
    SetDatabaseProperties,
    SetLocation,
    SetProperties,
    Show,
    Unload,
)
from infra.local.service import AwsError

EXTERNAL = """CREATE EXTERNAL TABLE IF NOT EXISTS `shop`.`payments` (
  `id` string COMMENT 'the id', amount decimal(18, 2), tags array<struct<k:string,v:map<string,int>>>)
COMMENT 'all of them'
PARTITIONED BY (`day` string)
STORED AS PARQUET
LOCATION 's3://bucket/payments/'
TBLPROPERTIES ('parquet.compression'='SNAPPY', 'owner'='me')"""


def test_create_external_table_is_read_with_every_clause() -> None:
    assert parse_statement(EXTERNAL) == CreateTable(
        "DDL",
        "CREATE_TABLE",
        Name("payments", "shop", where="line 1:37: "),
        (
            ColumnDefinition("id", "string", "the id"),
            ColumnDefinition("amount", "decimal(18,2)"),
            ColumnDefinition("tags", "array<struct<k:string,v:map<string,int>>>"),
        ),
        (ColumnDefinition("day", "string"),),
        "s3://bucket/payments/",
        "PARQUET",
        "",
        {},
        {"parquet.compression": "SNAPPY", "owner": "me"},
        "all of them",
        if_not_exists=True,
    )


def test_feasts_misplaced_if_not_exists_is_taken() -> None:
    sql = (
        "CREATE EXTERNAL TABLE db.t IF NOT EXISTS(`a` bigint) STORED AS PARQUET LOCATION 's3://b/t'"
    )
    statement = parse_statement(sql)
    assert isinstance(statement, CreateTable)
    assert statement.if_not_exists


HIVE = [
    ("DROP TABLE `db.t`", DropTable, {"name": Name("t", "db", where="line 1:12: ")}),
    ("DROP TABLE IF EXISTS db.t;", DropTable, {"if_exists": True}),
    ("CREATE DATABASE IF NOT EXISTS d COMMENT 'x'", CreateDatabase, {"name": "d", "comment": "x"}),
    ("DROP SCHEMA d CASCADE", DropDatabase, {"name": "d", "cascade": True}),
    (
        "ALTER TABLE t ADD IF NOT EXISTS PARTITION (day='1', n=2) LOCATION 's3://b/1/' PARTITION (day='3', n=4)",
        AddPartitions,
        {
            "partitions": (
                PartitionSpec({"day": "1", "n": "2"}, "s3://b/1/"),
                PartitionSpec({"day": "3", "n": "4"}),
            )
        },
    ),
    (
        "ALTER TABLE t DROP IF EXISTS PARTITION (day='1'), PARTITION (day='2')",
        DropPartitions,
        {
            "partitions": (PartitionSpec({"day": "1"}), PartitionSpec({"day": "2"})),
            "if_exists": True,
        },
    ),
    (
        "ALTER TABLE t PARTITION (day='1') SET LOCATION 's3://b/x/'",
        SetLocation,
        {"partition": PartitionSpec({"day": "1"}), "location": "s3://b/x/"},
    ),
    (
        "ALTER TABLE t SET LOCATION 's3://b/x/'",
        SetLocation,
        {"partition": None, "location": "s3://b/x/"},
    ),
    ("ALTER TABLE t SET TBLPROPERTIES ('a'='b')", SetProperties, {"properties": {"a": "b"}}),
    ("ALTER TABLE t ADD COLUMNS (x int)", AddColumns, {"columns": (ColumnDefinition("x", "int"),)}),
    (
        "ALTER TABLE t CHANGE COLUMN a b bigint COMMENT 'x' AFTER c",
        ChangeColumn,
        {"old": "a", "column": ColumnDefinition("b", "bigint", "x"), "after": "c"},
    ),
    ("ALTER TABLE t CHANGE a a string FIRST", ChangeColumn, {"old": "a", "after": ""}),
    (
        "ALTER TABLE t PARTITION (d='1') RENAME TO PARTITION (d='2')",
        RenamePartition,
        {"old": PartitionSpec({"d": "1"}), "new": PartitionSpec({"d": "2"})},
    ),
    (
        "ALTER DATABASE d SET DBPROPERTIES ('a'='b')",
        SetDatabaseProperties,
        {"name": "d", "properties": {"a": "b"}},
    ),
    (
        "DESCRIBE FORMATTED db.t PARTITION (d='1') c",
        Describe,
        {"formatted": True, "partition": PartitionSpec({"d": "1"}), "column": "c"},
    ),
    ("MSCK REPAIR TABLE db.t", RepairTable, {"name": Name("t", "db", where="line 1:19: ")}),
    ("SHOW TABLES IN db 'a*'", Show, {"what": "TABLES", "database": "db", "pattern": "a*"}),
    ("SHOW PARTITIONS t", Show, {"what": "PARTITIONS"}),
    ("SHOW COLUMNS IN db.t", Show, {"what": "COLUMNS"}),
    ("SHOW CREATE TABLE t", Show, {"what": "CREATE TABLE"}),
    ("DESCRIBE db.t", Describe, {"name": Name("t", "db", where="line 1:10: ")}),
]
TRINO = [
    ("SELECT 1", Select, {"query": "SELECT 1"}),
    ("-- a comment\n(SELECT 1)", Select, {"query": "            \n(SELECT 1)"}),
    (
        "CREATE TABLE db.t WITH (format = 'PARQUET', partitioned_by = ARRAY['a', 'b']) AS SELECT 1 AS x WITH NO DATA",
        CreateTableAs,
        {
            "name": Name("t", "db", where="line 1:14: "),
            "properties": {"format": "PARQUET", "partitioned_by": ("a", "b")},
            "with_data": False,
        },
    ),
    ('CREATE TABLE "t" AS (SELECT 1 AS x);\n', CreateTableAs, {"if_not_exists": False}),
    ("INSERT INTO t (a, b) SELECT 1, 2", Insert, {"columns": ("a", "b")}),
    ("INSERT INTO t (SELECT 1)", Insert, {"columns": ()}),
    ("INSERT INTO t VALUES (1)", Insert, {"columns": ()}),
    (
        "UNLOAD (SELECT f(x) FROM t WHERE (a = 1)) TO 's3://b/u/' WITH (format = 'PARQUET')",
        Unload,
        {
            "target": "s3://b/u/",
            "properties": {"format": "PARQUET"},
            "query": "        SELECT f(x) FROM t WHERE (a = 1)",
        },
    ),
    (
        "CREATE OR REPLACE VIEW v AS SELECT 1 AS x",
        CreateView,
        {"or_replace": True, "text": "SELECT 1 AS x"},
    ),
    ("DROP VIEW IF EXISTS db.v", DropView, {"if_exists": True}),
    ("EXPLAIN SELECT 1", Explain, {"inner": "        SELECT 1", "form": "TEXT"}),
    (
        "EXPLAIN (TYPE VALIDATE, FORMAT JSON) SELECT 1",
        Explain,
        {"form": "JSON", "plan": "VALIDATE"},
    ),
    ("PREPARE Name FROM SELECT ?", Prepare, {"name": "Name", "query": "SELECT ?"}),
    (
        "EXECUTE Name USING concat('a', 'b'), ARRAY[1, 2]",
        Execute,
        {"name": "Name", "parameters": ("concat('a', 'b')", "ARRAY[1, 2]")},
    ),
    ("DEALLOCATE PREPARE Name", Deallocate, {"name": "Name"}),
    ("SHOW CREATE VIEW v", Show, {"what": "CREATE VIEW"}),
]


@pytest.mark.parametrize(("sql", "kind", "parts"), HIVE, ids=[sql for sql, _, _ in HIVE])
def test_hives_statements(sql: str, kind: type, parts: dict[str, object]) -> None:
    assert is_hive(sql)
    statement = parse_statement(sql)
    assert isinstance(statement, kind)
    assert {name: getattr(statement, name) for name in parts} == parts


@pytest.mark.parametrize(("sql", "kind", "parts"), TRINO, ids=[sql for sql, _, _ in TRINO])
def test_trinos_statements(sql: str, kind: type, parts: dict[str, object]) -> None:
    assert not is_hive(sql)
    statement = parse_statement(sql)
    assert isinstance(statement, kind)
    assert {name: getattr(statement, name) for name in parts} == parts


REFUSED = [
    ("MERGE INTO t USING u ON 1 = 1", "NOT_SUPPORTED: The local Athena does not support MERGE"),
    (
        "EXPLAIN ANALYZE SELECT 1",
        "NOT_SUPPORTED: The local Athena does not support EXPLAIN ANALYZE; run the statement",
    ),
    (
        "ALTER TABLE t RENAME TO u",
        "NOT_SUPPORTED: The local Athena does not support ALTER TABLE RENAME",
    ),
    (
        "CREATE EXTERNAL TABLE t (a int) CLUSTERED BY (a) INTO 2 BUCKETS LOCATION 's3://b/'",
        "NOT_SUPPORTED: The local Athena does not support CLUSTERED BY",
    ),
    ("CREATE EXTERNAL TABLE t (a int) STORED AS PARQUET", "FAILED: SemanticException"),
    ("DROP TABLE a b", "SYNTAX_ERROR: line 1:14: mismatched input 'b'"),
    ("UNLOAD SELECT 1", "SYNTAX_ERROR: line 1:8: mismatched input 'SELECT', expecting '('"),
    ("EXPLAIN (DEPTH full) SELECT 1", "SYNTAX_ERROR: EXPLAIN has no option DEPTH"),
    ("DESCRIBE EXTENDED t", "NOT_SUPPORTED: The local Athena does not support DESCRIBE EXTENDED"),
    ("frobnicate", "SYNTAX_ERROR: line 1:1: mismatched input 'FROBNICATE'"),
]


@pytest.mark.parametrize(("sql", "reason"), REFUSED, ids=[sql for sql, _ in REFUSED])
def test_what_is_not_known_is_refused_by_name(sql: str, reason: str) -> None:
    with pytest.raises(QueryFailed) as failed:
        parse_statement(sql)
    assert failed.value.reason.startswith(reason)


def test_parameters_replace_question_marks_outside_texts() -> None:
    sql = "SELECT * FROM t WHERE a = ? AND b = '?' AND c > ?"
    expected = "SELECT * FROM t WHERE a = 'x' AND b = '?' AND c > 7"
    assert with_parameters(sql, ["'x'", "7"]) == expected


def test_too_few_parameters_are_refused() -> None:
    with pytest.raises(AwsError, match="expected 2 but found 1"):
        with_parameters("SELECT ?, ?", ["1"])
