"""Importing a file of payments: check, stage, publish; whole or not at all.

An import is known by the checksum of its file. Its Parquet files are written under its own id,
its partitions are registered when all of them are there, and its manifest is created last. An
interrupted import that is run again writes the same keys and completes.
"""

from __future__ import annotations

import io
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from mlops.errors import Conflict, InputError, NotFound
from mlops.objects import Documents
from pipelines.data.payments import Partition
from pipelines.data.reading import (
    PaymentFile,
    RepeatedIds,
    open_payments,
    sha256,
)
from pipelines.data.schema import ARROW, IMPORTS_PREFIX, QUARANTINE_PREFIX
from pipelines.data.validation import Checked, Rules, check

KNOWN = "payment_id is in the table already"
RAGGED = "the line has another number of fields than the header"
_UPLOADS = 8

Progress = Callable[[str, int, int | None], None]
"""Called with a step's name, how many of its units are done, and how many there are."""


class RawTable(Protocol):
    """What importing asks of the payments table."""

    def create(self) -> None:
        """Make the table where it does not exist yet."""

    def partitions(self) -> list[Partition]:
        """Every registered partition, by day."""

    def write(self, partition: Partition, body: bytes) -> None:
        """Put the partition's one file; nobody sees it before it is registered."""

    def register(self, partitions: Sequence[Partition]) -> None:
        """Make the partitions' files visible."""

    def known_ids(self, ids: bytes, *, import_id: str) -> pa.Array:
        """Which of the ids (a Parquet file) the table has from another import."""


class ImportManifest(BaseModel):
    """What an import brought; written once, when all of it is visible."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    import_id: str
    file: str
    sha256: str
    rows_read: int
    rows_imported: int
    rows_refused: int
    reasons: dict[str, int]
    """How many rows have each fault; a row may have several."""
    quarantine: str | None
    """Where the refused rows are, with their reasons."""
    days: Annotated[tuple[str, ...], Field(repr=False)]
    imported_at: datetime
    imported_by: str


class ImportReport(BaseModel):
    """What a run of the import did."""

    state: Literal["imported", "already imported", "dry run"]
    manifest: ImportManifest


@dataclass(frozen=True)
class ImportOptions:
    """How a file is to be taken in."""

    rules: Rules
    imported_by: str
    max_bad_share: float = 0.05
    dry_run: bool = False


@dataclass
class Staged:
    """A file's rows on local disk: good ones by day, bad ones with their reasons."""

    folder: Path
    rows_read: int = 0
    rows_refused: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    bad: list[pa.RecordBatch] = field(default_factory=list)

    ragged: list[str] = field(default_factory=list)
    """Lines of a CSV that have another number of fields than its header."""

    def take_ragged(self, lines: Sequence[str]) -> None:
        self.ragged.extend(lines)
        self.rows_read += len(lines)
        self.rows_refused += len(lines)
        self.reasons.update({RAGGED: len(lines)} if lines else {})

    @property
    def days(self) -> list[str]:
        return sorted(p.name.removeprefix("day=") for p in self.folder.glob("day=*"))

    def read(self, day: str, columns: list[str] | None = None) -> pa.Table:
        return pq.read_table(self.folder / f"day={day}", columns=columns, partitioning=None)


def import_payments(
    path: Path,
    options: ImportOptions,
    *,
    table: RawTable,
    documents: Documents,
    data_url: str,
    progress: Progress = lambda *_: None,
) -> ImportReport:
    """Take a file's payments into the table.

    documents: the data bucket; data_url: its s3:// address.
    Raises InputError when the file is unreadable, lacks columns, or too much of it is bad.
    """
    file = open_payments(path)
    checksum = sha256(path)
    import_id = checksum[:16]
    if (done := find_manifest(documents, import_id)) is not None:
        return ImportReport(state="already imported", manifest=done)
    with tempfile.TemporaryDirectory(prefix="mlops-import-") as folder:
        staged = _stage(file, options.rules, Path(folder) / "days", progress)
        known = _find_known(staged, table, import_id)
        staged.rows_refused += len(known)
        staged.reasons.update({KNOWN: len(known)} if len(known) else {})
        _refuse_if_too_bad(path, staged, options.max_bad_share)
        manifest = _describe(path, checksum, staged, options, data_url)
        if options.dry_run:
            return ImportReport(state="dry run", manifest=manifest)
        manifest = _publish(staged, known, manifest, table, documents, progress)
    return ImportReport(state="imported", manifest=manifest)


def find_manifest(documents: Documents, import_id: str) -> ImportManifest | None:
    try:
        body = documents.get(f"{IMPORTS_PREFIX}{import_id}.json").body
    except NotFound:
        return None
    return ImportManifest.model_validate_json(body)


def list_manifests(documents: Documents) -> list[ImportManifest]:
    """Every finished import, oldest first."""
    manifests = [
        ImportManifest.model_validate_json(documents.get(key).body)
        for key in documents.keys(IMPORTS_PREFIX)
    ]
    return sorted(manifests, key=lambda m: (m.imported_at, m.import_id))


def _stage(file: PaymentFile, rules: Rules, folder: Path, progress: Progress) -> Staged:
    staged = Staged(folder)
    folder.mkdir()
    good = _good_batches(file, rules, staged, progress)
    schema = ARROW.append(pa.field("day", pa.string()))
    ds.write_dataset(
        pa.RecordBatchReader.from_batches(schema, good),
        folder,
        format="parquet",
        partitioning=ds.partitioning(pa.schema([("day", pa.string())]), flavor="hive"),
        use_threads=False,
        max_open_files=512,
        max_partitions=50_000,
    )
    staged.take_ragged(file.ragged)
    if not staged.rows_read:
        raise InputError(f"{file.path} holds no payments.")
    return staged


