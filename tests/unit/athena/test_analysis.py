"""What Athena refuses, in its own words; which partitions and columns a query needs."""

# ruff: noqa: E501 - in a table of statements a row is a line

from __future__ import annotations

import duckdb
import pytest
from sqlglot import exp

from infra.local.athena.analyzer import Analyzer
from infra.local.athena.catalog import Column, Partition, Table, View
from infra.local.athena.dialect import parse_hive_type, parse_query
from infra.local.athena.errors import QueryFailed
from infra.local.athena.files import prune
from infra.local.athena.queries import Planner
from infra.local.athena.scope import Leaf


def _columns(**kinds: str) -> tuple[Column, ...]:
    return tuple(Column(name, kind, parse_hive_type(kind)) for name, kind in kinds.items())


PAYMENTS = Table(
    "shop",
    "payments",
    _columns(
        id="string", customer="string", amount="decimal(18,2)", at="timestamp", fraud="boolean"
    ),
    _columns(day="string", part="int"),
)
NAMES = Table("shop", "names", _columns(customer="string", name="string"))


def _view(view: str, sql: str, **kinds: str) -> Table:
    return Table("shop", view, _columns(**kinds), view=View(sql, "awsdatacatalog", "shop"))


SPEND = _view(
    "spend",
    "SELECT customer, day, sum(amount) AS total FROM payments "
    "WHERE (day < '2018-02' AND part = 1) OR (day >= '2018-02' AND part = 2) GROUP BY customer, day",
    customer="string",
    day="string",
    total="decimal(38,2)",
)
TABLES = {table.name: table for table in (PAYMENTS, NAMES, SPEND)}


class _Catalog:
    """The tables above, as a planner asks for them."""

    def table(self, database: str, name: str, where: str = "") -> Table:
        if database != "shop":
            raise QueryFailed("SCHEMA_NOT_FOUND", f"{where}Schema '{database}' does not exist")
        if name not in TABLES:
            full = f"awsdatacatalog.{database}.{name}"
            raise QueryFailed("TABLE_NOT_FOUND", f"{where}Table '{full}' does not exist")
        return TABLES[name]


def plan(sql: str) -> list[Leaf]:
    planner = Planner(_Catalog(), None)  # type: ignore[arg-type]  # a fake; nothing is scanned
    return planner.plan(sql, "shop").leaves


REFUSED = [
    (
        "SELECT 1 FROM nothing",
        "TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.shop.nothing' does not exist",
    ),
    ("SELECT 1 FROM other.t", "SCHEMA_NOT_FOUND: line 1:15: Schema 'other' does not exist"),
    ("SELECT 1 FROM cat.shop.names", "CATALOG_NOT_FOUND: line 1:15: Catalog 'cat' does not exist"),
    ("SELECT\n  nope FROM names", "COLUMN_NOT_FOUND: line 2:3: Column 'nope' cannot be resolved"),
    (
        "SELECT n.nope FROM names n",
        "COLUMN_NOT_FOUND: line 1:8: Column 'n.nope' cannot be resolved",
    ),
    (
        "SELECT customer FROM names a JOIN names b ON a.name = b.name",
        "AMBIGUOUS_NAME: line 1:8: Column 'customer' is ambiguous",
    ),
    (
        "SELECT 1 FROM payments WHERE day = DATE '2018-01-01'",
        "TYPE_MISMATCH: line 1:30: Cannot apply operator: varchar = date",
    ),
    (
        "SELECT 1 FROM payments WHERE amount > '5'",
        "TYPE_MISMATCH: line 1:30: Cannot apply operator: decimal(18,2) > varchar(1)",
    ),
    (
        "SELECT name + 1 FROM names",
        "TYPE_MISMATCH: line 1:8: Cannot apply operator: varchar + integer",
    ),
    ("SELECT nosuch(1)", "FUNCTION_NOT_FOUND: line 1:8: Function 'nosuch' not registered"),
    (
        "SELECT word_stem(1)",
        "NOT_SUPPORTED: line 1:8: The local Athena does not support the function word_stem",
    ),
    (
        "SELECT length(1)",
        "TYPE_MISMATCH: line 1:8: Unexpected parameters (integer) for function length. Expected: length(varchar)",
    ),
    (
        "SELECT 1 FROM names WHERE name",
        "TYPE_MISMATCH: line 1:27: WHERE clause must evaluate to a boolean: actual type varchar",
    ),
    (
        "SELECT 1 UNION SELECT 'a'",
        "TYPE_MISMATCH: line 1:8: column 1 in UNION query has incompatible types: integer, varchar(1)",
    ),
    (
        "SELECT 1, 2 UNION SELECT 3",
        "TYPE_MISMATCH: line 1:8: UNION query has different number of fields: 2, 1",
    ),
    (
        "SELECT name FROM names ORDER BY 2",
        "INVALID_COLUMN_REFERENCE: line 1:33: ORDER BY position 2 is not in select list",
    ),
    (
        "SELECT DISTINCT name FROM names ORDER BY customer",
        "EXPRESSION_NOT_IN_DISTINCT: line 1:42: For SELECT DISTINCT, ORDER BY expressions must appear in select list",
    ),
    (
        "SELECT rank() FROM names",
        "SYNTAX_ERROR: line 1:8: Window function rank requires an OVER clause",
    ),
    (
        "SELECT customer FROM names ORDER BY 1 FETCH FIRST ROW WITH TIES",
        "NOT_SUPPORTED: The local Athena does not support FETCH FIRST … WITH TIES",
    ),
    (
        "SELECT customer, count(*) FROM names",
        "EXPRESSION_NOT_AGGREGATE: line 1:8: 'customer' must be an aggregate expression or appear in GROUP BY clause",
    ),
    (
        "SELECT upper(name), count(*) FROM names GROUP BY customer",
        "EXPRESSION_NOT_AGGREGATE: line 1:8: 'upper(name)' must be an aggregate expression or appear in GROUP BY clause",
    ),
    (
        "SELECT count(*) FROM names GROUP BY customer ORDER BY lower(name)",
        "EXPRESSION_NOT_AGGREGATE: line 1:55: 'lower(name)' must be an aggregate expression",
    ),
    (
        "SELECT customer FROM names GROUP BY customer HAVING name = 'x'",
        "EXPRESSION_NOT_AGGREGATE: line 1:53: 'name = 'x'' must be an aggregate expression",
    ),
    ("SELECT FROM names", "SYNTAX_ERROR"),
    ("SELECT 1 +", "SYNTAX_ERROR"),
]


