"""Reading payment files in batches: Parquet with its types, CSV as text."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from mlops.errors import InputError
from pipelines.data.schema import COLUMNS, match_columns
from pipelines.data.validation import Mask

BATCH_ROWS = 131_072
_MAGIC = b"PAR1"


@dataclass
class PaymentFile:
    """A file of payments that can be read more than once.

    columns: the file's name of every declared column that it has.
    rows: how many it says it holds; None where only reading tells.
    """

    path: Path
    parquet: bool
    columns: dict[str, str]
    rows: int | None
    ragged: list[str] = field(default_factory=list)
    """Lines of a CSV with another number of fields; filled while reading."""

    def batches(self, names: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The file's rows, or some of its columns. Raises InputError where it is damaged."""
        self.ragged.clear()
        with _readable(self.path):
            if self.parquet:
                with pq.ParquetFile(self.path) as file:
                    yield from file.iter_batches(BATCH_ROWS, columns=names)
            else:
                yield from _csv_batches(self.path, names, self.ragged)


def open_payments(path: Path) -> PaymentFile:
    """Find out what the file is and which columns it has.

    Raises InputError naming the file when it is missing, unreadable, or lacks columns.
    """
    if not path.is_file():
        raise InputError(f"There is no file {path}. Check the path.")
    with _readable(path):
        parquet = _is_parquet(path)
        if parquet:
            with pq.ParquetFile(path) as file:
                names, rows = file.schema_arrow.names, file.metadata.num_rows
        else:
            names, rows = _csv_names(path), None
    columns = match_columns(names)
    missing = [c for c in COLUMNS if c.required and c.name not in columns]
    if missing:
        wanted = ", ".join(" or ".join((c.name, *c.aliases)) for c in missing)
        raise InputError(
            f"{path} lacks {wanted}; it has {', '.join(names) or 'no columns'}. Rename its columns."
        )
    return PaymentFile(path, parquet, columns, rows)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class RepeatedIds:
    """Marks every occurrence of a payment id but the first; batches come in the file's order."""

    def __init__(self, file: PaymentFile) -> None:
        self._repeated = _repeated(file)
        self._met: set[str] = set()

    def mark(self, ids: pa.Array) -> Mask:
        marked = np.zeros(len(ids), dtype=bool)
        candidates = pc.is_in(ids, value_set=self._repeated, skip_nulls=True)
        for row in np.flatnonzero(candidates.to_numpy(zero_copy_only=False)):
            name = ids[row].as_py()
            marked[row] = name in self._met
            self._met.add(name)
        return marked


def _repeated(file: PaymentFile) -> pa.Array:
    column = file.columns["payment_id"]
    parts = [
        pc.utf8_trim_whitespace(batch.column(0).cast(pa.string()))
        for batch in file.batches([column])
    ]
    ids = pa.chunked_array(parts, pa.string())
    if pc.count_distinct(ids).as_py() == len(ids):
        return pa.array([], pa.string())
    counts = ids.value_counts()
    return counts.filter(pc.greater(counts.field("counts"), 1)).field("values")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as exc:
        raise InputError(
            f"{path} cannot be read: {str(exc).splitlines()[0]} It may be truncated or no "
            "Parquet or CSV at all; copy it again and compare sizes."
        ) from exc


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC or path.suffix == ".parquet"


def _csv_names(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file), [])


def _csv_batches(
    path: Path, names: list[str] | None, ragged: list[str]
) -> Iterator[pa.RecordBatch]:
    def keep(row: pa_csv.InvalidRow) -> str:
        ragged.append(row.text or f"{row.actual_columns} fields")
        return "skip"

    as_text = dict.fromkeys(_csv_names(path), pa.string())
    with pa_csv.open_csv(
        path,
        read_options=pa_csv.ReadOptions(block_size=16 << 20),
        parse_options=pa_csv.ParseOptions(invalid_row_handler=keep),
        convert_options=pa_csv.ConvertOptions(
            column_types=as_text,
            include_columns=names,
            null_values=["", "NULL", "null"],
            strings_can_be_null=True,
        ),
    ) as reader:
        yield from reader
