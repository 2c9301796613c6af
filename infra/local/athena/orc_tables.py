"""Tables of ORC files, read by Arrow: the engine has no reader of its own for them."""

from __future__ import annotations

import io
import uuid
from collections.abc import Sequence

import duckdb
import pyarrow as pa
from pyarrow import orc

from infra.local.athena.catalog import Column
from infra.local.athena.errors import QueryFailed
from infra.local.athena.files import Part, declared, values_by_file
from infra.local.athena.scope import Leaf
from infra.local.athena.storage import Storage, StoredFile
from infra.local.athena.types import PATH, quote


def rows(
    leaf: Leaf, parts: Sequence[Part], storage: Storage, connection: duckdb.DuckDBPyConnection
) -> str:
    """SQL over the needed columns of all files, which are in memory until the query ends."""
    table = leaf.table
    used = [(i, c) for i, c in enumerate(table.columns) if c.name in leaf.used]
    files = dict.fromkeys(file for file, _ in parts)
    by_name = table.serde_parameters.get("orc.column.index.access", "true").lower() == "false"
    read = [_read(storage, file, used, by_name=by_name) for file in files]
    name = f"orc_{uuid.uuid4().hex}"
    connection.register(name, pa.concat_tables(read, promote_options="permissive"))
    items = [_item(column, used=column.name in leaf.used) for column in table.columns]
    items += [f"f.{quote(PATH)}"] if PATH in leaf.used else []
    if not table.partition_keys:
        return f"SELECT {', '.join(items)} FROM {name} AS f"
    items += [f"p.{quote(key.name)}" for key in table.partition_keys]
    path = quote(PATH)
    return (
        f"SELECT {', '.join(items)} FROM {name} AS f "
        f"JOIN ({values_by_file(table, parts)}) AS p ON f.{path} = p.{path}"
    )


def _read(
    storage: Storage, file: StoredFile, used: Sequence[tuple[int, Column]], *, by_name: bool
) -> pa.Table:
    """The used columns of one file under the table's names: by position, unless by name."""
    try:
        source = orc.ORCFile(io.BytesIO(storage.read(file.uri)))
    except (pa.ArrowInvalid, OSError) as exc:
        raise QueryFailed("HIVE_BAD_DATA", f"Not a valid ORC file: {file.uri}: {exc}") from exc
    held = source.schema.names
    lower = [name.lower() for name in held]
    found: dict[str, str] = {}
    for index, column in used:
        if by_name and column.name in lower:
            found[column.name] = held[lower.index(column.name)]
        elif not by_name and index < len(held):
            found[column.name] = held[index]
    read = source.read(columns=sorted(set(found.values())))
    columns = {
        column.name: read.column(found[column.name])
        if column.name in found
        else pa.nulls(source.nrows)
        for _, column in used
    }
    paths = pa.DictionaryArray.from_arrays(
        pa.array([0] * source.nrows, pa.int32()), pa.array([file.uri])
    )
    return pa.table({**columns, PATH: paths.cast(pa.string())})


def _item(column: Column, *, used: bool) -> str:
    name = quote(column.name)
    return f"{declared(f'f.{name}' if used else 'NULL', column)} AS {name}"
