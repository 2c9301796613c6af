"""Writing rows: into the table under a feature view, and into a table of logged features."""

from __future__ import annotations

import functools
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from mlops.aws import translated
from mlops.errors import Conflict, NotFound, Refused
from mlops.stores.athena import saved
from mlops.stores.athena.entities import hive_type
from mlops.stores.athena.fitting import Target, field_rule, fit
from mlops.stores.athena.session import Session, Work

_ROWS = 1_000_000
"""At most so many rows in a file."""


def write_batch(
    session: Session, view: Any, rows: pa.Table, progress: Callable[[int], Any] | None
) -> None:
    """Append rows to the table under a view, by its day partitions where it has some.

    Raises InputError when they do not fit, and then nothing is written; NotFound when there is no
    table, Refused when it is a view or a query. What was written is removed again when it could
    not be written to its end; only a killed process leaves a part.
    """
    source = view.batch_source
    if source.query:
        raise Refused(f"Source '{source.name}' is a query, and cannot be written to.")
    with session.run() as work:
        table = _find(work, session.relations.database_of(source), source.table)
        fitted = fit(rows, _target(table, view, session.latest))
        if not fitted.num_rows:
            return
        with _removed_on_failure(work) as written:
            for values, part in _partitioned(fitted, table):
                location = _location(table, values)
                for piece in _pieces(part):
                    written.append(_add_file(work, piece, location))
                    if progress is not None:
                        progress(piece.num_rows)
                if values:
                    _add_partition(work, table, values, location)


def _find(work: Work, database: str, name: str) -> Mapping[str, Any]:
    table = saved.find_in(work, database, name)
    if table is None:
        raise NotFound(
            f"Table {database}.{name} does not exist in the Glue catalog; create it before rows "
            "are written to it."
        )
    if table.get("TableType") == "VIRTUAL_VIEW":
        raise Refused(
            f"{database}.{name} is a view, and cannot be written to. Write to the table that it "
            "shows; a feature table's rows come from 'mlops features build' alone."
        )
    return table


def _target(table: Mapping[str, Any], view: Any, latest: datetime | None) -> Target:
    """What the table and the view ask of rows; Feast's names turned back into the table's."""
    source = view.batch_source
    stored = {mapped: column for column, mapped in source.field_mapping.items()}
    fields = {stored.get(f.name, f.name).lower(): f for f in (*view.entity_columns, *view.features)}
    columns = [*table["StorageDescriptor"]["Columns"], *(table.get("PartitionKeys") or ())]
    return Target(
        title=f"table {table['DatabaseName']}.{table['Name']}",
        columns={column["Name"].lower(): column["Type"] for column in columns},
        keys=tuple(stored.get(f.name, f.name).lower() for f in view.entity_columns),
        event_time=source.timestamp_field.lower(),
        created=(source.created_timestamp_column or "").lower() or None,
        day=(source.date_partition_column or "").lower() or None,
        partitions=tuple(key["Name"].lower() for key in table.get("PartitionKeys") or ()),
        rules={
            name: field_rule(f.tags, title=f"Field '{f.name}' of view '{view.name}'")
            for name, f in fields.items()
        },
        renamed=stored,
        latest=latest,
    )


@contextmanager
def _removed_on_failure(work: Work) -> Iterator[list[str]]:
    """The addresses of what is written, which are removed when writing fails or is interrupted."""
    written: list[str] = []
    try:
        yield written
    except BaseException:
        work.run.storage.delete(written)
        raise


def write_log(session: Session, table: str, rows: pa.Table | Path) -> None:
    """Append logged features to a table of the configured database, which is made at first."""
    data = ds.dataset(str(rows)).to_table() if isinstance(rows, Path) else rows
    columns = {field.name.lower(): hive_type(field.type, field.name) for field in data.schema}
    with session.run() as work, tempfile.TemporaryDirectory(prefix="mlops-log-") as folder:
        saved.append(work, table, data, Path(folder) / "logged.parquet", columns=columns)


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


def _add_file(work: Work, rows: pa.Table, location: str) -> str:
    """Its address."""
    uri = f"{location}{uuid.uuid4().hex}.parquet"
    with tempfile.TemporaryDirectory(prefix="mlops-write-") as folder:
        path = Path(folder) / "rows.parquet"
        saved.write(rows, path)
        work.run.storage.upload(path, uri)
    return uri


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
