"""Reading a table: the files that a query needs of it, each column as Glue declares it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import duckdb

from infra.local.athena import json_tables, orc_tables, text_tables
from infra.local.athena.catalog import Catalog, Column, Partition
from infra.local.athena.files import Part, declared, list_partitions, prune, reading
from infra.local.athena.footers import FileColumns, Footers, check_types
from infra.local.athena.formats import CSV, JSON, OPENX, ORC, PARQUET, TEXT, format_of
from infra.local.athena.projection import is_projected, project
from infra.local.athena.scope import Leaf
from infra.local.athena.storage import Storage, folder
from infra.local.athena.types import PATH, duck, quote


@dataclass(frozen=True)
class Scan:
    """A table's rows as SQL of the engine.

    bytes: what Athena would bill, the compressed size of the needed columns in all files of the
    partitions that are left; of text formats the whole files. Row groups that statistics rule out
    are counted, though not read.
    """

    sql: str
    bytes: int


LineReader = Callable[[Leaf, Sequence[Part]], str]
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
            return Scan(_no_rows(leaf), 0)
        if form == PARQUET:
            return self._parquet(leaf, parts, connection)
        size = sum(file.size for file, _ in parts)
        if form == ORC:
            return Scan(orc_tables.rows(leaf, parts, self._storage, connection), size)
        return Scan(_LINE_READERS[form.name](leaf, parts), size)

    def partitions(
        self, leaf: Leaf, connection: duckdb.DuckDBPyConnection
    ) -> list[Partition] | None:
        """The partitions that a query reads; None for a table that has none."""
        if not leaf.table.partition_keys:
            return None
        if is_projected(leaf.table):
            return project(leaf, connection)
        return prune(leaf, self._catalog.partitions(leaf.table), connection)

    def _parts(self, leaf: Leaf, connection: duckdb.DuckDBPyConnection) -> list[Part]:
        partitions = self.partitions(leaf, connection)
        if partitions is None:
            return [(file, ()) for file in self._storage.files(folder(leaf.table.location))]
        return list_partitions(self._storage, partitions)

    def _parquet(
        self, leaf: Leaf, parts: Sequence[Part], connection: duckdb.DuckDBPyConnection
    ) -> Scan:
        table, files = leaf.table, [file for file, _ in parts]
        stored = self._footers.columns(connection, files)
        used = [column for column in table.columns if column.name in leaf.used]
        check_types(used, files, stored)
        scanned = sum(held[c.name].bytes for held in stored for c in used if c.name in held)
        return Scan(_parquet_rows(leaf, parts, stored), scanned)


def _no_rows(leaf: Leaf) -> str:
    columns = leaf.table.all_columns
    items = [f"CAST(NULL AS {duck(c.type)}) AS {quote(c.name)}" for c in columns]
    items += [f"CAST(NULL AS VARCHAR) AS {quote(PATH)}"] if PATH in leaf.used else []
    return f"SELECT {', '.join(items) or '1'} WHERE FALSE"


def _parquet_rows(leaf: Leaf, parts: Sequence[Part], stored: Sequence[FileColumns]) -> str:
    """Every column of the table; the engine leaves out by itself what the query does not use."""
    table = leaf.table
    present = {name for held in stored for name in held}
    differs = any(set(held) != present for held in stored)
    options = ["union_by_name = true"] if differs else []
    source, keys = reading(leaf, parts, "read_parquet", options)
    items = [_as_declared(column, column.name in present) for column in table.columns]
    return f"SELECT {', '.join(items + keys)} FROM {source}"


def _as_declared(column: Column, present: bool) -> str:
    name = quote(column.name)
    return f"{declared(name if present else 'NULL', column)} AS {name}"
