"""Reading a table: its partitions pruned, its files listed, its columns as Glue declares them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

import duckdb

from infra.local.athena.catalog import Catalog, Column, Partition, Table
from infra.local.athena.errors import unsupported
from infra.local.athena.footers import FileColumns, Footers, check_types
from infra.local.athena.scope import Leaf
from infra.local.athena.storage import Storage, StoredFile, folder, split_uri
from infra.local.athena.types import Type, duck, quote, text

NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class Scan:
    """A table's rows as SQL of the engine.

    bytes: what Athena would bill, the compressed size of the needed columns in all files of the
    partitions that are left. Row groups that statistics rule out are counted, though not read.
    """

    sql: str
    bytes: int


class Scanner:
    """Turns the tables that a query names into SQL over their files."""

    def __init__(self, catalog: Catalog, storage: Storage, footers: Footers) -> None:
        self._catalog = catalog
        self._storage = storage
        self._footers = footers

    def scan(self, leaf: Leaf, connection: duckdb.DuckDBPyConnection) -> Scan:
        table = leaf.table
        _check_format(table)
        if table.partition_keys:
            partitions = prune(leaf, self._catalog.partitions(table), connection)
            parts = list_partitions(self._storage, partitions)
        else:
            parts = [(file, ()) for file in self._storage.files(folder(table.location))]
        if not parts:
            return Scan(_no_rows(table.all_columns), 0)
        files = [file for file, _ in parts]
        stored = self._footers.columns(connection, files)
        used = [column for column in table.columns if column.name in leaf.used]
        check_types(used, files, stored)
        scanned = sum(held[c.name].bytes for held in stored for c in used if c.name in held)
        return Scan(_reader(table, parts, stored), scanned)


def _check_format(table: Table) -> None:
    if "parquet" not in table.serde.lower():
        raise unsupported(f"reading '{table.full_name}': its SerDe is {table.serde or 'not given'}")


def prune(
    leaf: Leaf, partitions: Sequence[Partition], connection: duckdb.DuckDBPyConnection
) -> list[Partition]:
    """The partitions whose values can meet the query's conditions, as the engine decides them."""
    if not leaf.predicates or not partitions:
        return list(partitions)
    keys = leaf.table.partition_keys
    rows = ", ".join(
        f"({index}, {_row(partition.values, keys)})" for index, partition in enumerate(partitions)
    )
    names = ", ".join(quote(key.name) for key in keys)
    condition = " AND ".join(leaf.predicates)
    found = connection.execute(
        f"SELECT i FROM (VALUES {rows}) AS p(i, {names}) WHERE {condition} ORDER BY i"
    ).fetchall()
    return [partitions[index] for (index,) in found]


def _row(values: Sequence[str], keys: Sequence[Column]) -> str:
    return ", ".join(_value(v, key.type) for v, key in zip(values, keys, strict=True))


def _value(value: str, kind: Type) -> str:
    if value == NULL_PARTITION:
        return f"CAST(NULL AS {duck(kind)})"
    return f"CAST({text(value)} AS {duck(kind)})"


def list_partitions(
    storage: Storage, partitions: Sequence[Partition]
) -> list[tuple[StoredFile, tuple[str, ...]]]:
    """Every file of the partitions with its partition's values, in as few listings as can be."""
    by_bucket: dict[str, list[tuple[str, Partition]]] = {}
    for partition in partitions:
        bucket, prefix = split_uri(folder(partition.location))
        by_bucket.setdefault(bucket, []).append((prefix, partition))
    found: list[tuple[StoredFile, tuple[str, ...]]] = []
    for bucket, pairs in by_bucket.items():
        pairs.sort(key=lambda pair: pair[0])
        found += _merge(_listing(storage, bucket, [prefix for prefix, _ in pairs]), pairs)
    return found


def _listing(storage: Storage, bucket: str, prefixes: list[str]) -> Iterable[StoredFile]:
    """One listing over what the prefixes share, from the first to the last of them."""
    shared = os.path.commonprefix(prefixes)  # noqa: RUF071 - prefixes of S3 are characters
    last = prefixes[-1]
    for file in storage.files(f"s3://{bucket}/{shared}", start_after=prefixes[0]):
        key = split_uri(file.uri)[1]
        if key > last and not key.startswith(last):
            return
        yield file


