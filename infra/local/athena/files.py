"""Which files a query reads of a table: its partitions pruned, their folders listed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import pairwise
from urllib.parse import unquote

import duckdb

from infra.local.athena.catalog import Column, Partition, Table
from infra.local.athena.scope import Leaf
from infra.local.athena.storage import Storage, StoredFile, folder, split_uri
from infra.local.athena.types import PATH, Type, duck, quote, text

NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
Part = tuple[StoredFile, tuple[str, ...]]
"""A file, and the values of the partition that it lies in."""


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


def list_partitions(storage: Storage, partitions: Sequence[Partition]) -> list[Part]:
    """Every file of the partitions with its partition's values, in as few listings as can be."""
    by_bucket: dict[str, list[tuple[str, Partition]]] = {}
    for partition in partitions:
        bucket, prefix = split_uri(folder(partition.location))
        by_bucket.setdefault(bucket, []).append((prefix, partition))
    found: list[Part] = []
    for bucket, pairs in by_bucket.items():
        pairs.sort(key=lambda pair: pair[0])
        if _overlap([prefix for prefix, _ in pairs]):
            found += _one_by_one(storage, bucket, pairs)
        else:
            found += _merge(_listing(storage, bucket, [prefix for prefix, _ in pairs]), pairs)
    return found


def _overlap(prefixes: Sequence[str]) -> bool:
    """Whether a partition lies where another one does, or inside it; they come sorted."""
    return any(after.startswith(before) for before, after in pairwise(prefixes))


def _one_by_one(
    storage: Storage, bucket: str, pairs: Sequence[tuple[str, Partition]]
) -> Iterable[Part]:
    """A file in several partitions is read for each of them."""
    listed = {prefix: list(storage.files(f"s3://{bucket}/{prefix}")) for prefix, _ in pairs}
    for prefix, partition in pairs:
        for file in listed[prefix]:
            yield file, partition.values


def _listing(storage: Storage, bucket: str, prefixes: list[str]) -> Iterable[StoredFile]:
    """One listing over what the prefixes share, from the first to the last of them."""
    shared = os.path.commonprefix(prefixes)  # noqa: RUF071 - prefixes of S3 are characters
    last = prefixes[-1]
    for file in storage.files(f"s3://{bucket}/{shared}", start_after=prefixes[0]):
        key = split_uri(file.uri)[1]
        if key > last and not key.startswith(last):
            return
        yield file


def _merge(files: Iterable[StoredFile], pairs: Sequence[tuple[str, Partition]]) -> Iterable[Part]:
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


def reading(
    leaf: Leaf, parts: Sequence[Part], function: str, options: Sequence[str]
) -> tuple[str, list[str]]:
    """A FROM clause over the files by a function of the engine's, and the columns of partitions.

    Where the query names "$path", that is the last of them.
    """
    table, paths = leaf.table, []
    if PATH in leaf.used:
        options = [*options, f"filename = {text(PATH)}"]
        paths = [quote(PATH)]
    files = ", ".join(text(file.uri) for file, _ in parts)
    if not table.partition_keys or _paths_say_it(table, parts):
        keys = [quote(key.name) for key in table.partition_keys]
        source = f"{function}([{files}], {', '.join([*options, *_hive_options(table)])})"
        return source, keys + paths
    plain = ["hive_partitioning = false", *([] if paths else [f"filename = {text(PATH)}"])]
    files = ", ".join(text(uri) for uri in dict.fromkeys(file.uri for file, _ in parts))
    source = (
        f"{function}([{files}], {', '.join([*options, *plain])}) AS f "
        f"JOIN ({values_by_file(table, parts)}) AS p ON f.{quote(PATH)} = p.{quote(PATH)}"
    )
    keys = [f"p.{quote(key.name)}" for key in table.partition_keys]
    return source, keys + [f"p.{path}" for path in paths]


def _hive_options(table: Table) -> list[str]:
    if not table.partition_keys:
        return ["hive_partitioning = false"]
    kinds = ", ".join(f"{quote(key.name)}: {duck(key.type)}" for key in table.partition_keys)
    return [
        "hive_partitioning = true",
        "hive_types_autocast = false",
        f"hive_types = {{{kinds}}}",
    ]


def _paths_say_it(table: Table, parts: Sequence[Part]) -> bool:
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


def values_by_file(table: Table, parts: Sequence[Part]) -> str:
    keys = table.partition_keys
    rows = ", ".join(f"({text(file.uri)}, {_row(values, keys)})" for file, values in parts)
    names = ", ".join(quote(key.name) for key in keys)
    return f"SELECT * FROM (VALUES {rows}) AS v({quote(PATH)}, {names})"


def declared(sql: str, column: Column) -> str:
    """A stored value as its column's type; times to the millisecond, as Athena reads Hive's."""
    if column.type.name == "timestamp":
        return f"CAST(CAST(CAST({sql} AS TIMESTAMP) AS TIMESTAMP_MS) AS TIMESTAMP)"
    return f"CAST({sql} AS {duck(column.type)})"