def _good_batches(
    file: PaymentFile, rules: Rules, staged: Staged, progress: Progress
) -> Iterator[pa.RecordBatch]:
    repeated = RepeatedIds(file)
    for batch in file.batches():
        checked = _checked(batch, file, rules, staged, repeated)
        staged.rows_read += batch.num_rows
        staged.rows_refused += checked.bad.num_rows
        staged.reasons.update(checked.reasons)
        if checked.bad.num_rows:
            staged.bad.append(checked.bad)
        progress("checking", staged.rows_read, file.rows)
        yield _with_created_and_day(checked.good, rules.now)


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
        )
    except InputError as exc:
        raise InputError(f"{file.path}: {exc}") from exc


def _with_created_and_day(batch: pa.RecordBatch, now: datetime) -> pa.RecordBatch:
    created = pa.array([now.replace(tzinfo=None)] * batch.num_rows, ARROW.field("created").type)
    day = pc.strftime(batch.column("event_time"), format="%Y-%m-%d")
    return batch.append_column("created", created).append_column("day", day)


def _find_known(staged: Staged, table: RawTable, import_id: str) -> pa.Array:
    """Ids that another import brought before."""
    others = any(p.import_id != import_id for p in table.partitions())
    if not others or not staged.days:
        return pa.array([], pa.string())
    ids = pa.concat_tables(staged.read(day, ["payment_id"]) for day in staged.days)
    return table.known_ids(to_parquet(ids), import_id=import_id)


def _refuse_if_too_bad(path: Path, staged: Staged, max_share: float) -> None:
    share = staged.rows_refused / staged.rows_read
    if share <= max_share:
        return
    counted = "; ".join(f"{n} x {reason}" for reason, n in staged.reasons.most_common(5))
    raise InputError(
        f"{path}: {staged.rows_refused} of {staged.rows_read} rows are bad ({share:.1%}, allowed "
        f"are {max_share:.1%}): {counted}. Nothing was imported. Correct the file, or allow more: "
        "--max-bad-share."
    )


def _describe(
    path: Path, checksum: str, staged: Staged, options: ImportOptions, data_url: str
) -> ImportManifest:
    key = f"{QUARANTINE_PREFIX}{checksum[:16]}.parquet"
    return ImportManifest(
        import_id=checksum[:16],
        file=path.name,
        sha256=checksum,
        rows_read=staged.rows_read,
        rows_imported=staged.rows_read - staged.rows_refused,
        rows_refused=staged.rows_refused,
        reasons=dict(staged.reasons.most_common()),
        quarantine=f"{data_url}/{key}" if staged.rows_refused else None,
        days=tuple(staged.days),
        imported_at=options.rules.now,
        imported_by=options.imported_by,
    )


def _publish(
    staged: Staged,
    known: pa.Array,
    manifest: ImportManifest,
    table: RawTable,
    documents: Documents,
    progress: Progress,
) -> ImportManifest:
    """Files first, then what was refused, then the partitions, and the manifest last."""
    published, refused = [], []

    def write(day: str) -> tuple[Partition, int, pa.Table]:
        fresh, repeated = _split_known(staged.read(day), known)
        partition = Partition(day, manifest.import_id)
        if len(fresh):
            table.write(partition, to_parquet(fresh))
        return partition, len(fresh), repeated

    with ThreadPoolExecutor(_UPLOADS) as pool:
        for done, (partition, rows, repeated) in enumerate(pool.map(write, staged.days), start=1):
            published += [partition] if rows else []
            refused.append(repeated)
            progress("writing days", done, len(staged.days))
    if manifest.quarantine:
        key = f"{QUARANTINE_PREFIX}{manifest.import_id}.parquet"
        documents.put(key, to_parquet(_quarantine(staged, refused)))
    table.create()
    table.register(published)
    manifest = manifest.model_copy(update={"days": tuple(p.day for p in published)})
    body = manifest.model_dump_json(indent=1).encode()
    with suppress(Conflict):  # the same import, run by someone else, wrote the same files
        documents.create(f"{IMPORTS_PREFIX}{manifest.import_id}.json", body)
    return manifest


def _split_known(rows: pa.Table, known: pa.Array) -> tuple[pa.Table, pa.Table]:
    """A day's new payments in the order of their times, and those that the table has."""
    is_known = pc.is_in(rows["payment_id"], value_set=known)
    order = [("event_time", "ascending"), ("payment_id", "ascending")]
    return rows.filter(pc.invert(is_known)).sort_by(order), rows.filter(is_known)


def _quarantine(staged: Staged, known: list[pa.Table]) -> pa.Table:
    """All refused rows as text: those that broke a rule, and those that the table has already."""
    text = pa.schema([(name, pa.string()) for name in ARROW.names])
    kept = [pa.Table.from_batches([batch]) for batch in staged.bad]
    kept += [_with_reason(rows.cast(text), KNOWN) for rows in known if len(rows)]
    if staged.ragged:
        kept.append(_with_reason(pa.table({"line": staged.ragged}), RAGGED))
    return pa.concat_tables(kept, promote_options="default")


def _with_reason(rows: pa.Table, reason: str) -> pa.Table:
    return rows.append_column("reasons", pa.array([reason] * len(rows), pa.string()))


def to_parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="snappy")
    return sink.getvalue()
