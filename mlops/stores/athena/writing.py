"""Writing rows: into the table under a feature view, and into a table of logged features."""

from __future__ import annotations

import functools
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from mlops.aws import translated
from mlops.errors import Conflict, InputError, NotFound, Refused
from mlops.stores.athena import saved
from mlops.stores.athena.entities import hive_type
from mlops.stores.athena.session import Session, Work
from mlops.stores.athena.types import arrow_type

_ROWS = 1_000_000
"""At most so many rows in a file."""


def write_batch(
    session: Session, source: Any, rows: pa.Table, progress: Callable[[int], Any] | None
) -> None:
    """Append rows to the table of a source, by its day partitions where it has some.

    Raises InputError when columns differ from the table's, NotFound when there is no table, Refused
    when it is a view or a query.
    """
    if source.query:
        raise Refused(f"Source '{source.name}' is a query, and cannot be written to.")
    database = session.relations.database_of(source)
    with session.run() as work:
        table = saved.find_in(work, database, source.table)
        if table is None:
            raise NotFound(
                f"Table {database}.{source.table} does not exist in the Glue catalog; create it "
                "before rows are written to it."
            )
        if table.get("TableType") == "VIRTUAL_VIEW":
            raise Refused(
                f"{database}.{source.table} is a view, and cannot be written to. Write to the "
                "table that it shows."
            )
        fitted = _fitted(rows, table, source)
        for values, part in _partitioned(fitted, table):
            location = _location(table, values)
            for piece in _pieces(part):
                _add_file(work, piece, location)
                if progress is not None:
                    progress(piece.num_rows)
            if values:
                _add_partition(work, table, values, location)


def write_log(session: Session, table: str, rows: pa.Table | Path) -> None:
    """Append logged features to a table of the configured database, which is made at first."""
    data = ds.dataset(str(rows)).to_table() if isinstance(rows, Path) else rows
    columns = {field.name.lower(): hive_type(field.type, field.name) for field in data.schema}
    with session.run() as work, tempfile.TemporaryDirectory(prefix="mlops-log-") as folder:
        saved.append(work, table, data, Path(folder) / "logged.parquet", columns=columns)


def _fitted(rows: pa.Table, table: Mapping[str, Any], source: Any) -> pa.Table:
    """The rows with the table's columns in its order and types; a day is taken from the time."""
    stored = [*table["StorageDescriptor"]["Columns"], *(table.get("PartitionKeys") or ())]
    given = {name.lower(): rows[name] for name in rows.column_names}
    day = (source.date_partition_column or "").lower()
    if day and day not in given:
        given[day] = pc.strftime(given[source.timestamp_field.lower()], "%Y-%m-%d")
    names = [column["Name"].lower() for column in stored]
    missing, extra = sorted(set(names) - set(given)), sorted(set(given) - set(names))
    if missing or extra:
        raise InputError(
            f"The rows do not fit table {table['DatabaseName']}.{table['Name']}: missing "
            f"{', '.join(missing) or 'nothing'}, unknown {', '.join(extra) or 'nothing'}."
        )
    columns = [_as_stored(given[c["Name"].lower()], c["Type"], c["Name"]) for c in stored]
    return pa.table(columns, names=names)


def _as_stored(values: pa.ChunkedArray, hive: str, column: str) -> pa.ChunkedArray:
    kind = arrow_type(hive)
    if kind is None or hive.startswith("decimal") or hive == "date":
        return values
    try:
        return values.cast(kind, safe=not pa.types.is_timestamp(kind))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
        raise InputError(f"Column '{column}' does not fit {hive}: {exc}.") from exc


def _partitioned(
    rows: pa.Table, table: Mapping[str, Any]
) -> Iterator[tuple[dict[str, str], pa.Table]]:
    keys = [key["Name"].lower() for key in table.get("PartitionKeys") or ()]
    if not keys:
        yield {}, rows
        return
    for row in rows.select(keys).group_by(keys).aggregate([]).to_pylist():
        chosen = functools.reduce(pc.and_, (pc.equal(rows[key], row[key]) for key in keys))
        values = {key: str(row[key]) for key in keys}
        yield values, rows.filter(chosen).drop_columns(keys)


def _location(table: Mapping[str, Any], values: Mapping[str, str]) -> str:
    folder = str(table["StorageDescriptor"]["Location"]).rstrip("/") + "/"
    return folder + "".join(f"{key}={value}/" for key, value in values.items())


def _pieces(rows: pa.Table) -> Iterator[pa.Table]:
    for start in range(0, rows.num_rows, _ROWS):
        yield rows.slice(start, _ROWS)


def _add_file(work: Work, rows: pa.Table, location: str) -> None:
    with tempfile.TemporaryDirectory(prefix="mlops-write-") as folder:
        path = Path(folder) / "rows.parquet"
        saved.write(rows, path)
        work.run.storage.upload(path, f"{location}{uuid.uuid4().hex}.parquet")


def _add_partition(
    work: Work, table: Mapping[str, Any], values: Mapping[str, str], location: str
) -> None:
    storage = {**table["StorageDescriptor"], "Location": location}
    try:
        with translated(f"Adding a partition to {table['DatabaseName']}.{table['Name']}"):
            work.run.glue.create_partition(
                DatabaseName=table["DatabaseName"],
                TableName=table["Name"],
                PartitionInput={"Values": list(values.values()), "StorageDescriptor": storage},
            )
    except Conflict:
        return  # the partition is there already, at the same place
