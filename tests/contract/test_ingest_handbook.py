"""Published payments, handed over in Hive folders in each format, are those of the whole file."""

from __future__ import annotations

import gzip
import itertools
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from pipelines.data.imports import import_payments
from pipelines.data.ingestion.ingest import ingest
from pipelines.data.ingestion.intake import IngestOptions
from pipelines.data.ingestion.sources import LocalSource
from pipelines.data.units import ImportOptions
from pipelines.data.validation import Rules
from tests.unit.data.landing import NOW, Landing, as_csv, as_orc, as_parquet, states, write

FILE = Path(os.environ.get("MLOPS_SHARED_DATA", "../shared/data")).joinpath(
    "fraud_handbook", "transactions_raw.parquet"
)
DAYS = 2
pytestmark = pytest.mark.skipif(
    not FILE.exists(), reason=f"needs {FILE}: set MLOPS_SHARED_DATA to the published data"
)
OPTIONS = ImportOptions(
    Rules(now=NOW, currency="EUR", file_currency="EUR", timezone="UTC"), "arn:someone"
)


@pytest.fixture(scope="module")
def sample() -> pa.Table:
    first = datetime(2018, 4, 1)  # noqa: DTZ001  # the file's times bear no zone
    until = pa.scalar(first.replace(day=1 + DAYS), pa.timestamp("ns"))
    return ds.dataset(FILE).to_table(filter=ds.field("TX_DATETIME") < until)


@pytest.fixture(scope="module")
def whole(sample: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The table after the sample was imported as one file."""
    path = tmp_path_factory.mktemp("whole") / "sample.parquet"
    pq.write_table(sample, path)
    landing = Landing()
    import_payments(path, OPTIONS, store=landing.store)
    return rows(landing)


def rows(landing: Landing) -> list[dict[str, Any]]:
    found = [{k: v for k, v in r.items() if k != "import_id"} for r in landing.table.rows()]
    return sorted(found, key=lambda r: r["payment_id"])


def as_int96(table: pa.Table) -> bytes:
    return as_parquet(table, use_deprecated_int96_timestamps=True)


def as_gzip(table: pa.Table) -> bytes:
    return gzip.compress(as_csv(table), compresslevel=1)


@pytest.mark.parametrize(
    ("name", "encode"), [("parquet", as_int96), ("orc", as_orc), ("csv.gz", as_gzip)]
)
def test_hive_folders_of_a_format_give_the_table_of_the_whole_file(
    sample: pa.Table,
    whole: list[dict[str, Any]],
    tmp_path: Path,
    name: str,
    encode: Callable[[pa.Table], bytes],
) -> None:
    days = pc.strftime(sample["TX_DATETIME"], format="%Y-%m-%d")
    for day, half in itertools.product(days.unique().to_pylist(), range(2)):
        of_day = sample.filter(pc.equal(days, day))
        part = of_day.slice(half * (len(of_day) // 2), None if half else len(of_day) // 2)
        write(tmp_path, f"day={day}/part-{half}.{name}", encode(part))
    landing = Landing()
    run = ingest(LocalSource(tmp_path), IngestOptions(OPTIONS), store=landing.store)
    assert list(states(run).values()) == ["imported"] * 2 * DAYS
    assert len(whole) == len(sample)
    assert rows(landing) == whole
