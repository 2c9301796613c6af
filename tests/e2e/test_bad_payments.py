"""Bad payment files, as a person imports them: told with the remedy, and nothing is lost."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.local.lifecycle import LocalAws
from mlops.names import Role
from tests.commands import mlops

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)

pytestmark = pytest.mark.xdist_group("bad-payments")


def payments(*ids: str) -> pa.Table:
    n = len(ids)
    return pa.table(
        {
            "payment_id": list(ids),
            "event_time": pa.array([NOON] * n, pa.timestamp("ms", "UTC")),
            "customer_id": ["c"] * n,
            "terminal_id": ["t"] * n,
            "amount": pa.array([Decimal("9.99")] * n, pa.decimal128(18, 2)),
            "currency": ["EUR"] * n,
            "is_fraud": [False] * n,
        }
    )


def ids(n: int, prefix: str) -> list[str]:
    return [f"{prefix}-{i}" for i in range(n)]


def replaced(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.chunked_array([values]))


def import_file(local: LocalAws, file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return mlops(
        *("data", "import", str(file), "--json", *options),
        environment=local.environment(Role.JENKINS),
    )


def stored(local: LocalAws) -> dict[str, str]:
    """Every object of the data bucket, with its checksum."""
    pages = local.client("s3").get_paginator("list_objects_v2")
    found = pages.paginate(Bucket=local.names.data_bucket)
    return {one["Key"]: one["ETag"] for page in found for one in page.get("Contents", ())}


@pytest.fixture(scope="module")
def shop(platform: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> LocalAws:
    """A platform that has fifty payments already."""
    file = tmp_path_factory.mktemp("good") / "good.parquet"
    pq.write_table(payments(*ids(50, "known")), file)
    done = import_file(platform, file)
    assert done.returncode == 0, done.stderr
    return platform


def truncated(file: Path) -> None:
    pq.write_table(payments(*ids(1000, "cut")), file)
    file.write_bytes(file.read_bytes()[:-100])


def wrong_type(file: Path) -> None:
    table = payments(*ids(100, "typed"))
    pq.write_table(replaced(table, "is_fraud", pa.array([0.5] * 100)), file)


def without_zone(file: Path) -> None:
    table = payments(*ids(100, "naive"))
    naive = pa.array([NOON.replace(tzinfo=None)] * 100, pa.timestamp("ms"))
    pq.write_table(replaced(table, "event_time", naive), file)


def mostly_negative(file: Path) -> None:
    table = payments(*ids(100, "minus"))
    pq.write_table(replaced(table, "amount", pa.array([-1.0] * 100)), file)


def mostly_known(file: Path) -> None:
    pq.write_table(payments(*ids(50, "known"), "new"), file)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (truncated, ["bad.parquet cannot be read", "copy it again"]),
        (wrong_type, ["is_fraud", "bad.parquet"]),
        (without_zone, ["event_time", "bad.parquet", "--timezone"]),
        (mostly_negative, ["bad.parquet", "100 of 100 rows are bad", "amount is negative"]),
        (mostly_known, ["bad.parquet", "50 of 51 rows are bad", "payment_id"]),
    ],
)
def test_a_bad_file_is_refused_whole(
    shop: LocalAws, tmp_path: Path, spoil: Callable[[Path], None], told: list[str]
) -> None:
    file = tmp_path / "bad.parquet"
    spoil(file)
    before = stored(shop)
    done = import_file(shop, file)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert [part for part in told if part not in done.stderr] == []
    assert stored(shop) == before


def test_bad_rows_of_a_good_file_are_kept_aside_and_counted(shop: LocalAws, tmp_path: Path) -> None:
    good = payments(*ids(200, "mixed"), "mixed-7", "known-7", "minus")
    amounts = [Decimal("9.99")] * 202 + [Decimal("-0.01")]
    file = tmp_path / "mixed.parquet"
    pq.write_table(replaced(good, "amount", pa.array(amounts, pa.decimal128(18, 2))), file)
    done = import_file(shop, file)
    assert done.returncode == 0, done.stderr
    manifest = json.loads(done.stdout)["manifest"]
    assert (manifest["rows_imported"], manifest["rows_refused"]) == (200, 3)
    bucket, _, key = manifest["quarantine"].removeprefix("s3://").partition("/")
    body = shop.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    kept = pq.read_table(io.BytesIO(body)).to_pylist()
    assert {row["payment_id"]: row["amount"] for row in kept} == {
        "mixed-7": "9.99",
        "known-7": "9.99",
        "minus": "-0.01",
    }
    assert all(reason in manifest["reasons"] for row in kept for reason in [row["reasons"]])


def test_a_file_refused_for_its_times_is_imported_when_the_zone_is_said(
    shop: LocalAws, tmp_path: Path
) -> None:
    file = tmp_path / "naive.parquet"
    without_zone(file)
    refused = import_file(shop, file)
    done = import_file(shop, file, "--timezone", "UTC")
    assert (refused.returncode, done.returncode) == (2, 0), done.stderr
    assert json.loads(done.stdout)["manifest"]["rows_imported"] == 100
