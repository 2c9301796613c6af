"""A checksum of rows that knows nothing of files: the same rows give it, however they are stored.

Per column, names and types, which values are there, and the values' bytes in order go into hashes
that only grow, so that it does not matter in which pieces the rows come.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_INTEGERS = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}


class ContentHash:
    """Fed with the rows in their order, piece by piece."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._rows = 0
        self._columns = [[hashlib.sha256() for _ in range(3)] for _ in schema]

    def update(self, rows: pa.Table) -> None:
        """Raises ValueError when the rows have other columns."""
        if not rows.schema.equals(self._schema):
            raise ValueError(f"rows of {rows.schema}, not of {self._schema}")
        self._rows += rows.num_rows
        for hashes, column in zip(self._columns, rows.columns, strict=True):
            for chunk in column.chunks:
                for hash_, part in zip(hashes, _parts(chunk), strict=True):
                    hash_.update(part)

    def hexdigest(self) -> str:
        described = [
            [field.name, str(field.type), *(hash_.hexdigest() for hash_ in hashes)]
            for field, hashes in zip(self._schema, self._columns, strict=True)
        ]
        return hashlib.sha256(json.dumps([self._rows, described]).encode()).hexdigest()


def content_sha256(rows: pa.Table) -> str:
    """The checksum of a whole table."""
    hash_ = ContentHash(rows.schema)
    hash_.update(rows)
    return hash_.hexdigest()


def _parts(values: pa.Array) -> Iterator[Any]:
    """Which values are there, the lengths of those that have one, and their bytes."""
    yield np.ascontiguousarray(values.is_valid().to_numpy(zero_copy_only=False))
    plain = comparable(values)
    if pa.types.is_large_binary(plain.type):
        filled = plain.fill_null(b"")
        yield pc.binary_length(filled).to_numpy(zero_copy_only=False).astype("<i8")
        yield _characters(filled)
        return
    yield b""
    yield plain.fill_null(0).to_numpy(zero_copy_only=False)


def comparable(values: pa.Array) -> pa.Array:
    """Values as integers or bytes, equal where the values are equal bit by bit."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return comparable(values.cast(kind.value_type))
    if pa.types.is_boolean(kind):
        return values.cast(pa.int8())
    if pa.types.is_integer(kind):
        return values
    if pa.types.is_floating(kind) or pa.types.is_temporal(kind):
        return values.view(_INTEGERS[kind.bit_width])
    if pa.types.is_nested(kind):
        texts = [None if v is None else json.dumps(v, default=str) for v in values.to_pylist()]
        return pa.array(texts, pa.string()).cast(pa.large_binary())
    if pa.types.is_decimal(kind):
        values = values.cast(pa.string())
    return values.cast(pa.large_binary())


def _characters(values: pa.Array) -> memoryview:
    """The bytes of all values, one behind the other."""
    _, offsets, data = values.buffers()
    if data is None:
        return memoryview(b"")
    found = np.frombuffer(offsets, dtype=np.int64)[values.offset : values.offset + len(values) + 1]
    return memoryview(data)[found[0] : found[-1]]