@pytest.mark.parametrize(("sql", "reason"), REFUSED, ids=[sql for sql, _ in REFUSED])
def test_a_wrong_query_is_refused_in_athenas_words(sql: str, reason: str) -> None:
    with pytest.raises(QueryFailed) as failed:
        plan(sql)
    assert failed.value.reason.startswith(reason)


GROUPED = [
    "SELECT upper(name) AS u, count(*) FROM names GROUP BY upper(name) ORDER BY u, count(*)",
    "SELECT upper(n.name) || 'x', n.customer FROM names n GROUP BY 2, upper(n.name)",
    "SELECT customer, sum(count(*)) OVER (ORDER BY customer) FROM names GROUP BY customer",
    "SELECT customer, max(name) FILTER (WHERE name > 'a') FROM names GROUP BY customer HAVING count(*) > 1",
    "SELECT (SELECT max(p.amount) FROM payments p WHERE p.customer = n.customer) FROM names n",
    "SELECT day, part, count(*) FROM payments GROUP BY GROUPING SETS ((day), (day, part), ())",
    "SELECT customer AS name, count(*) FROM names GROUP BY customer ORDER BY name",
    "SELECT row_number() OVER (ORDER BY max(name)), customer FROM names GROUP BY customer",
]


@pytest.mark.parametrize("sql", GROUPED)
def test_what_a_group_has_may_be_asked(sql: str) -> None:
    assert plan(sql)


DAYS = [
    Partition((day, str(part)), f"s3://b/{day}/{part}/")
    for day in ("2018-01", "2018-02", "2018-03")
    for part in (1, 2)
]
PRUNED = [
    ("SELECT id FROM payments", "111111"),
    ("SELECT id FROM payments WHERE day = '2018-02'", "001100"),
    ("SELECT id FROM payments WHERE day BETWEEN '2018-02' AND '2018-09' AND amount > 5", "001111"),
    ("SELECT id FROM payments WHERE day IN ('2018-01', '2018-03') AND part = 2", "010001"),
    ("SELECT id FROM payments WHERE part = 1 OR (day = '2018-03' AND amount > 1)", "101011"),
    ("SELECT id FROM payments WHERE part = 1 OR amount > 1", "111111"),
    ("SELECT id FROM payments WHERE NOT day > '2018-01'", "110000"),
    ("SELECT id FROM payments WHERE substr(day, 6) = '03'", "000011"),
    ("SELECT id FROM payments WHERE day >= id", "111111"),
    ("SELECT n FROM (SELECT day AS d, count(*) AS n FROM payments GROUP BY day) WHERE d = '2018-01'", "110000"),
    ("SELECT n FROM (SELECT max(day) AS d, count(*) AS n FROM payments) WHERE d = '2018-01'", "111111"),
    ("SELECT id FROM (SELECT * FROM payments LIMIT 5) WHERE day = '2018-01'", "111111"),
    ("WITH p AS (SELECT * FROM payments) SELECT id FROM p WHERE day = '2018-01'", "110000"),
    ("WITH p AS (SELECT * FROM payments) SELECT a.id FROM p a JOIN p b ON a.id = b.id WHERE a.day = '2018-01'", "111111"),
    ("SELECT id, row_number() OVER (PARTITION BY id ORDER BY at) r FROM payments WHERE day = '2018-01'", "110000"),
    ("SELECT id FROM (SELECT id, day, row_number() OVER (PARTITION BY day ORDER BY at) r FROM payments) WHERE day = '2018-01' AND r = 1", "110000"),
    ("SELECT id FROM (SELECT id, day, row_number() OVER (PARTITION BY id ORDER BY at) r FROM payments) WHERE day = '2018-01' AND r = 1", "111111"),
    ("SELECT p.id FROM names n LEFT JOIN payments p ON p.customer = n.customer AND p.day = '2018-02'", "001100"),
    ("SELECT p.id FROM names n LEFT JOIN payments p ON p.customer = n.customer WHERE coalesce(p.day, '2018-02') = '2018-02'", "111111"),
    ("SELECT n.name FROM payments p LEFT JOIN names n ON p.customer = n.customer WHERE p.day = '2018-02'", "001100"),
    ("SELECT n.name FROM payments p LEFT JOIN names n ON p.customer = n.customer AND p.day = '2018-02'", "111111"),
    ("SELECT customer, total FROM spend", "100101"),
    ("SELECT n FROM (SELECT day, count(*) AS n FROM payments GROUP BY ROLLUP (day)) WHERE day IS NULL", "111111"),
    ("SELECT customer, total FROM spend WHERE day > '2018-02'", "000001"),
    ("SELECT id FROM payments WHERE day = '2018-01' UNION ALL SELECT name FROM names", "110000"),
    ("SELECT id FROM (SELECT id, day FROM payments UNION ALL SELECT name, customer FROM names) WHERE day = '2018-03'", "000011"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "kept"), PRUNED, ids=[sql for sql, _ in PRUNED])
