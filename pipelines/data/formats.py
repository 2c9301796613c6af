"""The formats that payment files come in: Parquet and ORC with their types, CSV as text.

Each reads a file in batches, so that some row groups, stripes or blocks of it are in memory.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.orc as pa_orc
import pyarrow.parquet as pq

from mlops.errors import InputError

BATCH_ROWS = 131_072
MOST_ROWS = 100_000_000
"""In one file: the ids of all of them are told apart in memory, by 8 bytes each."""
MOST_GROUP_BYTES = 8 << 30
"""In one row group, unpacked."""
MOST_CSV_BYTES = 64 << 30
"""In one CSV, unpacked: a small gzip file can hold a thousand times its size."""

_UTC_MS = pa.timestamp("ms", tz="UTC")
_INT96_IN_UTC = (b"org.apache.spark.version", b"writer.time.zone")
"""Notes of Spark and Hive in the footer: they write INT96 in UTC, Impala in the wall's time."""


class Format(Protocol):
    """An open file's way of being read."""

    rows: int | None
    """How many it says it holds; None where only reading tells."""

    @property
    def names(self) -> Sequence[str]:
        """Of the columns, in the file's order."""

    @property
    def schema(self) -> dict[str, str]:
        """Column names with the types that the file gives them."""

    def batches(self, names: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        """The rows, or some of the columns."""

    @property
    def ragged(self) -> Sequence[str]:
        """Lines that are no rows; complete once every row was read."""


@dataclass
class ParquetFormat:
    """Parquet. Times in INT96 are read to the millisecond, whatever their year."""

    path: Path
    ragged: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        with self._open() as file:
            metadata, self._arrow = file.metadata, file.schema_arrow
            self.rows = metadata.num_rows
            physical = [file.schema.column(i) for i in range(len(file.schema))]
            noted = {**(metadata.metadata or {})}
            groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
            largest = max((group.total_byte_size for group in groups), default=0)
        self._int96 = {c.name for c in physical if c.physical_type == "INT96"}
        self._in_utc = self._int96 if any(key in noted for key in _INT96_IN_UTC) else set()
        _refuse_rows(self.rows)
        if largest > MOST_GROUP_BYTES:
            raise InputError(
                f"A row group of it unpacks to {largest / 2**30:.0f} GiB, more than "
                f"{MOST_GROUP_BYTES >> 30}. Write smaller row groups (parquet.block.size)."
            )

    @property
    def names(self) -> Sequence[str]:
        return list(self._arrow.names)

    @property
    def schema(self) -> dict[str, str]:
        return {
            field.name: f"{field.type} (INT96)" if field.name in self._int96 else str(field.type)
            for field in self._arrow
        }

    def batches(self, names: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        with self._open() as file:
            columns = None if names is None else list(names)
            for batch in file.iter_batches(BATCH_ROWS, columns=columns):
                yield self._with_zone(batch)

    def _with_zone(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        for position, name in enumerate(batch.schema.names):
            if name in self._in_utc:
                times = batch.column(position).cast(pa.timestamp("ms")).cast(_UTC_MS)
                batch = batch.set_column(position, name, times)
        return batch

    def _open(self) -> pq.ParquetFile:
        return pq.ParquetFile(self.path, coerce_int96_timestamp_unit="ms")


@dataclass
class OrcFormat:
    """ORC. A TIMESTAMP is the writer's wall time; WITH LOCAL TIME ZONE is a moment."""

    path: Path
    ragged: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        file = pa_orc.ORCFile(self.path)
        self.rows = file.nrows
        self._arrow = file.schema
        _refuse_rows(self.rows)

    @property
    def names(self) -> Sequence[str]:
        return list(self._arrow.names)

    @property
    def schema(self) -> dict[str, str]:
        return {field.name: str(field.type) for field in self._arrow}

    def batches(self, names: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        file = pa_orc.ORCFile(self.path)
        columns = None if names is None else list(names)
        for stripe in range(file.nstripes):
            rows = file.read_stripe(stripe, columns=columns)
            for start in range(0, rows.num_rows, BATCH_ROWS):
                yield rows.slice(start, BATCH_ROWS)


class CsvFormat:
    """CSV with a header, in UTF-8, plain or gzip; every value is text."""

    rows: int | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ragged: list[str] = []
        with self._open() as file:
            text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
            self.names: Sequence[str] = next(csv.reader(text), [])

    @property
    def schema(self) -> dict[str, str]:
        return dict.fromkeys(self.names, "text")

    def batches(self, names: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        self.ragged.clear()
        with self._open() as file, self._reader(file, names) as reader:
            yield from reader

    def _reader(self, file: IO[bytes], names: Sequence[str] | None) -> pa_csv.CSVStreamingReader:
        return pa_csv.open_csv(
            file,
            read_options=pa_csv.ReadOptions(block_size=16 << 20),
            parse_options=pa_csv.ParseOptions(invalid_row_handler=self._keep),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(self.names, pa.string()),
                include_columns=None if names is None else list(names),
                null_values=["", "NULL", "null", "\\N"],
                strings_can_be_null=True,
            ),
        )

    def _keep(self, row: pa_csv.InvalidRow) -> str:
        self.ragged.append(row.text or f"{row.actual_columns} fields")
        return "skip"

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        with self.path.open("rb") as file:
            packed = file.read(2) == _GZIP
            file.seek(0)
            if not packed:
                yield file
                return
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield io.BufferedReader(_Bounded(unpacked))


class _Bounded(io.RawIOBase):
    """Ends with an error when it has given more bytes than a CSV may have."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file = file
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # any buffer
        data = self._file.read(len(buffer))
        self._given += len(data)
        if self._given > MOST_CSV_BYTES:
            raise InputError(
                f"It unpacks to more than {MOST_CSV_BYTES >> 30} GiB. Split it, or write Parquet."
            )
        buffer[: len(data)] = data
        return len(data)


_GZIP = b"\x1f\x8b"
_FORMATS: dict[str, Callable[[Path], Format]] = {
    "parquet": ParquetFormat,
    "orc": OrcFormat,
    "csv": CsvFormat,
}
FORMATS = ("auto", *_FORMATS)


def open_format(path: Path, wanted: str) -> Format:
    """The file in the wanted format; 'auto' finds out which it is."""
    found = detect_format(path)
    if wanted not in ("auto", found):
        raise InputError(f"It is {found}, and {wanted} was asked for. Use --format auto.")
    return _FORMATS[found](path)


def detect_format(path: Path) -> str:
    """By the first bytes, else by the name, else CSV."""
    with path.open("rb") as file:
        magic = file.read(4)
    if magic == b"PAR1" or path.suffix in {".parquet", ".parq"}:
        return "parquet"
    if magic[:3] == b"ORC" or path.suffix == ".orc":
        return "orc"
    return "csv"


def _refuse_rows(rows: int) -> None:
    if rows > MOST_ROWS:
        raise InputError(f"It holds {rows:,} rows, more than {MOST_ROWS:,}. Split it.")
