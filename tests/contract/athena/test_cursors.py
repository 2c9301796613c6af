"""PyAthena's cursors work against the local Athena as they are."""

from __future__ import annotations

import functools
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.fs
import pytest
from pyathena.arrow.cursor import ArrowCursor
from pyathena.async_cursor import AsyncCursor
from pyathena.cursor import DictCursor
from pyathena.pandas.cursor import PandasCursor
from pyathena.s3fs.cursor import S3FSCursor

if TYPE_CHECKING:
    from tests.contract.athena.conftest import Shop

KINDS = """SELECT
  CAST(1 AS tinyint) AS tiny, 2 AS whole, 3000000000 AS big, 1.5e0 AS dbl, REAL '0.5' AS rl,
  DECIMAL '1.50' AS dec, true AS yes, 'a"b,c' AS txt, '' AS empty, CAST(NULL AS varchar) AS nothing,
  DATE '2020-02-29' AS d, TIMESTAMP '2020-01-01 10:00:00.123' AS ts,
  from_iso8601_timestamp('2020-01-01T00:00:00Z') AS tz, to_utf8('ab') AS bin, ARRAY[1, 2] AS arr"""
ROW = {
    "tiny": 1,
    "whole": 2,
    "big": 3000000000,
    "dbl": 1.5,
    "rl": 0.5,
    "dec": Decimal("1.50"),
    "yes": True,
    "txt": 'a"b,c',
    "empty": "",
    "nothing": None,
    "d": date(2020, 2, 29),
    "ts": datetime(2020, 1, 1, 10, 0, 0, 123000),  # noqa: DTZ001 - Athena's timestamp has no zone
    "tz": datetime(2020, 1, 1, tzinfo=UTC),
    "bin": b"ab",
    "arr": [1, 2],
}


def test_the_plain_cursor_reads_every_type(shop: Shop) -> None:
    cursor = shop.connection().cursor(DictCursor)
    assert cursor.execute(KINDS).fetchone() == ROW


def test_the_s3_cursor_reads_every_type(shop: Shop) -> None:
    cursor = shop.connection().cursor(S3FSCursor)
    assert cursor.execute(KINDS).fetchone() == tuple(ROW.values())


def test_the_async_cursor_runs_beside_others(shop: Shop) -> None:
    cursor = shop.connection().cursor(AsyncCursor)
    futures = [cursor.execute(f"SELECT {n} AS x")[1] for n in range(5)]
    assert [future.result().fetchall() for future in futures] == [[(n,)] for n in range(5)]


@pytest.mark.parametrize("unload", [False, True], ids=["csv", "unload"])
def test_the_pandas_cursor_reads_rows(shop: Shop, *, unload: bool) -> None:
    cursor = shop.connection().cursor(PandasCursor, unload=unload)
    frame = cursor.execute("SELECT id, amount, at, fraud FROM payments").as_pandas()
    assert len(frame) == 30
    assert sum(frame["amount"]) == Decimal("142.50")
    assert str(frame["at"].max()) == "2018-04-03 09:00:00.001000"


@pytest.mark.parametrize("unload", [False, True], ids=["csv", "unload"])
def test_the_arrow_cursor_reads_rows(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, *, unload: bool
) -> None:
    # PyArrow's filesystem takes an endpoint as an argument only, and PyAthena gives it none.
    host = shop.environment["AWS_ENDPOINT_URL"].removeprefix("http://")
    local = functools.partial(pyarrow.fs.S3FileSystem, endpoint_override=host, scheme="http")
    monkeypatch.setattr(pyarrow.fs, "S3FileSystem", local)
    cursor: Any = shop.connection().cursor(ArrowCursor, unload=unload)
    table = cursor.execute("SELECT id, amount, at FROM payments").as_arrow()
    assert table.num_rows == 30
    assert pa.types.is_timestamp(table.schema.field("at").type)


def test_rows_beyond_a_page_are_all_fetched(shop: Shop) -> None:
    cursor = shop.connection().cursor()
    cursor.execute("SELECT x, CAST(x AS varchar) FROM UNNEST(sequence(1, 3210)) AS t(x)")
    assert sum(x for x, _ in cursor.fetchall()) == 3210 * 3211 // 2


def test_parameters_are_written_into_the_query(shop: Shop) -> None:
    cursor = shop.connection().cursor()
    sql = "SELECT count(*) FROM payments WHERE day = %(day)s AND at < %(until)s"
    cursor.execute(sql, {"day": "2018-04-01", "until": datetime(2018, 4, 1, 5)})  # noqa: DTZ001
    assert cursor.fetchone() == (5,)


def test_the_row_count_of_an_insert_is_known(shop: Shop) -> None:
    cursor, name = shop.connection().cursor(), f"counted_{shop.database}"
    cursor.execute(
        f"CREATE TABLE {name} WITH (external_location = '{shop.folder()}') AS SELECT 1 AS x"
    )
    cursor.execute(f"INSERT INTO {name} VALUES 2, 3, 4")
    assert cursor.rowcount == 3
    cursor.execute(f"DROP TABLE {name}")
