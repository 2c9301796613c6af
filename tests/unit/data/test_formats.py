"""Files are read as their writers meant them, in batches, and damaged ones are told."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops.errors import InputError
from pipelines.data import formats, reading
from pipelines.data.reading import PaymentFile, RepeatedIds, open_payments
from pipelines.data.staging import stage
from pipelines.data.validation import Rules
from tests.unit.data.landing import NOW, as_csv, as_orc, as_parquet, payments, replaced

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)


def put(folder: Path, name: str, body: bytes) -> Path:
    path = folder / name
    path.write_bytes(body)
    return path


def rows(file: PaymentFile, folder: Path, **rules: Any) -> list[dict[str, Any]]:
    """The good rows as the table takes them."""
    held = Rules(**{"now": NOW, "currency": "EUR", "file_currency": "EUR", **rules})
    staged = stage(file, held, folder / "staged")
    return [
        row
        for day in staged.days
        for part in staged.parts(day)
        for row in pq.read_table(part, partitioning=None).to_pylist()
    ]


def int96(time: datetime, **noted: str) -> bytes:
    """A payment whose time, without a zone, is in INT96; noted: in the footer."""
    times = pa.array([time.replace(tzinfo=None)], pa.timestamp("us"))
    table = replaced(payments(["p1"]), "event_time", times).replace_schema_metadata(noted)
    return as_parquet(table, use_deprecated_int96_timestamps=True)


@pytest.mark.parametrize(
    "noted", [{"org.apache.spark.version": "3.5.1"}, {"writer.time.zone": "Asia/Seoul"}]
)
def test_int96_of_spark_and_hive_is_utc(tmp_path: Path, noted: dict[str, str]) -> None:
    file = open_payments(put(tmp_path, "a.parquet", int96(NOON, **noted)))
    [row] = rows(file, tmp_path, timezone="Asia/Seoul")
    assert row["event_time"] == NOON.replace(tzinfo=None)


def test_int96_of_impala_is_in_the_zone_that_is_named(tmp_path: Path) -> None:
    path = put(tmp_path, "a.parq", int96(NOON))
    with pytest.raises(InputError, match=r"a\.parq: event_time has no time zone.*--timezone"):
        rows(open_payments(path), tmp_path)
    [row] = rows(open_payments(path), tmp_path / "again", timezone="Asia/Seoul")
    assert row["event_time"] == datetime(2025, 1, 1, 3)  # noqa: DTZ001  # as the table holds it


def test_int96_beyond_the_range_of_nanoseconds_keeps_its_year(tmp_path: Path) -> None:
    far = datetime(9999, 1, 1, tzinfo=UTC)
    file = open_payments(put(tmp_path, "a.parquet", int96(far)))
    assert rows(file, tmp_path, timezone="UTC") == [], "in the future, not in 1816"


def test_times_before_calendars_agree_are_refused(tmp_path: Path) -> None:
    early = pa.array([datetime(1582, 10, 4, tzinfo=UTC)], pa.timestamp("us", "UTC"))
    table = replaced(payments(["p1"]), "event_time", early)
    staged = stage(
        open_payments(put(tmp_path, "a.parquet", as_parquet(table))),
        Rules(now=NOW, currency="EUR", file_currency="EUR"),
        tmp_path / "staged",
    )
    assert staged.reasons == {"event_time is before 1900": 1}


def test_text_that_impala_does_not_mark_as_text_is_read(tmp_path: Path) -> None:
    table = payments(["p1", "p1"])
    for name in ("payment_id", "customer_id"):
        table = replaced(table, name, table[name].cast(pa.binary()).combine_chunks())
    file = open_payments(put(tmp_path, "a.parquet", as_parquet(table)))
    assert [(r["payment_id"], r["customer_id"]) for r in rows(file, tmp_path)] == [("p1", "c")]


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    table = replaced(payments(["p1"]), "customer_id", pa.array([b"\xff\xfe"], pa.binary()))
    file = open_payments(put(tmp_path, "a.parquet", as_parquet(table)))
    with pytest.raises(InputError, match=r"a\.parquet cannot be read"):
        rows(file, tmp_path)


@pytest.mark.parametrize("write", [as_parquet, as_orc])
def test_decimals_stay_exact(tmp_path: Path, write: Any) -> None:
    amounts = ["1234567890123456.78", "0.01", "0.010", "0.005", "-1", "12345678901234567.00"]
    column = pa.array([Decimal(a) for a in amounts], pa.decimal128(38, 3))
    table = replaced(payments([f"p{n}" for n in range(6)]), "amount", column)
    file = open_payments(put(tmp_path, "a", write(table)))
    assert {r["payment_id"]: r["amount"] for r in rows(file, tmp_path)} == {
        "p0": Decimal("1234567890123456.78"),
        "p1": Decimal("0.01"),
        "p2": Decimal("0.01"),
    }


def test_orc_without_zone_needs_one(tmp_path: Path) -> None:
    naive = pa.array([NOON.replace(tzinfo=None)], pa.timestamp("us"))
    path = put(tmp_path, "000000_0", as_orc(replaced(payments(["p1"]), "event_time", naive)))
    [row] = rows(open_payments(path), tmp_path, timezone="Asia/Seoul")
    assert row["event_time"].hour == 3


def test_a_csv_may_begin_with_a_mark_of_its_encoding(tmp_path: Path) -> None:
    path = put(tmp_path, "a.csv", b"\xef\xbb\xbf" + as_csv(payments(["p1"])))
    assert [r["payment_id"] for r in rows(open_payments(path), tmp_path)] == ["p1"]


def test_hive_s_null_in_a_csv_is_null(tmp_path: Path) -> None:
    body = as_csv(payments(["p1"])).replace(b",c,", b",\\N,")
    assert rows(open_payments(put(tmp_path, "a.csv", body)), tmp_path) == []


@pytest.mark.parametrize(
    ("name", "body", "told"),
    [
        ("a.csv", as_csv(payments(["p1"])).decode().encode("utf-16"), "no text in UTF-8"),
        ("a.csv", as_csv(payments(["é"])).decode().encode("latin-1"), "no text in UTF-8"),
        ("a.csv.gz", gzip.compress(as_csv(payments(["p1"] * 99)))[:-20], "cannot be read"),
        ("a.csv.gz", gzip.compress(as_parquet(payments(["p1"]))), "no text in UTF-8"),
        ("a.csv.gz", b"\x1f\x8b no gzip", "cannot be read"),
        ("a.orc", as_orc(payments(["p1"]))[:-10], "cannot be read"),
        ("a.orc", b"ORC", "cannot be read"),
        ("a.parquet", as_parquet(payments(["p1"]))[:-10], "cannot be read"),
        ("a.parquet", b"\0" * 100, "cannot be read"),
        ("a.csv", b"\n\n", "it has no columns"),
    ],
    # Bodies hold the time at which they were made: no names that two workers agree on.
    ids=lambda part: "body" if isinstance(part, bytes) else None,
)
def test_a_file_that_is_none_is_told(tmp_path: Path, name: str, body: bytes, told: str) -> None:
    with pytest.raises(InputError, match=told) as raised:
        rows(open_payments(put(tmp_path, name, body)), tmp_path)
    assert name in str(raised.value)


def test_another_format_than_asked_for_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, "a.csv", as_orc(payments(["p1"])))
    with pytest.raises(InputError, match=r"It is orc, and csv was asked for"):
        open_payments(path, format_="csv")


def test_a_small_file_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "MOST_CSV_BYTES", 1 << 30)
    line = as_csv(payments(["p1"])).splitlines(keepends=True)
    body = gzip.compress(line[0] + line[1] * 1000, compresslevel=9)
    path = put(tmp_path, "a.csv.gz", body)
    open_payments(path)
    monkeypatch.setattr(formats, "MOST_CSV_BYTES", 10_000)
    with pytest.raises(InputError, match=r"a\.csv\.gz: It unpacks to more"):
        rows(open_payments(path), tmp_path)


def test_more_rows_than_can_be_told_apart_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "MOST_ROWS", 1)
    for name, write in (("a.parquet", as_parquet), ("a.orc", as_orc)):
        with pytest.raises(InputError, match="It holds 2 rows, more than 1"):
            open_payments(put(tmp_path, name, write(payments(["p1", "p2"]))))


def test_ids_are_repeated_only_when_they_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_hashes", lambda ids: np.zeros(len(ids), np.uint64))
    ids = ["a", "b", "a", "c", "b"]
    file = open_payments(put(tmp_path, "a.parquet", as_parquet(payments(ids))))
    marked = RepeatedIds(file).mark(pa.array(ids))
    assert marked.tolist() == [False, False, True, False, True]


def test_two_columns_of_one_name_are_told(tmp_path: Path) -> None:
    lines = as_csv(payments(["p1"])).splitlines()
    body = b"\n".join([lines[0] + b",amount", lines[1] + b",3"])
    with pytest.raises(InputError, match=r"a\.csv has the column amount more than once"):
        open_payments(put(tmp_path, "a.csv", body))
