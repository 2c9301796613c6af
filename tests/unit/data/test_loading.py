"""Files become tables, or are refused with what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops.errors import InputError, NotFound, Refused
from pipelines.data.loading import load_file, to_athena

_FILE = Path("loans.parquet")


def test_times_become_utc_milliseconds() -> None:
    moment = datetime(2021, 8, 25, 20, 34, 41, 361_999, tzinfo=UTC)
    rows = pa.table({"at": pa.array([moment], pa.timestamp("us", "UTC"))})
    found = to_athena(rows, _FILE)
    assert found.schema.field("at").type == pa.timestamp("ms")
    assert found["at"].to_pylist() == [datetime(2021, 8, 25, 20, 34, 41, 361_000)]  # noqa: DTZ001


def test_every_column_that_no_table_can_have_is_named() -> None:
    rows = pa.table({"ok": [1], "Person Age": [1], "parts": [[1]]})
    with pytest.raises(InputError, match=r"parts \(list<.*>\), Person Age \(its name\)"):
        to_athena(rows, _FILE)


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        ("payments", Refused, "mlops data import FILE"),
        ("Loans!", InputError, "'Loans!' cannot name a table"),
    ],
)
def test_a_name_that_is_taken_or_wrong_is_refused(
    table: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    unused: Any = None
    where = {"names": unused, "aws": unused, "queries": unused, "documents": unused}
    with pytest.raises(error, match=message):
        load_file(table, tmp_path / "a.parquet", **where)


def test_what_is_no_parquet_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n")
    unused: Any = None
    where = {"names": unused, "aws": unused, "queries": unused, "documents": unused}
    with pytest.raises(InputError, match=r"a\.csv is no Parquet file"):
        load_file("loans", tmp_path / "a.csv", **where)
    with pytest.raises(NotFound, match="There is no file"):
        load_file("loans", tmp_path / "none.parquet", **where)
