"""Trino's expressions, each with the type and the text that Trino documents or prints for it."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from infra.local.athena.analyzer import Analyzer
from infra.local.athena.catalog import Table
from infra.local.athena.dialect import parse_query
from infra.local.athena.errors import QueryFailed, from_duckdb
from infra.local.athena.extensions import extend
from infra.local.athena.operators import Typed
from infra.local.athena.results import shown

NULL = None

NUMBERS = [
    ("1 + 2", "integer", "3"),
    ("7 / 2", "integer", "3"),
    ("-7 / 2", "integer", "-3"),
    ("7 % 3", "integer", "1"),
    ("mod(-7, 3)", "integer", "-1"),
    ("7 / 2e0", "double", "3.5"),
    ("1 / 2.0", "decimal(12,1)", "0.5"),
    ("1.0 / 3", "decimal(2,1)", "0.3"),
    ("2.50", "decimal(3,2)", "2.50"),
    ("1.5 * 2.25", "decimal(5,3)", "3.375"),
    ("1.5 + 2.25", "decimal(4,2)", "3.75"),
    ("DECIMAL '12.30'", "decimal(4,2)", "12.30"),
    ("3000000000", "bigint", "3000000000"),
    ("BIGINT '3' + 1", "bigint", "4"),
    ("1e10", "double", "1.0E10"),
    ("1e-5", "double", "1.0E-5"),
    ("123456.75e0", "double", "123456.75"),
    ("1234567890123e0", "double", "1.234567890123E12"),
    ("REAL '1.5'", "real", "1.5"),
    ("1e0 / 0", "double", "Infinity"),
    ("nan()", "double", "NaN"),
    ("abs(-3)", "integer", "3"),
    ("round(2.5e0)", "double", "3.0"),
    ("round(-2.5e0)", "double", "-3.0"),
    ("round(1.2345e0, 2)", "double", "1.23"),
    ("round(7)", "integer", "7"),
    ("floor(-1.5e0)", "double", "-2.0"),
    ("ceil(1.2)", "decimal(2,0)", "2"),
    ("truncate(-1.9e0)", "double", "-1.0"),
    ("power(2, 10)", "double", "1024.0"),
    ("sqrt(2e0) > 1.414", "boolean", "true"),
    ("ln(0)", "double", "-Infinity"),
    ("log(2, 8)", "double", "3.0"),
    ("sign(-3)", "bigint", "-1"),
    ("greatest(1, 3, 2)", "integer", "3"),
    ("greatest(1, NULL)", "integer", NULL),
    ("least(2, 1.5)", "decimal(11,1)", "1.5"),
    ("bitwise_and(12, 10)", "bigint", "8"),
    ("width_bucket(5, 0, 10, 5)", "bigint", "3"),
    ("CAST(2.5e0 AS bigint)", "bigint", "3"),
    ("CAST('42' AS integer)", "integer", "42"),
    ("CAST(1e10 AS varchar)", "varchar", "1.0E10"),
    ("CAST(12.3e0 AS varchar)", "varchar", "1.23E1"),
    ("CAST(0e0 AS varchar)", "varchar", "0.0E0"),
    ("CAST(-0.00125e0 AS varchar)", "varchar", "-1.25E-3"),
    ("CAST(1.50 AS varchar)", "varchar", "1.50"),
    ("CAST(1234.567 AS decimal(6,1))", "decimal(6,1)", "1234.6"),
    ("TRY_CAST('x' AS integer)", "integer", NULL),
    ("TRY(1 / 0)", "integer", NULL),
    ("is_nan(nan())", "boolean", "true"),
]
TEXTS = [
    ("'it''s'", "varchar(4)", "it's"),
    ("length('héllo')", "bigint", "5"),
    ("'a' || 'b'", "varchar", "ab"),
    ("concat('a', 'b', 'c')", "varchar", "abc"),
    ("concat('a', NULL)", "varchar", NULL),
    ("upper('aB')", "varchar", "AB"),
    ("substr('abcdef', 2, 3)", "varchar", "bcd"),
    ("substr('abcdef', -2)", "varchar", "ef"),
    ("substr('abc', 0)", "varchar", ""),
    ("substring('abcdef' FROM 2 FOR 2)", "varchar", "bc"),
    ("strpos('abcabc', 'c')", "bigint", "3"),
    ("position('b' IN 'abc')", "bigint", "2"),
    ("replace('abc', 'b', 'x')", "varchar", "axc"),
    ("trim('  a ')", "varchar", "a"),
    ("trim(LEADING 'x' FROM 'xxaxx')", "varchar", "axx"),
    ("lpad('7', 3, '0')", "varchar", "007"),
    ("split('a,b', ',')", "array(varchar)", "[a, b]"),
    ("split_part('a,b,c', ',', 2)", "varchar", "b"),
    ("split_part('a,b', ',', 5)", "varchar", NULL),
    ("reverse('abc')", "varchar", "cba"),
    ("starts_with('abc', 'ab')", "boolean", "true"),
    ("regexp_like('a1b', '[0-9]')", "boolean", "true"),
    ("regexp_extract('a12b', '[0-9]+')", "varchar", "12"),
    ("regexp_extract('ab', '[0-9]+')", "varchar", NULL),
    ("regexp_extract('a12b', '([a-z])([0-9]+)', 2)", "varchar", "12"),
    ("regexp_replace('a1b2', '([0-9])', '<$1>')", "varchar", "a<1>b<2>"),
    ("to_hex(md5(to_utf8('a')))", "varchar", "0CC175B9C0F1B6A831C399E269772661"),
    ("to_utf8('hi')", "varbinary", "68 69"),
    ("from_utf8(to_utf8('hi'))", "varchar", "hi"),
    ("'abc' LIKE 'a%'", "boolean", "true"),
    ("'a_c' LIKE 'a#_c' ESCAPE '#'", "boolean", "true"),
    ("coalesce(NULL, 'x')", "varchar(1)", "x"),
    ("nullif('a', 'a')", "varchar(1)", NULL),
    ("CAST('abcdef' AS varchar(3))", "varchar(3)", "abc"),
    ("IF(1 > 2, 'a')", "varchar(1)", NULL),
    ("CASE 2 WHEN 1 THEN 'a' WHEN 2 THEN 'b' ELSE 'c' END", "varchar(1)", "b"),
    ("typeof(1.5)", "varchar", "decimal(2,1)"),
    ("json_extract_scalar('{\"a\": {\"b\": 7}}', '$.a.b')", "varchar", "7"),
    ("json_extract_scalar('{\"a\": {\"b\": 7}}', '$.a')", "varchar", NULL),
    ("json_extract('{\"a\": [1, 2]}', '$.a')", "json", "[1,2]"),
    ("CAST(json_parse('[1, 2]') AS array(bigint))", "array(bigint)", "[1, 2]"),
]
TIMES = [
    ("DATE '2020-02-29'", "date", "2020-02-29"),
    ("TIMESTAMP '2020-01-01 10:00:00'", "timestamp(0)", "2020-01-01 10:00:00"),
    ("TIMESTAMP '2020-01-01 10:00:00.123'", "timestamp(3)", "2020-01-01 10:00:00.123"),
    ("TIMESTAMP '2020-01-01 10:00:00.123456'", "timestamp(6)", "2020-01-01 10:00:00.123456"),
    ("TIMESTAMP '2020-01-01 10:00:00.12'", "timestamp(2)", "2020-01-01 10:00:00.12"),
    (
        "TIMESTAMP '2020-01-01 10:00 Asia/Seoul'",
        "timestamp(0) with time zone",
        "2020-01-01 10:00:00 Asia/Seoul",
    ),
    ("CAST('2020-01-01 10:00:00.5' AS timestamp)", "timestamp(3)", "2020-01-01 10:00:00.500"),
    (
        "CAST(TIMESTAMP '2020-01-01 10:00:00.1236' AS timestamp(3))",
        "timestamp(3)",
        "2020-01-01 10:00:00.124",
    ),
    ("CAST('2020-01-31' AS date) + INTERVAL '1' MONTH", "date", "2020-02-29"),
    ("DATE '2020-01-03' - DATE '2020-01-01'", "interval day to second", "2 00:00:00.000"),
    (
        "TIMESTAMP '2020-01-01 00:00:00' - INTERVAL '90' MINUTE",
        "timestamp(0)",
        "2019-12-31 22:30:00",
    ),
    ("2 * INTERVAL '1' DAY", "interval day to second", "2 00:00:00.000"),
    ("INTERVAL '14' MONTH", "interval year to month", "1-2"),
    ("date_add('month', 1, DATE '2020-01-31')", "date", "2020-02-29"),
    (
        "date_add('hour', -1, TIMESTAMP '2020-01-01 00:30:00')",
        "timestamp(0)",
        "2019-12-31 23:30:00",
    ),
    ("date_add('quarter', 1, DATE '2020-01-01')", "date", "2020-04-01"),
    (
        "date_diff('day', TIMESTAMP '2020-01-01 12:00:00', TIMESTAMP '2020-01-02 11:00:00')",
        "bigint",
        "0",
    ),
    ("date_diff('hour', DATE '2020-01-01', TIMESTAMP '2020-01-02 01:30:00')", "bigint", "25"),
    ("date_diff('month', DATE '2020-01-15', DATE '2020-03-14')", "bigint", "1"),
    ("date_diff('day', DATE '2020-01-03', DATE '2020-01-01')", "bigint", "-2"),
    ("date_trunc('month', DATE '2020-02-29')", "date", "2020-02-01"),
    ("date_trunc('hour', TIMESTAMP '2020-02-29 10:59:59')", "timestamp(0)", "2020-02-29 10:00:00"),
    ("date_trunc('week', DATE '2020-02-29')", "date", "2020-02-24"),
    (
        "from_unixtime(1577836800)",
        "timestamp(3) with time zone",
        "2020-01-01 00:00:00.000 UTC",
    ),
    ("to_unixtime(TIMESTAMP '2020-01-01 00:00:00.5')", "double", "1.5778368005E9"),
    (
        "from_iso8601_timestamp('2020-01-01T10:00:00+09:00')",
        "timestamp(3) with time zone",
        "2020-01-01 10:00:00.000 +09:00",
    ),
    (
        "from_iso8601_timestamp('2020-01-01T10:00:00Z')",
        "timestamp(3) with time zone",
        "2020-01-01 10:00:00.000 UTC",
    ),
    (
        "from_iso8601_timestamp('2020-01-01T10:00:00.123456')",
        "timestamp(3) with time zone",
        "2020-01-01 10:00:00.123 UTC",
    ),
    (
        "TIMESTAMP '2020-01-01 00:00:00' AT TIME ZONE 'Asia/Seoul'",
        "timestamp(0) with time zone",
        "2020-01-01 09:00:00 Asia/Seoul",
    ),
    (
        "CAST(from_unixtime(1577836800) AT TIME ZONE 'Asia/Seoul' AS timestamp)",
        "timestamp(3)",
        "2020-01-01 09:00:00.000",
    ),
    ("date(from_unixtime(1577836800 + 3600 * 16) AT TIME ZONE 'Asia/Seoul')", "date", "2020-01-02"),
    ("hour(from_unixtime(1577836800) AT TIME ZONE '+05:30')", "bigint", "5"),
    (
        "with_timezone(TIMESTAMP '2020-01-01 00:00:00', 'Asia/Seoul')",
        "timestamp(0) with time zone",
        "2020-01-01 00:00:00 Asia/Seoul",
    ),
    ("day_of_week(DATE '2020-01-05')", "bigint", "7"),
    ("dow(DATE '2020-01-06')", "bigint", "1"),
    ("day_of_year(DATE '2020-12-31')", "bigint", "366"),
    ("week(DATE '2021-01-03')", "bigint", "53"),
    ("year_of_week(DATE '2021-01-03')", "bigint", "2020"),
    ("EXTRACT(YEAR FROM DATE '2020-01-05')", "bigint", "2020"),
    ("millisecond(TIMESTAMP '2020-01-01 00:00:01.234')", "bigint", "234"),
    ("last_day_of_month(DATE '2020-02-01')", "date", "2020-02-29"),
    (
        "date_format(TIMESTAMP '2020-01-05 14:05:06', '%Y-%m-%d %H:%i:%s')",
        "varchar",
        "2020-01-05 14:05:06",
    ),
    (
        "date_format(TIMESTAMP '2020-01-05 14:05:06', '%W %e %b %l%p')",
        "varchar",
        "Sunday 5 Jan 2PM",
    ),
    (
        "format_datetime(TIMESTAMP '2020-01-05 14:05:06', 'yyyy-MM-dd''T''HH:mm:ss')",
        "varchar",
        "2020-01-05T14:05:06",
    ),
    ("date_parse('2020/01/05 14', '%Y/%m/%d %H')", "timestamp(3)", "2020-01-05 14:00:00.000"),
    (
        "parse_datetime('2020-01-05', 'yyyy-MM-dd')",
        "timestamp(3) with time zone",
        "2020-01-05 00:00:00.000 UTC",
    ),
    ("to_iso8601(DATE '2020-01-05')", "varchar", "2020-01-05"),
    ("to_iso8601(from_unixtime(0))", "varchar", "1970-01-01T00:00:00.000Z"),
    ("CAST(TIMESTAMP '2020-01-01 00:00:00.000' AS varchar)", "varchar", "2020-01-01 00:00:00.000"),
    ("DATE '2020-01-01' < TIMESTAMP '2020-01-01 00:00:01'", "boolean", "true"),
    (
        "TIMESTAMP '2020-01-01 00:00:00' = from_iso8601_timestamp('2020-01-01T00:00:00Z')",
        "boolean",
        "true",
    ),
]
COLLECTIONS = [
    ("ARRAY[1, 2, NULL]", "array(integer)", "[1, 2, null]"),
    ("ARRAY[1, 2][2]", "integer", "2"),
    ("element_at(ARRAY[1, 2], 5)", "integer", NULL),
    ("element_at(ARRAY[1, 2], -1)", "integer", "2"),
    ("cardinality(ARRAY[1, 2])", "bigint", "2"),
    ("contains(ARRAY['a', 'b'], 'b')", "boolean", "true"),
    ("array_distinct(ARRAY[3, 1, 3])", "array(integer)", "[3, 1]"),
    ("array_sort(ARRAY[3, NULL, 1])", "array(integer)", "[1, 3, null]"),
    ("array_join(ARRAY[1, 2], '-')", "varchar", "1-2"),
    ("array_max(ARRAY[1, 5, 2])", "integer", "5"),
    ("ARRAY[1] || ARRAY[2] || 3", "array(integer)", "[1, 2, 3]"),
    ("sequence(1, 3)", "array(bigint)", "[1, 2, 3]"),
    ("sequence(3, 1)", "array(bigint)", "[3, 2, 1]"),
    (
        "sequence(DATE '2020-01-30', DATE '2020-02-01', INTERVAL '1' DAY)",
        "array(date)",
        "[2020-01-30, 2020-01-31, 2020-02-01]",
    ),
    ("slice(ARRAY[1, 2, 3, 4], 2, 2)", "array(integer)", "[2, 3]"),
    ("repeat('x', 2)", "array(varchar(1))", "[x, x]"),
    ("transform(ARRAY[1, 2], x -> x * 2)", "array(integer)", "[2, 4]"),
    ("filter(ARRAY[1, 2, 3], x -> x > 1)", "array(integer)", "[2, 3]"),
    ("any_match(ARRAY[1, 2], x -> x > 1)", "boolean", "true"),
    ("all_match(ARRAY[1, 2], x -> x > 1)", "boolean", "false"),
    ("reduce(ARRAY[1, 2, 3], 0, (s, x) -> s + x, s -> s)", "integer", "6"),
    ("MAP(ARRAY['a', 'b'], ARRAY[1, 2])", "map(varchar(1), integer)", "{a=1, b=2}"),
    ("MAP(ARRAY['a'], ARRAY[1])['a']", "integer", "1"),
    ("element_at(MAP(ARRAY['a'], ARRAY[1]), 'z')", "integer", NULL),
    ("map_keys(MAP(ARRAY['a'], ARRAY[1]))", "array(varchar(1))", "[a]"),
    ("CAST(ROW(1, 'x') AS ROW(a bigint, b varchar)).a", "bigint", "1"),
    ("CAST(ROW(1, 'x') AS ROW(a bigint, b varchar))", "row(a bigint, b varchar)", "{a=1, b=x}"),
    ("ROW(1, 2.5)", "row(integer, decimal(2,1))", "{field0=1, field1=2.5}"),
    ("(1, 'a') = (1, 'a')", "boolean", "true"),
]
AGGREGATES = [
    ("count(*) FROM (VALUES 1, NULL) AS t(x)", "bigint", "2"),
    ("count(x) FROM (VALUES 1, NULL) AS t(x)", "bigint", "1"),
    ("count(DISTINCT x) FROM (VALUES 1, 1, 2) AS t(x)", "bigint", "2"),
    ("count_if(x > 1) FROM (VALUES 1, 2) AS t(x)", "bigint", "1"),
    ("sum(x) FROM (VALUES 1, 2) AS t(x)", "bigint", "3"),
    ("sum(x) FROM (VALUES 1.5, 2.5) AS t(x)", "decimal(38,1)", "4.0"),
    ("avg(x) FROM (VALUES 1, 2) AS t(x)", "double", "1.5"),
    ("avg(x) FROM (VALUES 1.00, 2.01) AS t(x)", "decimal(3,2)", "1.51"),
    ("sum(x) FILTER (WHERE x > 1) FROM (VALUES 1, 2, 3) AS t(x)", "bigint", "5"),
    ("max_by(x, y) FROM (VALUES (NULL, 2), (1, 1)) AS t(x, y)", "integer", NULL),
    ("min_by(x, y) FROM (VALUES ('a', 2), ('b', 1)) AS t(x, y)", "varchar(1)", "b"),
    ("arbitrary(x) FROM (VALUES NULL, 7) AS t(x)", "integer", "7"),
    ("array_agg(x ORDER BY x DESC) FROM (VALUES 1, 2) AS t(x)", "array(integer)", "[2, 1]"),
    ("approx_percentile(x, 0.5) FROM (VALUES 1, 2, 3) AS t(x)", "bigint", "2"),
    ("approx_distinct(x) FROM (VALUES 1, 1, 3) AS t(x)", "bigint", "2"),
    ("bool_and(x > 0) FROM (VALUES 1, 2) AS t(x)", "boolean", "true"),
    ("stddev(x) FROM (VALUES 1, 3) AS t(x)", "double", "1.4142135623730951"),
    ("listagg(x, ',') WITHIN GROUP (ORDER BY x) FROM (VALUES 'b', 'a') AS t(x)", "varchar", "a,b"),
    ("map_agg(x, y) FROM (VALUES ('a', 1)) AS t(x, y)", "map(varchar(1), integer)", "{a=1}"),
    ("histogram(x) FROM (VALUES 1, 1) AS t(x)", "map(integer, bigint)", "{1=2}"),
    ("(SELECT max(x) FROM (VALUES 1, 2) AS t(x))", "integer", "2"),
    ("EXISTS (SELECT 1 WHERE 1 = 2)", "boolean", "false"),
    ("2 IN (SELECT x FROM (VALUES 1, 2) AS t(x))", "boolean", "true"),
    ("3 > ALL (SELECT x FROM (VALUES 1, 2) AS t(x))", "boolean", "true"),
]

DOCUMENTED = [*NUMBERS, *TEXTS, *TIMES, *COLLECTIONS, *AGGREGATES]


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        extend(connection)
        yield connection


def _no_table(parts: tuple[str, ...], where: str) -> Table:
    raise QueryFailed("TABLE_NOT_FOUND", f"{where}Table '{'.'.join(parts)}' does not exist")


def _no_view(table: Table) -> None:
    raise AssertionError(table)


def evaluate(
    engine: duckdb.DuckDBPyConnection, sql: str
) -> tuple[list[str], list[list[str | None]]]:
    """Types and rows, as texts, of a query without tables."""
    query = Analyzer(_no_table, _no_view).analyze(parse_query(sql))  # type: ignore[arg-type]
    columns = ", ".join(shown(Typed(f.sql, f.type)) for f in query.fields)
    try:
        rows = engine.execute(f"SELECT {columns} FROM ({query.sql})").fetchall()
    except duckdb.Error as exc:
        raise from_duckdb(exc) from exc
    return [str(f.type) for f in query.fields], [list(row) for row in rows]


@pytest.mark.parametrize(
    ("expression", "kind", "value"), DOCUMENTED, ids=[d[0] for d in DOCUMENTED]
)
def test_an_expression_has_trinos_type_and_value(
    engine: duckdb.DuckDBPyConnection, expression: str, kind: str, value: str | None
) -> None:
    kinds, rows = evaluate(engine, f"SELECT {expression}")
    assert (kinds, rows) == ([kind], [[value]])
