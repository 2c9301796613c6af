"""A payments table and a source in memory: working fakes with the real ones' rules, for tests."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mlops.errors import Conflict, NotFound
from mlops.objects import MemoryDocuments
from pipelines.data.ingestion.sources import SourceFile
from pipelines.data.payments import REPEATED, Partition, Visible


@dataclass
class MemoryTable:
    """Shows the rows of what is registered and visible."""

    documents: MemoryDocuments
    """Where the files are."""
    registered: set[Partition] = field(default_factory=set)
    visible: Visible = field(default_factory=Visible)

    def create(self) -> None:
        """Nothing to make."""

    def register(self, partitions: Sequence[Partition]) -> None:
        self.registered |= set(partitions)

    def unregister(self, partitions: Sequence[Partition]) -> None:
        self.registered -= set(partitions)

    def show(self, visible: Visible) -> None:
        self.visible = visible

    def repeated(self, ids: Path, visible: Visible, *, name: str) -> pa.Table:
        asked = pq.read_table(ids).to_pylist()
        stored = {row["payment_id"]: row["import_id"] for row in self.rows(visible)}
        first: dict[str, int] = {}
        for row in asked:
            unit = first.setdefault(row["payment_id"], row["unit"])
            first[row["payment_id"]] = min(unit, row["unit"])
        found = [
            {
                **row,
                "import_id": stored.get(row["payment_id"]),
                "first_unit": first[row["payment_id"]],
            }
            for row in asked
            if row["payment_id"] in stored or first[row["payment_id"]] < row["unit"]
        ]
        return pa.Table.from_pylist(found, schema=REPEATED)

    def rows(self, visible: Visible | None = None) -> list[dict[str, Any]]:
        """What readers see, by default now, with day and import_id."""
        shown = self.visible if visible is None else visible
        return [
            {**row, "day": partition.day, "import_id": partition.import_id}
            for partition in sorted(self.registered, key=lambda p: (p.day, p.import_id))
            if partition.import_id in shown
            for key in self.documents.keys(partition.prefix)
            for row in pq.read_table(io.BytesIO(self.documents.get(key).body)).to_pylist()
        ]


@dataclass
class MemorySource:
    """Files in memory, with tags as S3 gives them."""

    held: dict[str, bytes] = field(default_factory=dict)
    uri: str = "s3://landing/payments/"

    def files(self) -> Iterator[SourceFile]:
        for path, body in self.held.items():
            yield SourceFile(path, f"{self.uri}{path}", len(body), _tag(body))

    @contextmanager
    def opened(self, file: SourceFile, scratch: Path) -> Iterator[Path]:
        if file.path not in self.held:
            raise NotFound(f"{file.uri} is there no longer.")
        body = self.held[file.path]
        if _tag(body) != file.etag:
            raise Conflict(f"{file.uri} changed since it was listed. Run it again.")
        path = scratch / f"download{''.join(Path(file.path).suffixes[-2:])}"
        path.write_bytes(body)
        yield path


def _tag(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
