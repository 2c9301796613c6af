"""A landing folder in memory, and files of payments to put there."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq

from mlops.objects import MemoryDocuments
from pipelines.data.ingestion.ingest import ingest
from pipelines.data.ingestion.intake import IngestOptions
from pipelines.data.ingestion.runs import IngestRun
from pipelines.data.memory import MemorySource, MemoryTable
from pipelines.data.payments import Visible
from pipelines.data.store import Store
from pipelines.data.units import ImportOptions
from pipelines.data.validation import Rules

NOW = datetime(2025, 6, 1, tzinfo=UTC)


def payments(ids: Sequence[str], *, day: int = 1, amount: float = 10.0) -> pa.Table:
    """Payments at noon of a day of January 2025."""
    n = len(ids)
    noon = datetime(2025, 1, day, 12, tzinfo=UTC)
    return pa.table(
        {
            "payment_id": pa.array(ids, pa.string()),
            "event_time": pa.array([noon] * n, pa.timestamp("ms", "UTC")),
            "customer_id": pa.array(["c"] * n, pa.string()),
            "terminal_id": pa.array(["t"] * n, pa.string()),
            "amount": pa.array([amount] * n, pa.float64()),
            "is_fraud": pa.array([False] * n, pa.bool_()),
        }
    )


def replaced(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.chunked_array([values]))


def as_parquet(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def as_orc(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    orc.write_table(table, sink)
    return sink.getvalue()


def as_csv(table: pa.Table) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, table.column_names)
    writer.writeheader()
    writer.writerows(
        {k: v.isoformat() if isinstance(v, datetime) else v for k, v in row.items()}
        for row in table.to_pylist()
    )
    return text.getvalue().encode()


@dataclass
class Landing:
    """Files that are handed over, and the raw payments."""

    source: MemorySource = field(default_factory=MemorySource)
    documents: MemoryDocuments = field(default_factory=MemoryDocuments)
    ids: Iterator[str] = field(default_factory=lambda: map("n{}".format, itertools.count()))
    now: datetime = NOW

    def __post_init__(self) -> None:
        self.table = MemoryTable(self.documents)

    @property
    def store(self) -> Store:
        return Store(self.table, self.documents, "s3://data", lambda: next(self.ids))

    def put(self, path: str, content: pa.Table | bytes) -> None:
        body = content if isinstance(content, bytes) else as_parquet(content)
        self.source.held[path] = body

    def imports(self, **changes: Any) -> ImportOptions:
        rules = Rules(now=self.now, currency="EUR", file_currency="EUR")
        return ImportOptions(rules, "arn:someone", run="run-1", **changes)

    def ingest(self, *, dry_run: bool = False, share: float = 0.05, **changes: Any) -> IngestRun:
        imports = self.imports(dry_run=dry_run, max_bad_share=share)
        return ingest(self.source, IngestOptions(imports, **changes), store=self.store)

    def ids_seen(self, visible: Visible | None = None) -> list[str]:
        return sorted(row["payment_id"] for row in self.table.rows(visible))


def states(run: IngestRun) -> Mapping[str, str]:
    return {file.path: file.state for file in run.files}


def write(folder: Path, path: str, content: bytes) -> None:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
