"""Results of Athena as Arrow: unloaded as Parquet, read by column chunk, in a known order."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlops.aws import translated
from mlops.errors import JobFailed, MlopsError
from mlops.stores.athena.execution import Executions, Finished
from mlops.stores.athena.join import ROW
from mlops.stores.athena.sql import name
from mlops.stores.athena.staging import TABLES, Run, Storage, split_uri

Way = Literal["auto", "unload", "ctas"]
INSTANT = pa.timestamp("us", tz="UTC")
_READERS = 8
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Unloaded:
    """A query's rows as Parquet files in S3, in no order."""

    location: str
    files: tuple[tuple[str, int], ...]
    """Addresses and sizes."""
    query: Finished


def unload(
    executions: Executions,
    run: Run,
    sql: str,
    *,
    way: Way = "auto",
    location: str | None = None,
    timeout: float | None = None,
) -> Unloaded:
    """Write a query's rows as Parquet: by UNLOAD, or where a workgroup forbids it, by CTAS.

    location: an empty folder; by default one that goes with the run. A place that the caller
    names needs an UNLOAD.
    """
    if way != "ctas" or location is not None:
        target = location or f"{run.prefix}{uuid.uuid4().hex}/"
        try:
            done = executions.run(
                unload_sql(sql, target),
                output=run.results,
                timeout=timeout,
                before_retry=lambda: run.storage.delete(uri for uri, _ in run.storage.keys(target)),
            )
        except MlopsError as exc:
            if way == "unload" or location is not None or not _forbidden(exc):
                raise
        else:
            run.note(done.outputs)
            return Unloaded(target, tuple(run.storage.data_files(target)), done)
    return _unload_by_table(executions, run, sql, timeout)


def unload_sql(sql: str, target: str, *, partitioned_by: str | None = None) -> str:
    """partitioned_by: the last column, whose values become folders."""
    by = f", partitioned_by = ARRAY['{partitioned_by}']" if partitioned_by else ""
    return f"UNLOAD (\n{sql}\n) TO '{target}' WITH (format = 'PARQUET', compression = 'SNAPPY'{by})"


def _forbidden(error: MlopsError) -> bool:
    """Whether a workgroup that decides on output locations, or a policy, refused the UNLOAD."""
    text = str(error).lower()
    return "output location" in text or ("unload" in text and "not supported" in text)


def _unload_by_table(executions: Executions, run: Run, sql: str, timeout: float | None) -> Unloaded:
    """Through a table that Athena places itself; its files are noted for removal."""
    table = f"{TABLES}{run.id}_{len(run.tables)}"
    run.tables.append(table)
    statement = (
        f"CREATE TABLE {name(run.database)}.{name(table)} "
        f"WITH (format = 'PARQUET', write_compression = 'SNAPPY') AS\n{sql}"
    )
    done = executions.run(statement, output=run.results, timeout=timeout)
    run.note(done.outputs)
    with translated(f"Reading table {run.database}.{table}"):
        found = run.glue.get_table(DatabaseName=run.database, Name=table)["Table"]
    location = found["StorageDescriptor"]["Location"].rstrip("/") + "/"
    run.note(uri for uri, _ in run.storage.keys(location))
    return Unloaded(location, tuple(run.storage.data_files(location)), done)


class S3File(io.RawIOBase):
    """One object of S3 that is read where a reader seeks to, in blocks of 1 MiB and more."""

    def __init__(self, storage: Storage, uri: str, size: int) -> None:
        super().__init__()
        self._s3 = storage.s3
        self._uri = uri
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        bucket, key = split_uri(self._uri)
        span = f"bytes={self._at}-{self._at + wanted - 1}"
        with translated(f"Reading {self._uri}"):
            body = self._s3.get_object(Bucket=bucket, Key=key, Range=span)["Body"].read()
        buffer[: len(body)] = body
        self._at += len(body)
        return len(body)


def stream(storage: Storage, unloaded: Unloaded, *, rows: int) -> Iterator[pa.RecordBatch]:
    """Batches of at most so many rows; one row group of one file is in memory at a time."""
    for uri, size in unloaded.files:
        buffered = io.BufferedReader(S3File(storage, uri, size), _BLOCK)
        with pq.ParquetFile(buffered, pre_buffer=False) as file:
            yield from file.iter_batches(batch_size=rows)


def read(storage: Storage, unloaded: Unloaded) -> pa.Table | None:
    """Everything as one table; None where there are no rows, since then there is no file."""

    def one(file: tuple[str, int]) -> pa.Table:
        return pq.read_table(pa.BufferReader(storage.read(file[0])))

    if not unloaded.files:
        return None
    with ThreadPoolExecutor(_READERS) as pool:
        return pa.concat_tables(pool.map(one, unloaded.files), promote_options="permissive")


def in_order(table: pa.Table, rows: int, *, complete: bool) -> pa.Table:
    """The rows by their ordinals, without them.

    complete: whether every ordinal must be there; else a missing one becomes a row of nulls.
    Raises JobFailed when an ordinal is there twice, or missing though it must not.
    """
    ordinals = table[ROW].to_numpy()
    rest = table.drop_columns([ROW])
    if len(ordinals) == rows and (ordinals == np.arange(rows)).all():
        return rest
    places = np.full(rows, -1, dtype=np.int64)
    places[ordinals] = np.arange(len(ordinals))
    found = int((places >= 0).sum())
    if found != len(ordinals) or (complete and found != rows):
        raise JobFailed(
            f"The join answered {len(ordinals)} rows for {rows} entity rows, {found} of them "
            "different. Do not use it; report the query."
        )
    return rest.take(pa.array(places, mask=places < 0))


def typed(table: pa.Table, types: Mapping[str, pa.DataType | None]) -> pa.Table:
    """Columns renamed to and cast as declared: decimals become doubles, naive times are UTC."""
    columns = [
        cast(column, kind) for column, kind in zip(table.columns, types.values(), strict=True)
    ]
    return pa.table(columns, names=list(types))


def cast(column: pa.ChunkedArray, kind: pa.DataType | None) -> pa.ChunkedArray:
    """A column in a declared type; None leaves it as Athena wrote it.

    A decimal becomes the nearest double. A value that the type cannot hold raises JobFailed.
    """
    if kind is None or column.type == kind:
        return column
    if pa.types.is_timestamp(kind) and pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("us"))
    if pa.types.is_string(kind) and not _is_text(column.type):
        return pa.chunked_array([[None if v is None else str(v) for v in column.to_pylist()]], kind)
    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
        raise JobFailed(
            f"A feature is {column.type} in Athena and does not fit its declared type {kind}: "
            f"{exc}. Correct its dtype in feature_repo/."
        ) from exc


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)
    )


def empty(types: Mapping[str, pa.DataType | None], rows: int = 0) -> pa.Table:
    """So many rows of nulls."""
    return pa.table({name: pa.nulls(rows, kind or pa.null()) for name, kind in types.items()})


def in_utc(table: pa.Table) -> pa.Table:
    """Athena's timestamps have no zone and are in UTC; Feast's have one."""
    columns = [
        column.cast(pa.timestamp("us", tz="UTC")) if pa.types.is_timestamp(column.type) else column
        for column in table.columns
    ]
    return pa.table(columns, names=table.column_names)
