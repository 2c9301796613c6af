"""Reading a table: the files that a query needs of it, each column as Glue declares it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import duckdb

from infra.local.athena import json_tables, orc_tables, text_tables
from infra.local.athena.catalog import Catalog, Column, Table
from infra.local.athena.files import Part, list_partitions, prune, reading
from infra.local.athena.footers import FileColumns, Footers, check_types
from infra.local.athena.formats import CSV, JSON, OPENX, ORC, PARQUET, TEXT, format_of
from infra.local.athena.projection import is_projected, project
from infra.local.athena.scope import Leaf
from infra.local.athena.storage import Storage, folder
from infra.local.athena.types import duck, quote


@dataclass(frozen=True)
class Scan:
    """A table's rows as SQL of the engine.

    bytes: what Athena would bill, the compressed size of the needed columns in all files of the
    partitions that are left; of text formats the whole files. Row groups that statistics rule out
    are counted, though not read.
    """

    sql: str
    bytes: int


LineReader = Callable[[Table, Sequence[Part]], str]
_LINE_READERS: dict[str, LineReader] = {
    TEXT.name: text_tables.delimited,
    CSV.name: text_tables.quoted,
    JSON.name: json_tables.documents,
    OPENX.name: json_tables.documents,
}


class Scanner:
    """Turns the tables that a query names into SQL over their files."""

    def __init__(self, catalog: Catalog, storage: Storage, footers: Footers) -> None:
        self._catalog = catalog
        self._storage = storage
        self._footers = footers

    def scan(self, leaf: Leaf, connection: duckdb.DuckDBPyConnection) -> Scan:
        table = leaf.table
        form = format_of(table)
        parts = self._parts(leaf, connection)
        if not parts:
            return Scan(_no_rows(table.all_columns), 0)
        if form == PARQUET:
            return self._parquet(leaf, parts, connection)
        size = sum(file.size for file, _ in parts)
        if form == ORC:
            return Scan(orc_tables.rows(leaf, parts, self._storage, connection), size)
        return Scan(_LINE_READERS[form.name](table, parts), size)

    def _parts(self, leaf: Leaf, connection: duckdb.DuckDBPyConnection) -> list[Part]:
        table = leaf.table
        if not table.partition_keys:
            return [(file, ()) for file in self._storage.files(folder(table.location))]
        if is_projected(table):
            partitions = project(leaf, connection)
        else:
            partitions = prune(leaf, self._catalog.partitions(table), connection)
        return list_partitions(self._storage, partitions)

    def _parquet(
        self, leaf: Leaf, parts: Sequence[Part], connection: duckdb.DuckDBPyConnection
    ) -> Scan:
        table, files = leaf.table, [file for file, _ in parts]
        stored = self._footers.columns(connection, files)
        used = [column for column in table.columns if column.name in leaf.used]
        check_types(used, files, stored)
        scanned = sum(held[c.name].bytes for held in stored for c in used if c.name in held)
        return Scan(_parquet_rows(table, parts, stored), scanned)


def _no_rows(columns: Sequence[Column]) -> str:
    items = [f"CAST(NULL AS {duck(c.type)}) AS {quote(c.name)}" for c in columns]
    return f"SELECT {', '.join(items) or '1'} WHERE FALSE"


def _parquet_rows(table: Table, parts: Sequence[Part], stored: Sequence[FileColumns]) -> str:
    """Every column of the table; the engine leaves out by itself what the query does not use."""
    present = {name for held in stored for name in held}
    differs = any(set(held) != present for held in stored)
    options = ["union_by_name = true"] if differs else []
    source, keys = reading(table, parts, "read_parquet", options)
    items = [_as_declared(column, column.name in present) for column in table.columns]
    return f"SELECT {', '.join(items + keys)} FROM {source}"


def _as_declared(column: Column, present: bool) -> str:
    """The column as its type in Glue says; times to the millisecond, as Athena reads Hive's."""
    name, kind = quote(column.name), duck(column.type)
    if not present:
        return f"CAST(NULL AS {kind}) AS {name}"
    if column.type.name == "timestamp":
        return f"CAST(CAST(CAST({name} AS TIMESTAMP) AS TIMESTAMP_MS) AS TIMESTAMP) AS {name}"
    return f"CAST({name} AS {kind}) AS {name}"
