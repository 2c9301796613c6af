"""Loading a Parquet file into a table of its own: what a model needs beside payments.

A table grows by files. A corrected row comes in a later file with a later created time, which is
how the point-in-time join chooses.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from mlops.athena import Queries
from mlops.aws import Aws, translated
from mlops.errors import InputError, NotFound, Refused
from mlops.names import Names
from mlops.objects import Documents
from pipelines.data.schema import TABLE

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TYPES: Mapping[pa.DataType, str] = {
    pa.int8(): "tinyint",
    pa.int16(): "smallint",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    pa.string(): "string",
    pa.large_string(): "string",
    pa.date32(): "date",
    pa.timestamp("ms"): "timestamp",
}


class LoadReport(BaseModel):
    """What a load did, or would do."""

    table: str
    file: str
    rows: int
    columns: dict[str, str]
    """Athena's types by name."""
    state: Literal["loaded", "already loaded", "dry run"]


def load_file(
    table: str,
    file: Path,
    *,
    names: Names,
    aws: Aws,
    queries: Queries,
    documents: Documents,
    dry_run: bool = False,
) -> LoadReport:
    """Add a file's rows to a table, made where there is none; the same bytes are added once.

    documents: the data bucket. Times become UTC with milliseconds, as Athena has them.
    Raises NotFound without the file, InputError for what is no table, Refused when the table has
    other columns or is one that the platform builds.
    """
    rows = to_athena(_read(file), file)
    columns = {field.name: _TYPES[field.type] for field in rows.schema}
    _require_ours(table)
    existing = table_columns(aws, names, table)
    if existing is not None and existing != columns:
        raise Refused(
            f"Table '{table}' has the columns {_shown(existing)}, {file} has {_shown(columns)}. "
            "Load a file with the table's columns, or give the table another name."
        )
    body = _parquet(rows)
    key = f"raw/{table}/{hashlib.sha256(body).hexdigest()[:32]}.parquet"
    there = existing is not None and key in set(documents.keys(f"raw/{table}/"))
    if not there and not dry_run:
        queries.run(_create_sql(table, columns, names))
        documents.put(key, body)
    state: Literal["loaded", "already loaded", "dry run"]
    state = "already loaded" if there else "dry run" if dry_run else "loaded"
    return LoadReport(table=table, file=file.name, rows=len(rows), columns=columns, state=state)


def table_columns(aws: Aws, names: Names, table: str) -> dict[str, str] | None:
    """A table's columns with their types; None when there is no such table."""
    try:
        with translated(f"Reading table '{table}'"):
            found = aws.client("glue").get_table(DatabaseName=names.database, Name=table)
    except NotFound:
        return None
    return {c["Name"]: c["Type"] for c in found["Table"]["StorageDescriptor"]["Columns"]}


def to_athena(rows: pa.Table, file: Path) -> pa.Table:
    """The rows in types that Athena has. Raises InputError naming the columns that it has not."""
    for place, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type):
            # Athena's timestamps have milliseconds; what is finer is cut, never rounded up.
            times = rows[field.name].cast(pa.timestamp("ms"), safe=False)
            rows = rows.set_column(place, field.name, times)
    wrong = [f"{f.name} ({f.type})" for f in rows.schema if f.type not in _TYPES]
    wrong += [f"{name} (its name)" for name in rows.column_names if not _NAME.fullmatch(name)]
    if wrong:
        raise InputError(
            f"{file} has columns that no table can have: {', '.join(wrong)}. Names are small "
            "letters, digits and underscores; values are numbers, texts, booleans, dates or times."
        )
    return rows


def _read(file: Path) -> pa.Table:
    try:
        return pq.read_table(file)
    except FileNotFoundError as exc:
        raise NotFound(f"There is no file {file}.") from exc
    except (pa.ArrowInvalid, OSError) as exc:
        raise InputError(f"{file} is no Parquet file: {exc}") from exc


def _require_ours(table: str) -> None:
    if not _NAME.fullmatch(table):
        raise InputError(f"'{table}' cannot name a table: small letters, digits, underscores.")
    if table in {TABLE, f"{TABLE}_rows"}:
        raise Refused(f"'{table}' holds the payments. Import them: 'mlops data import FILE'.")


def _create_sql(table: str, columns: Mapping[str, str], names: Names) -> str:
    lines = ",\n  ".join(f"`{name}` {kind}" for name, kind in columns.items())
    return (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS `{names.database}`.`{table}` (\n  {lines}\n)\n"
        f"STORED AS PARQUET\nLOCATION 's3://{names.data_bucket}/raw/{table}/'"
    )


def _parquet(rows: pa.Table) -> bytes:
    packed = io.BytesIO()
    pq.write_table(rows.replace_schema_metadata(None), packed, compression="snappy")
    return packed.getvalue()


def _shown(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in columns.items())