def test_only_partitions_that_can_match_are_read(sql: str, kept: str) -> None:
    leaf = next(leaf for leaf in plan(sql) if leaf.table is PAYMENTS)
    with duckdb.connect(":memory:") as connection:
        found = prune(leaf, DAYS, connection)
    assert "".join("1" if day in found else "0" for day in DAYS) == kept


USED = [
    ("SELECT count(*) FROM payments", set()),
    ("SELECT id FROM (SELECT * FROM payments)", {"id"}),
    ("SELECT total FROM spend", {"amount", "customer", "day", "part"}),
    ("SELECT customer FROM spend WHERE day = '2018-01'", {"customer", "day", "part"}),
    ("SELECT id FROM payments ORDER BY at", {"id", "at"}),
    ("SELECT n.name FROM names n WHERE n.customer IN (SELECT customer FROM payments WHERE fraud)", {"customer", "fraud"}),
    ("SELECT (SELECT max(p.amount) FROM payments p WHERE p.customer = n.customer) FROM names n", {"amount", "customer"}),
    ("SELECT 1 FROM payments JOIN names USING (customer)", {"customer"}),
    ("SELECT DISTINCT id, amount FROM payments", {"id", "amount"}),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "used"), USED, ids=[sql for sql, _ in USED])
def test_only_needed_columns_count_as_read(sql: str, used: set[str]) -> None:
    leaf = next(leaf for leaf in plan(sql) if leaf.table is PAYMENTS)
    assert leaf.used == used


SHOWN = [
    ("SELECT Name, upper(name), 1 AS One, n.customer FROM names n", ["Name", "_col1", "One", "customer"]),
    ("SELECT * FROM names", ["customer", "name"]),
    ("SELECT b.*, a.name FROM names a JOIN names b ON a.name = b.name", ["customer", "name", "name"]),
    ("SELECT * FROM names JOIN spend USING (customer)", ["customer", "name", "day", "total"]),
    ("SELECT x, y FROM (VALUES (1, 'a')) AS t(x, y)", ["x", "y"]),
    ("SELECT name FROM names UNION SELECT customer FROM names", ["name"]),
    ("SELECT * FROM UNNEST(ARRAY['a'], ARRAY[1]) WITH ORDINALITY AS t(k, v, o)", ["k", "v", "o"]),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "shown"), SHOWN, ids=[sql for sql, _ in SHOWN])
def test_columns_are_named_as_trino_names_them(sql: str, shown: list[str]) -> None:
    planner = Planner(_Catalog(), None)  # type: ignore[arg-type]  # a fake; nothing is scanned
    assert [item.shown for item in planner.plan(sql, "shop").fields] == shown


def test_a_view_whose_query_changed_its_types_is_stale() -> None:
    stale = _view("stale", "SELECT name FROM names", name="bigint")

    def parse(table: Table) -> exp.Query:
        assert table.view is not None
        return parse_query(table.view.sql)

    def lookup(parts: tuple[str, ...], where: str) -> Table:
        return {"stale": stale, "names": NAMES}[parts[-1]]

    with pytest.raises(QueryFailed, match="VIEW_IS_STALE"):
        Analyzer(lookup, parse).analyze(parse_query("SELECT * FROM stale"))
