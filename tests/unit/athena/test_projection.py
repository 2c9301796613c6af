"""Projected partitions are those that Athena documents for a table's properties."""

# ruff: noqa: E501 - in a table of properties a row is a line

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import duckdb
import pytest

from infra.local.athena.catalog import Column, Table
from infra.local.athena.dialect import parse_hive_type
from infra.local.athena.errors import QueryFailed
from infra.local.athena.extensions import extend
from infra.local.athena.projection import location_of, project
from infra.local.athena.queries import Planner


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        extend(connection)
        yield connection


def made(properties: dict[str, str], **keys: str) -> Table:
    columns = [Column(name, kind, parse_hive_type(kind)) for name, kind in keys.items()]
    named = {f"projection.{name}": value for name, value in properties.items() if name[0] != "$"}
    given = {name[1:]: value for name, value in properties.items() if name[0] == "$"}
    data = (Column("id", "string", parse_hive_type("string")),)
    parameters = {"projection.enabled": "true", **named, **given}
    return Table("db", "t", data, tuple(columns), "s3://b/t", parameters=parameters)


class _Catalog:
    def __init__(self, table: Table) -> None:
        self.only = table

    def table(self, database: str, name: str, where: str = "") -> Table:
        return self.only


def read(table: Table, where: str, engine: duckdb.DuckDBPyConnection) -> list[tuple[str, ...]]:
    """The partitions that a query with this condition reads."""
    planner = Planner(_Catalog(table), None)  # type: ignore[arg-type]  # fakes; nothing is scanned
    leaves = planner.plan(f"SELECT id FROM t{' WHERE ' + where if where else ''}", "db").leaves
    return sorted(partition.values for partition in project(leaves[0], engine))


def one(kind: str, **properties: str) -> dict[str, str]:
    named = {f"k.{name.replace('_', '.')}": value for name, value in properties.items()}
    return {"k.type": kind, **named}


VALUES = [
    (one("enum", values="A,B, C"), "string", "", [" C", "A", "B"]),
    (one(" ENUM ", values="A,B,C"), "string", "k <> 'B'", ["A", "C"]),
    (one("integer", range="1,3"), "int", "", ["1", "2", "3"]),
    (one("integer", range="-1,1"), "bigint", "k < 1", ["-1", "0"]),
    (one("integer", range="1,3", interval="2"), "int", "", ["1", "3"]),
    (one("integer", range="0001,0003", digits="2"), "string", "", ["01", "02", "03"]),
    (one("integer", range="1,1000000000", interval="100000000"), "bigint", "k > 800000000", ["800000001", "900000001"]),
    (one("date", range="201711,201802", format="yyyyMM"), "string", "", ["201711", "201712", "201801", "201802"]),
    (one("date", range="30-12-2017,01-01-2018", format="dd-MM-yyyy"), "string", "k LIKE '%-2018'", ["01-01-2018"]),
    (one("date", range="2017-01,2017-06", format="yyyy-MM", interval="2", interval_unit="MONTHS"), "string", "", ["2017-01", "2017-03", "2017-05"]),
    (one("date", range="2018/01/01/22,2018/01/02/01", format="yyyy/MM/dd/HH", interval="1", interval_unit="hours"), "string", "", ["2018/01/01/22", "2018/01/01/23", "2018/01/02/00", "2018/01/02/01"]),
    (one("date", range="2018-01-01,2018-01-31", format="yyyy-MM-dd"), "date", "k > DATE '2018-01-30'", ["2018-01-31"]),
    (one("date", range="2016,2018", format="yyyy", interval="1", interval_unit="YEARS"), "string", "", ["2016", "2017", "2018"]),
    (one("date", range="'d'2018-01-01,'d'2018-01-02".replace("'d'", "d"), format="'d'yyyy-MM-dd"), "string", "", ["d2018-01-01", "d2018-01-02"]),
    (one("injected"), "string", "k = 'x'", ["x"]),
    (one("injected"), "string", "k IN ('x', 'y') AND k <> 'y'", ["x"]),
    (one("injected"), "int", "7 = k", ["7"]),
]  # fmt: skip


