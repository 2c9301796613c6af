"""An import is whole or not at all, can be run again, and says what it refused."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops.errors import InputError, Unavailable
from mlops.objects import MemoryDocuments
from pipelines.data.imports import (
    KNOWN,
    RAGGED,
    ImportOptions,
    ImportReport,
    import_payments,
    list_manifests,
)
from pipelines.data.payments import Partition
from pipelines.data.validation import Rules

NOW = datetime(2025, 6, 1, tzinfo=UTC)


@dataclass
class MemoryTable:
    """A payments table that shows only what is registered; may fail to write one day."""

    files: dict[Partition, pa.Table] = field(default_factory=dict)
    registered: set[Partition] = field(default_factory=set)
    fail_on: str | None = None

    def create(self) -> None:
        """Nothing to make."""

    def partitions(self) -> list[Partition]:
        return sorted(self.registered, key=lambda p: (p.day, p.import_id))

    def write(self, partition: Partition, body: bytes) -> None:
        if partition.day == self.fail_on:
            raise Unavailable("S3 does not answer")
        self.files[partition] = pq.read_table(io.BytesIO(body))

    def register(self, partitions: Sequence[Partition]) -> None:
        self.registered |= set(partitions)

    def known_ids(self, ids: bytes, *, import_id: str) -> pa.Array:
        asked = set(pq.read_table(io.BytesIO(ids))["payment_id"].to_pylist())
        others = [p for p in self.registered if p.import_id != import_id]
        stored = {i for p in others for i in self.files[p]["payment_id"].to_pylist()}
        return pa.array(sorted(asked & stored), pa.string())

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [row for p in self.partitions() for row in self.files[p].to_pylist()]


@dataclass
class Shop:
    """A table and its bucket."""

    table: MemoryTable = field(default_factory=MemoryTable)
    documents: MemoryDocuments = field(default_factory=MemoryDocuments)

    def take(
        self, path: Path, *, max_bad_share: float = 0.05, dry_run: bool = False
    ) -> ImportReport:
        rules = Rules(now=NOW, currency="EUR", file_currency="EUR")
        options = ImportOptions(rules, "arn:someone", max_bad_share=max_bad_share, dry_run=dry_run)
        return import_payments(
            path, options, table=self.table, documents=self.documents, data_url="s3://data"
        )

    def quarantined(self) -> list[dict[str, Any]]:
        [key] = self.documents.keys("quarantine/")
        return list(pq.read_table(io.BytesIO(self.documents.get(key).body)).to_pylist())


@pytest.fixture
def shop() -> Shop:
    return Shop()


def payments(ids: Sequence[str], *, days: int = 3, amount: float = 10.0) -> pa.Table:
    return pa.table(
        {
            "payment_id": list(ids),
            "event_time": pa.array(
                [datetime(2025, 1, 1 + n % days, 12, tzinfo=UTC) for n in range(len(ids))],
                pa.timestamp("us", "UTC"),
            ),
            "customer_id": [f"c{n % 5}" for n in range(len(ids))],
            "terminal_id": [f"t{n % 7}" for n in range(len(ids))],
            "amount": [amount] * len(ids),
            "is_fraud": [False] * len(ids),
        }
    )


def parquet(path: Path, table: pa.Table) -> Path:
    pq.write_table(table, path)
    return path


def ids(n: int, prefix: str = "p") -> list[str]:
    return [f"{prefix}{i}" for i in range(n)]


def test_payments_are_divided_by_day(shop: Shop, tmp_path: Path) -> None:
    report = shop.take(parquet(tmp_path / "a.parquet", payments(ids(100))))
    assert report.state == "imported"
    assert report.manifest.days == ("2025-01-01", "2025-01-02", "2025-01-03")
    for partition, rows in shop.table.files.items():
        assert {f"{t:%Y-%m-%d}" for t in rows["event_time"].to_pylist()} == {partition.day}
    assert {row["payment_id"] for row in shop.table.rows} == set(ids(100))


def test_csv_is_read_by_its_header(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "payment_id,event_time,customer_id,terminal_id,amount,is_fraud,note\n"
        "0012,2025-01-01T10:00:00Z,c1,t1,5.25,true,x\n"
    )
    shop.take(path)
    assert shop.table.rows[0]["payment_id"] == "0012", "an id of digits stays text"


def test_the_same_file_is_imported_once(shop: Shop, tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", payments(ids(10)))
    first = shop.take(path)
    again = shop.take(path)
    assert again.state == "already imported"
    assert again.manifest == first.manifest
    assert len(shop.table.rows) == 10


def test_an_interrupted_import_shows_nothing_and_completes_when_run_again(
    shop: Shop, tmp_path: Path
) -> None:
    path = parquet(tmp_path / "a.parquet", payments(ids(100)))
    shop.table.fail_on = "2025-01-02"
    with pytest.raises(Unavailable):
        shop.take(path)
    assert not shop.table.rows
    assert not list_manifests(shop.documents)
    shop.table.fail_on = None
    assert shop.take(path).state == "imported"
    assert len(shop.table.rows) == 100


def test_an_import_interrupted_before_its_manifest_does_not_meet_its_own_rows(
    shop: Shop, tmp_path: Path
) -> None:
    path = parquet(tmp_path / "a.parquet", payments(ids(10)))
    shop.take(path)
    shop.documents.stored.clear()
    assert shop.take(path).manifest.rows_refused == 0


def test_late_payments_of_a_day_are_added(shop: Shop, tmp_path: Path) -> None:
    shop.take(parquet(tmp_path / "a.parquet", payments(ids(30))))
    shop.take(parquet(tmp_path / "b.parquet", payments(ids(30, "late"), days=1)))
    assert len(shop.table.rows) == 60
    assert [m.file for m in list_manifests(shop.documents)] == ["a.parquet", "b.parquet"]


def test_ids_that_occur_twice_in_the_file_are_refused_but_for_the_first(
    shop: Shop, tmp_path: Path
) -> None:
    report = shop.take(parquet(tmp_path / "a.parquet", payments([*ids(99), "p7"])))
    assert report.manifest.reasons == {"payment_id occurs before in the file": 1}
    assert shop.quarantined()[0]["row"] == 99


def test_ids_that_the_table_has_are_refused(shop: Shop, tmp_path: Path) -> None:
    shop.take(parquet(tmp_path / "a.parquet", payments(ids(30))))
    mixed = [*ids(99, "new"), "p3"]
    report = shop.take(parquet(tmp_path / "b.parquet", payments(mixed)))
    assert report.manifest.reasons == {KNOWN: 1}
    assert shop.quarantined()[0]["payment_id"] == "p3"
    assert len({row["payment_id"] for row in shop.table.rows}) == len(shop.table.rows) == 129


def test_bad_rows_are_kept_aside_and_the_others_imported(shop: Shop, tmp_path: Path) -> None:
    table = pa.concat_tables([payments(ids(99)), payments(["bad"], amount=-1.0)])
    report = shop.take(parquet(tmp_path / "a.parquet", table))
    assert (report.manifest.rows_imported, report.manifest.rows_refused) == (99, 1)
    assert report.manifest.quarantine == (
        f"s3://data/quarantine/payments/{report.manifest.import_id}.parquet"
    )
    assert shop.quarantined()[0]["reasons"] == "amount is negative"


def test_a_file_that_is_mostly_bad_is_refused_as_a_whole(shop: Shop, tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", payments(ids(10), amount=-1.0))
    with pytest.raises(InputError, match=r"10 of 10 rows are bad.*10 x amount is negative"):
        shop.take(path)
    assert not shop.table.files
    assert not shop.documents.stored


def test_a_dry_run_imports_nothing(shop: Shop, tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", payments(ids(10)))
    assert shop.take(path, dry_run=True).manifest.rows_imported == 10
    assert not shop.table.files
    assert not shop.documents.stored


def test_a_truncated_parquet_file_is_named_with_the_remedy(shop: Shop, tmp_path: Path) -> None:
    path = parquet(tmp_path / "cut.parquet", payments(ids(1000)))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"cut\.parquet cannot be read.*copy it again"):
        shop.take(path)
    assert not shop.documents.stored


def test_a_parquet_file_damaged_in_the_middle_imports_nothing(shop: Shop, tmp_path: Path) -> None:
    path = parquet(tmp_path / "torn.parquet", payments(ids(5000)))
    body = bytearray(path.read_bytes())
    body[200:4000] = bytes(3800)
    path.write_bytes(bytes(body))
    with pytest.raises(InputError, match=r"torn\.parquet cannot be read"):
        shop.take(path)
    assert not shop.table.files


def test_missing_columns_are_named(shop: Shop, tmp_path: Path) -> None:
    table = payments(ids(3)).drop_columns(["amount", "customer_id"])
    with pytest.raises(
        InputError, match=r"a\.parquet lacks customer_id or CUSTOMER_ID, amount or TX_AMOUNT"
    ):
        shop.take(parquet(tmp_path / "a.parquet", table))


def test_a_missing_file_is_named(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no file .*nowhere\.csv"):
        shop.take(tmp_path / "nowhere.csv")


def test_a_file_without_rows_is_refused(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no payments"):
        shop.take(parquet(tmp_path / "a.parquet", payments([]).cast(payments(["p"]).schema)))


def test_a_csv_line_with_another_number_of_fields_is_counted(shop: Shop, tmp_path: Path) -> None:
    lines = [f"p{n},2025-01-01T10:00:00Z,c1,t1,5.25,0" for n in range(50)]
    path = tmp_path / "a.csv"
    header = "payment_id,event_time,customer_id,terminal_id,amount,is_fraud"
    path.write_text("\n".join([header, *lines, "p99,oops"]) + "\n")
    report = shop.take(path)
    assert report.manifest.rows_imported == 50
    assert report.manifest.reasons == {RAGGED: 1}
    assert shop.quarantined()[0]["line"] == "p99,oops"


def test_a_column_of_the_wrong_type_is_told_with_the_file(shop: Shop, tmp_path: Path) -> None:
    table = payments(ids(3))
    wrong = table.set_column(table.column_names.index("is_fraud"), "is_fraud", pa.array([0.5] * 3))
    with pytest.raises(InputError, match=r"typed\.parquet: Column is_fraud holds double"):
        shop.take(parquet(tmp_path / "typed.parquet", wrong))
    assert not shop.table.files