def _merge(
    files: Iterable[StoredFile], pairs: Sequence[tuple[str, Partition]]
) -> Iterable[tuple[StoredFile, tuple[str, ...]]]:
    """Match files with partitions, both in the order of their keys."""
    index = 0
    for file in files:
        key = split_uri(file.uri)[1]
        while (
            index < len(pairs) - 1 and not key.startswith(pairs[index][0]) and key > pairs[index][0]
        ):
            index += 1
        for prefix, partition in pairs[index : index + 1]:
            if key.startswith(prefix):
                yield file, partition.values


def _no_rows(columns: Sequence[Column]) -> str:
    items = [f"CAST(NULL AS {duck(c.type)}) AS {quote(c.name)}" for c in columns]
    return f"SELECT {', '.join(items) or '1'} WHERE FALSE"


def _reader(
    table: Table,
    parts: Sequence[tuple[StoredFile, tuple[str, ...]]],
    stored: Sequence[FileColumns],
) -> str:
    """Every column of the table; the engine leaves out by itself what the query does not use."""
    present = {name for held in stored for name in held}
    differs = any(set(held) != present for held in stored)
    files = ", ".join(text(file.uri) for file, _ in parts)
    options = ["union_by_name = true"] if differs else []
    items = [_as_declared(column, column.name in present) for column in table.columns]
    if not table.partition_keys or _paths_say_it(table, parts):
        items += [quote(key.name) for key in table.partition_keys]
        source = f"read_parquet([{files}], {', '.join([*options, *_hive_options(table)])})"
    else:
        items += [f"p.{quote(key.name)}" for key in table.partition_keys]
        options.append("hive_partitioning = false")
        source = (
            f"read_parquet([{files}], {', '.join(options)}) AS f "
            f'JOIN ({_values_by_file(table, parts)}) AS p ON f.filename = p."$path"'
        )
    return f"SELECT {', '.join(items)} FROM {source}"


def _hive_options(table: Table) -> list[str]:
    if not table.partition_keys:
        return ["hive_partitioning = false"]
    kinds = ", ".join(f"{quote(key.name)}: {duck(key.type)}" for key in table.partition_keys)
    return [
        "hive_partitioning = true",
        "hive_types_autocast = false",
        f"hive_types = {{{kinds}}}",
    ]


def _as_declared(column: Column, present: bool) -> str:
    """The column as its type in Glue says; times to the millisecond, as Athena reads Hive's."""
    name, kind = quote(column.name), duck(column.type)
    if not present:
        return f"CAST(NULL AS {kind}) AS {name}"
    if column.type.name == "timestamp":
        return f"CAST(CAST(CAST({name} AS TIMESTAMP) AS TIMESTAMP_MS) AS TIMESTAMP) AS {name}"
    return f"CAST({name} AS {kind}) AS {name}"


def _paths_say_it(table: Table, parts: Sequence[tuple[StoredFile, tuple[str, ...]]]) -> bool:
    """Whether every path holds key=value of all partition columns, and nothing that clashes."""
    names = [key.name for key in table.partition_keys]
    data = {column.name for column in table.columns}
    for file, values in parts:
        pairs = [part.partition("=") for part in file.uri.split("/")[3:-1] if "=" in part]
        found = {name.lower(): unquote(value) for name, _, value in pairs}
        if [found.get(name) for name in names] != list(values) or data & set(found):
            return False
        if NULL_PARTITION in values or len(found) != len(pairs):
            return False
    return True


def _values_by_file(table: Table, parts: Sequence[tuple[StoredFile, tuple[str, ...]]]) -> str:
    keys = table.partition_keys
    rows = ", ".join(f"({text(file.uri)}, {_row(values, keys)})" for file, values in parts)
    names = ", ".join(quote(key.name) for key in keys)
    return f'SELECT * FROM (VALUES {rows}) AS v("$path", {names})'
