"""What the footers of Parquet files say: which columns they hold, how large, in which type."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from infra.local.athena.catalog import Column
from infra.local.athena.errors import QueryFailed
from infra.local.athena.storage import StoredFile
from infra.local.athena.types import text

_KNOWN_FILES = 20_000
_READ_AS = {
    "boolean": {"BOOLEAN"},
    "tinyint": {"INT32"},
    "smallint": {"INT32"},
    "integer": {"INT32"},
    "bigint": {"INT32", "INT64"},
    "real": {"FLOAT"},
    "double": {"DOUBLE", "FLOAT"},
    "decimal": {"INT32", "INT64", "FIXED_LEN_BYTE_ARRAY", "BYTE_ARRAY"},
    "varchar": {"BYTE_ARRAY"},
    "char": {"BYTE_ARRAY"},
    "varbinary": {"BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"},
    "date": {"INT32"},
    "timestamp": {"INT96", "INT64"},
}
"""Parquet's physical types that Trino reads as a type."""


@dataclass(frozen=True)
class StoredColumn:
    """A column of one file: compressed bytes, and its physical type ('' for a nested one)."""

    bytes: int
    physical: str


FileColumns = Mapping[str, StoredColumn]
"""A file's columns by lower-case name."""


class Footers:
    """Reads footers through the engine; a file that did not change is asked once."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], FileColumns] = OrderedDict()
        self._lock = threading.Lock()

    def columns(
        self, connection: duckdb.DuckDBPyConnection, files: Sequence[StoredFile]
    ) -> list[FileColumns]:
        """Per file, its columns."""
        with self._lock:
            found = {(f.uri, f.tag): self._known.get((f.uri, f.tag)) for f in files}
        missing = [f for f in files if found[f.uri, f.tag] is None]
        if missing:
            read = _read(connection, missing)
            self._remember(read)
            found |= read
        return [found[f.uri, f.tag] or {} for f in files]

    def _remember(self, read: Mapping[tuple[str, str], FileColumns]) -> None:
        with self._lock:
            self._known.update(read)
            while len(self._known) > _KNOWN_FILES:
                self._known.popitem(last=False)


def _read(
    connection: duckdb.DuckDBPyConnection, files: Sequence[StoredFile]
) -> dict[tuple[str, str], FileColumns]:
    uris = ", ".join(text(f.uri) for f in files)
    rows = connection.execute(
        "SELECT file_name, lower(split_part(path_in_schema, ', ', 1)), "
        "CAST(sum(total_compressed_size) AS BIGINT), "
        "CASE WHEN bool_or(path_in_schema LIKE '%, %') THEN '' ELSE any_value(type) END "
        f"FROM parquet_metadata([{uris}]) GROUP BY 1, 2"
    ).fetchall()
    found: dict[str, dict[str, StoredColumn]] = {f.uri: {} for f in files}
    for uri, name, size, physical in rows:
        found[uri][name] = StoredColumn(size, physical)
    return {(f.uri, f.tag): found[f.uri] for f in files}


def check_types(
    columns: Sequence[Column], files: Sequence[StoredFile], stored: Sequence[FileColumns]
) -> None:
    """Raises HIVE_BAD_DATA when a file holds a column in a type that Athena would not read."""
    for column in columns:
        readable = _READ_AS.get(column.type.name)
        for file, held in zip(files, stored, strict=True):
            physical = held[column.name].physical if column.name in held else ""
            if readable and physical and physical not in readable:
                raise QueryFailed(
                    "HIVE_BAD_DATA",
                    f"Field {column.name}'s type {physical} in parquet file {file.uri} is "
                    f"incompatible with type {column.type} defined in table schema",
                )
