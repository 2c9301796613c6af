"""Athena's types as Feast wants them in Arrow: times in UTC, decimals as doubles."""

from __future__ import annotations

import re

import pyarrow as pa

from mlops.stores.athena.sql import base_type

_SIMPLE = {
    "boolean": pa.bool_(),
    "tinyint": pa.int32(),
    "smallint": pa.int32(),
    "int": pa.int32(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float32(),
    "real": pa.float32(),
    "double": pa.float64(),
    "decimal": pa.float64(),
    "string": pa.string(),
    "varchar": pa.string(),
    "char": pa.string(),
    "binary": pa.binary(),
    "varbinary": pa.binary(),
    "date": pa.timestamp("us", tz="UTC"),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
}
_ARRAY = re.compile(r"^array\s*[<(](.*)[>)]$", re.IGNORECASE)


def arrow_type(athena_type: str) -> pa.DataType | None:
    """None for what has no one Arrow type here (maps, rows): what Athena wrote stays."""
    inner = _ARRAY.match(athena_type.strip())
    if inner:
        element = arrow_type(inner[1])
        return pa.list_(element) if element is not None else None
    return _SIMPLE.get(base_type(athena_type))
