"""A file's rows on local disk: good ones by day, refused ones with their reasons.

Whatever a file holds, some row groups of it are in memory at a time.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from mlops.errors import InputError
from pipelines.data.formats import BATCH_ROWS
from pipelines.data.reading import PaymentFile, RepeatedIds
from pipelines.data.schema import ARROW
from pipelines.data.validation import Checked, Rules, check

KNOWN = "payment_id is in the table already"
RAGGED = "the line has another number of fields than the header"
_PART_ROWS = 4 * BATCH_ROWS

Progress = Callable[[str, int, int | None], None]
"""Called with a step's name, how many of its units are done, and how many there are."""


@dataclass
class Staged:
    """A file's rows, divided, below a folder of their own."""

    folder: Path
    rows_read: int = 0
    rows_refused: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    first_event: datetime | None = None
    last_event: datetime | None = None
    ragged: list[str] = field(default_factory=list)
    """Lines of a CSV that have another number of fields than its header."""

    def take_ragged(self, lines: Sequence[str]) -> None:
        self.ragged.extend(lines)
        self.rows_read += len(lines)
        self.rows_refused += len(lines)
        self.reasons.update({RAGGED: len(lines)} if lines else {})

    def take_times(self, times: pa.Array) -> None:
        """Widen the span of event times."""
        if not len(times):
            return
        found = pc.min_max(times.cast(pa.timestamp("ms", tz="UTC")))
        first, last = found["min"].as_py(), found["max"].as_py()
        self.first_event = min(self.first_event or first, first)
        self.last_event = max(self.last_event or last, last)

    @property
    def good(self) -> Path:
        return self.folder / "days"

    @property
    def bad(self) -> Path:
        """A Parquet file; there where a row was refused."""
        return self.folder / "refused.parquet"

    @property
    def days(self) -> list[str]:
        return sorted(p.name.removeprefix("day=") for p in self.good.glob("day=*"))

    def parts(self, day: str) -> list[Path]:
        """The day's files, each small enough to be held in memory."""
        return sorted((self.good / f"day={day}").iterdir())

    def ids(self) -> Iterator[pa.Table]:
        """The payment ids of the good rows, a part at a time."""
        for day in self.days:
            for part in self.parts(day):
                yield pq.read_table(part, columns=["payment_id"], partitioning=None)


def stage(
    file: PaymentFile, rules: Rules, folder: Path, progress: Progress = lambda *_: None
) -> Staged:
    """Read and check a file into a folder. Raises InputError when it cannot be read."""
    staged = Staged(folder)
    staged.good.mkdir(parents=True)
    with RowFile(staged.bad) as refused:
        write_days(_good_batches(file, rules, staged, refused, progress), staged.good)
    staged.take_ragged(file.ragged)
    return staged


def write_days(batches: Iterator[pa.RecordBatch], folder: Path) -> None:
    """Rows with a column `day`, as Parquet files by day."""
    ds.write_dataset(
        pa.RecordBatchReader.from_batches(ARROW.append(pa.field("day", pa.string())), batches),
        folder,
        format="parquet",
        partitioning=ds.partitioning(pa.schema([("day", pa.string())]), flavor="hive"),
        use_threads=False,
        max_open_files=512,
        max_partitions=50_000,
        max_rows_per_file=_PART_ROWS,
        max_rows_per_group=BATCH_ROWS,
    )


class RowFile:
    """Writes rows to a Parquet file as they come; makes no file where none come."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> RowFile:
        return self

    def write(self, rows: pa.RecordBatch | pa.Table) -> None:
        if not rows.num_rows:
            return
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, rows.schema)
        self._writer.write(rows)

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()


def _good_batches(
    file: PaymentFile, rules: Rules, staged: Staged, refused: RowFile, progress: Progress
) -> Iterator[pa.RecordBatch]:
    repeated = RepeatedIds(file)
    for batch in file.batches():
        checked = _checked(batch, file, rules, staged, repeated)
        staged.rows_read += batch.num_rows
        staged.rows_refused += checked.bad.num_rows
        staged.reasons.update(checked.reasons)
        staged.take_times(checked.good.column("event_time"))
        refused.write(checked.bad)
        progress("checking", staged.rows_read, file.rows)
        yield with_created_and_day(checked.good, rules.now)


def _checked(
    batch: pa.RecordBatch,
    file: PaymentFile,
    rules: Rules,
    staged: Staged,
    repeated: RepeatedIds,
) -> Checked:
    try:
        return check(
            batch,
            rules,
            columns=file.columns,
            first_row=staged.rows_read,
            seen_twice=repeated.mark,
            folders=file.folders,
        )
    except InputError as exc:
        raise InputError(f"{file.label}: {exc}") from exc


def with_created_and_day(batch: pa.RecordBatch, now: datetime) -> pa.RecordBatch:
    """What the platform adds to a row: when it took it in, and the day of its time."""
    created = pa.array([now.replace(tzinfo=None)] * batch.num_rows, ARROW.field("created").type)
    day = pc.strftime(batch.column("event_time"), format="%Y-%m-%d")
    return batch.append_column("created", created).append_column("day", day)


def write_quarantine(staged: Staged, known: Path, path: Path) -> None:
    """All refused rows as text: those that broke a rule, and those that the table has already.

    known: a Parquet file of the latter; there where there are any.
    """
    bad = pq.ParquetFile(staged.bad) if staged.bad.exists() else None
    text = [pa.field(name, pa.string()) for name in ("reasons", *ARROW.names, "line")]
    fields = {f.name: f for f in [*(bad.schema_arrow if bad else ()), *text]}
    schema = pa.schema(fields.values())
    with pq.ParquetWriter(path, schema) as writer:
        for rows in _batches(bad):
            writer.write_table(_conformed(rows, schema))
        for rows in _batches(pq.ParquetFile(known) if known.exists() else None):
            writer.write_table(_conformed(rows, schema, reason=KNOWN))
        for start in range(0, len(staged.ragged), BATCH_ROWS):
            lines = pa.table({"line": staged.ragged[start : start + BATCH_ROWS]})
            writer.write_table(_conformed(lines, schema, reason=RAGGED))


def _batches(file: pq.ParquetFile | None) -> Iterator[pa.Table]:
    if file is None:
        return
    with file:
        for batch in file.iter_batches(BATCH_ROWS):
            yield pa.Table.from_batches([batch])


def _conformed(rows: pa.Table, schema: pa.Schema, *, reason: str | None = None) -> pa.Table:
    columns = {name: rows[name] for name in rows.column_names}
    if reason is not None:
        columns["reasons"] = pa.array([reason] * len(rows), pa.string())
    empty = pa.nulls(len(rows), pa.string())
    return pa.table(
        {f.name: columns.get(f.name, empty).cast(f.type) for f in schema}, schema=schema
    )


def to_parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="snappy")
    return sink.getvalue()
