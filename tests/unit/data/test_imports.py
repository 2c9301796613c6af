"""An import is whole or not at all, can be run again, and says what it refused."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops.errors import InputError, Unavailable
from mlops.objects import Document, MemoryDocuments
from pipelines.data.imports import ImportReport, import_payments
from pipelines.data.manifests import list_manifests
from pipelines.data.memory import MemoryTable
from pipelines.data.payments import Visible
from pipelines.data.staging import KNOWN, RAGGED
from pipelines.data.store import Store
from pipelines.data.units import ImportOptions
from pipelines.data.validation import Rules

NOW = datetime(2025, 6, 1, tzinfo=UTC)


@dataclass
class FailingDocuments(MemoryDocuments):
    """A bucket that may fail to take one key."""

    fail_on: str | None = None

    def put(self, key: str, body: bytes, *, etag: str | None = None) -> Document:
        if self.fail_on and self.fail_on in key:
            raise Unavailable("S3 does not answer")
        return super().put(key, body, etag=etag)


@dataclass
class FailingTable(MemoryTable):
    """A table whose view may not be replaced."""

    fail_to_show: bool = False

    def show(self, visible: Visible) -> None:
        if self.fail_to_show:
            raise Unavailable("Athena does not answer")
        super().show(visible)


@dataclass
class Shop:
    """A table and its bucket."""

    documents: FailingDocuments = field(default_factory=FailingDocuments)
    ids: Iterator[str] = field(default_factory=lambda: map("i{}".format, itertools.count()))

    def __post_init__(self) -> None:
        self.table = FailingTable(self.documents)

    def take(
        self, path: Path, *, max_bad_share: float = 0.05, dry_run: bool = False
    ) -> ImportReport:
        rules = Rules(now=NOW, currency="EUR", file_currency="EUR")
        options = ImportOptions(rules, "arn:someone", max_bad_share=max_bad_share, dry_run=dry_run)
        store = Store(self.table, self.documents, "s3://data", lambda: next(self.ids))
        return import_payments(path, options, store=store)

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
    assert all(f"{row['event_time']:%Y-%m-%d}" == row["day"] for row in shop.table.rows())
    assert {row["payment_id"] for row in shop.table.rows()} == set(ids(100))


def test_csv_is_read_by_its_header(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "payment_id,event_time,customer_id,terminal_id,amount,is_fraud,note\n"
        "0012,2025-01-01T10:00:00Z,c1,t1,5.25,true,x\n"
    )
    shop.take(path)
    assert shop.table.rows()[0]["payment_id"] == "0012", "an id of digits stays text"


def test_the_same_file_is_imported_once(shop: Shop, tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", payments(ids(10)))
    first = shop.take(path)
    again = shop.take(path)
    assert again.state == "already imported"
    assert again.manifest == first.manifest
    assert len(shop.table.rows()) == 10


def test_an_interrupted_import_shows_nothing_and_completes_when_run_again(
    shop: Shop, tmp_path: Path
) -> None:
    path = parquet(tmp_path / "a.parquet", payments(ids(100)))
    shop.documents.fail_on = "day=2025-01-02"
    with pytest.raises(Unavailable):
        shop.take(path)
    assert not shop.table.rows()
    assert not list_manifests(shop.documents)
    shop.documents.fail_on = None
    assert shop.take(path).state == "imported"
    assert len(shop.table.rows()) == 100


def test_an_interrupted_import_leaves_no_file(shop: Shop, tmp_path: Path) -> None:
    shop.documents.fail_on = "imports/payments/"
    with pytest.raises(Unavailable):
        shop.take(parquet(tmp_path / "a.parquet", payments(ids(10))))
    assert not shop.documents.stored


def test_an_import_that_was_noted_but_not_shown_is_shown_by_the_next(
    shop: Shop, tmp_path: Path
) -> None:
    shop.table.fail_to_show = True
    with pytest.raises(Unavailable):
        shop.take(parquet(tmp_path / "a.parquet", payments(ids(10))))
    assert not shop.table.rows()
    shop.table.fail_to_show = False
    report = shop.take(parquet(tmp_path / "b.parquet", payments([*ids(99, "q"), "p7"])))
    assert report.manifest.reasons == {KNOWN: 1}
    assert len(shop.table.rows()) == 109
    assert len(list_manifests(shop.documents)) == 2


def test_late_payments_of_a_day_are_added(shop: Shop, tmp_path: Path) -> None:
    shop.take(parquet(tmp_path / "a.parquet", payments(ids(30))))
    shop.take(parquet(tmp_path / "b.parquet", payments(ids(30, "late"), days=1)))
    assert len(shop.table.rows()) == 60
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
    assert len({row["payment_id"] for row in shop.table.rows()}) == len(shop.table.rows()) == 129


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
    assert not shop.documents.stored


def test_a_dry_run_imports_nothing(shop: Shop, tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", payments(ids(10)))
    assert shop.take(path, dry_run=True).manifest.rows_imported == 10
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
    assert not shop.documents.stored


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
    assert not shop.documents.stored