@pytest.mark.parametrize(("properties", "kind", "where", "values"), VALUES)
def test_a_columns_values_are_projected_and_pruned(
    engine: duckdb.DuckDBPyConnection,
    properties: dict[str, str],
    kind: str,
    where: str,
    values: list[str],
) -> None:
    assert read(made(properties, k=kind), where, engine) == [(value,) for value in values]


def test_relative_ranges_end_at_the_day_of_the_query(engine: duckdb.DuckDBPyConnection) -> None:
    properties = one("date", range="NOW-2DAYS, NOW + 1 DAY", format="yyyy-MM-dd")
    before = datetime.now(UTC).date()
    found = read(made(properties, k="string"), "", engine)
    expected = [
        [(f"{day + timedelta(n)}",) for n in range(-2, 2)]
        for day in (before, datetime.now(UTC).date())
    ]
    assert found in expected


def test_a_relative_month_reaches_the_last_of_a_fixed_range(
    engine: duckdb.DuckDBPyConnection,
) -> None:
    properties = one("date", range="NOW,2200-12", format="yyyy-MM")
    assert read(made(properties, k="string"), "k > '2200-11'", engine) == [("2200-12",)]


def test_columns_are_crossed(engine: duckdb.DuckDBPyConnection) -> None:
    properties = {
        "region.type": "enum",
        "region.values": "eu,us",
        "day.type": "date",
        "day.range": "2018-01-01,2018-01-03",
        "day.format": "yyyy-MM-dd",
        "$storage.location.template": "s3://other/${day}/of/${region}",
    }
    table = made(properties, region="string", day="string")
    found = read(table, "(region = 'eu' OR day = '2018-01-01') AND day < '2018-01-03'", engine)
    assert found == [("eu", "2018-01-01"), ("eu", "2018-01-02"), ("us", "2018-01-01")]
    assert location_of(table, found[0]) == "s3://other/2018-01-01/of/eu/"


def test_without_a_template_folders_are_hives() -> None:
    table = made({}, region="string", day="string")
    assert location_of(table, ("eu", "2018-01-01")) == "s3://b/t/region=eu/day=2018-01-01/"


REFUSED = [
    ({}, "", "INVALID_TABLE_PROPERTY: Table awsdatacatalog.db.t: it is configured for partition projection, but these partition columns are missing projection configuration: ['k']"),
    (one("set"), "", "projection.k.type is 'set'; it is enum, integer, date or injected"),
    (one("enum"), "", "projection.k.values is missing"),
    (one("integer", range="1"), "", "projection.k.range is '1'; it has a least and a greatest value"),
    (one("integer", range="1,x"), "", "projection.k.range is '1,x'; it takes whole numbers"),
    (one("integer", range="1,9", interval="0"), "", "projection.k.interval is '0'; it takes whole numbers"),
    (one("date", range="2018,2019", format="yyyy"), "", "projection.k needs an interval and an interval.unit"),
    (one("date", range="2018-01-01,NOW", format="yyyy-MM-dd", interval_unit="AGES"), "", "projection.k.interval.unit is 'AGES'"),
    (one("date", range="2018-01-01,NOW", format="yyyy-MM-dd'T'VV"), "", "does not support 'VV' in a pattern of projection.k.format"),
    (one("injected"), "", "CONSTRAINT_VIOLATION: For the injected projected partition column k, the WHERE clause must contain only static equality conditions"),
    (one("injected"), "k > 'a'", "CONSTRAINT_VIOLATION"),
    (one("integer", range="1,10000000"), "", "does not support a query over more than 1000000 projected partitions"),
]  # fmt: skip


@pytest.mark.parametrize(("properties", "where", "wanted"), REFUSED)
def test_a_projection_that_does_not_hold_together_is_refused(
    engine: duckdb.DuckDBPyConnection, properties: dict[str, str], where: str, wanted: str
) -> None:
    with pytest.raises(QueryFailed) as failed:
        read(made(properties, k="string"), where, engine)
    assert wanted in failed.value.reason
