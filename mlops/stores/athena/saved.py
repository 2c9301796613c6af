"""Results that stay: tables of the configured database over Parquet files in S3."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mlops.aws import translated
from mlops.errors import Conflict, NotFound, Refused
from mlops.stores.athena.entities import hive_type
from mlops.stores.athena.session import Work
from mlops.stores.athena.staging import parquet_table

FOLDER = "saved"
_MADE_BY = "made_by"
_US = "feast-mlops"


@dataclass(frozen=True)
class Target:
    """Where a saved table goes, and where its old rows are if it replaces one."""

    table: str
    location: str
    replaces: str | None = None


def prepare(work: Work, table: str, *, replace: bool) -> Target:
    """Raises Conflict when the table exists already, Refused when it is not ours to replace."""
    location = f"{work.session.staging.rstrip('/')}/{FOLDER}/{table}/{work.run.id}/"
    found = find(work, table)
    if found is None:
        return Target(table, location)
    if not replace:
        raise Conflict(
            f"Table {work.session.database}.{table} exists already. Choose another name, or allow "
            "overwriting."
        )
    if (found.get("Parameters") or {}).get(_MADE_BY) != _US:
        raise Refused(
            f"Table {work.session.database}.{table} was not saved by this store, and is not "
            "overwritten. Choose another name, or drop it yourself."
        )
    return Target(table, location, found["StorageDescriptor"]["Location"])


def publish(work: Work, target: Target, files: list[str]) -> None:
    """Show the files as the table, in one step; then remove what it showed before."""
    columns = _columns(work, files)
    entry = parquet_table(target.table, columns, target.location, **{_MADE_BY: _US})
    glue, database = work.run.glue, work.session.database
    with translated(f"Saving table {database}.{target.table}"):
        if target.replaces is None:
            glue.create_table(DatabaseName=database, TableInput=entry)
            return
        glue.update_table(DatabaseName=database, TableInput=entry)
    old = target.replaces.rstrip("/") + "/"
    work.run.storage.delete(uri for uri, _ in work.run.storage.keys(old))


def create(work: Work, table: str, columns: dict[str, str]) -> str:
    """Make a table if it is not there; returns the folder of its rows, with '/' at its end."""
    found = find(work, table)
    if found is not None:
        return str(found["StorageDescriptor"]["Location"]).rstrip("/") + "/"
    location = f"{work.session.staging.rstrip('/')}/{FOLDER}/{table}/{work.run.id}/"
    entry = parquet_table(table, columns, location, **{_MADE_BY: _US})
    try:
        with translated(f"Creating table {work.session.database}.{table}"):
            work.run.glue.create_table(DatabaseName=work.session.database, TableInput=entry)
    except Conflict:
        return create(work, table, columns)  # somebody else made it meanwhile
    return location


def append(work: Work, table: str, data: pa.Table, path: Path, *, columns: dict[str, str]) -> None:
    """Add rows to a table by adding a file; the table is made at first."""
    location = create(work, table, columns)
    write(data, path)
    work.run.storage.upload(path, f"{location}{work.run.id}-{path.name}")


def find(work: Work, table: str) -> dict[str, Any] | None:
    return find_in(work, work.session.database, table)


def find_in(work: Work, database: str, table: str) -> dict[str, Any] | None:
    try:
        with translated(f"Reading table {database}.{table}"):
            answer = work.run.glue.get_table(DatabaseName=database, Name=table.lower())
    except NotFound:
        return None
    return dict(answer["Table"])


def write(table: pa.Table, path: Path) -> None:
    """Parquet as Athena reads it: times without zone, in UTC."""
    columns = [
        c.cast(pa.timestamp("us")) if pa.types.is_timestamp(c.type) else c for c in table.columns
    ]
    plain = pa.table(columns, names=table.column_names)
    pq.write_table(plain, path, compression="snappy", coerce_timestamps="us")


def _columns(work: Work, files: list[str]) -> dict[str, str]:
    if not files:
        raise NotFound("The result has no rows; an empty table would have no columns to show.")
    body = work.run.storage.read(files[0])
    schema = pq.read_schema(pa.BufferReader(body))
    return {field.name.lower(): hive_type(field.type, field.name) for field in schema}
