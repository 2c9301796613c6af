"""Packing rows: columns of n values become n binary rows, without a step per value where it can.

Pure: what goes in are cells per column, from Arrow (`arrow.py`) or from values (`values_cells`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from mlops.stores.redis.bodies import pack_body
from mlops.stores.redis.schema import HEADER, ROW, SLOTS, TOMBSTONE, Column, Schema

Times = npt.NDArray[np.int64]
"""Microseconds since 1970."""
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Cells:
    """One column of n rows: what goes into the slots, or the bytes behind them."""

    nulls: Mask
    slots: npt.NDArray[Any] | None = None
    bodies: Sequence[bytes] | None = None
    """Empty where the value is null."""


def pack_rows(schema: Schema, cells: Sequence[Cells], event: Times, created: Times) -> list[bytes]:
    """The rows in the format of docs/online-format.md, one per event time."""
    table = np.zeros(len(event), schema.dtype)
    table["kind"] = ROW
    table["fingerprint"] = int.from_bytes(schema.fingerprint, "little")
    table["event"], table["created"] = event, created
    if cells:
        nulls = np.stack([column.nulls for column in cells], axis=1)
        table["nulls"] = np.packbits(nulls, axis=1, bitorder="little")
    bodies = _fill(table, cells)
    fixed = _split(table)
    return [b"".join(parts) for parts in zip(fixed, *bodies, strict=True)] if bodies else fixed


def pack_tombstones(event: Times, created: Times) -> list[bytes]:
    """Rows that say that there is none, with their times."""
    times = zip(event.tolist(), created.tolist(), strict=True)
    return [HEADER.pack(TOMBSTONE, b"", at, since) for at, since in times]


def values_cells(column: Column, values: Sequence[Any]) -> Cells:
    """Cells of stored forms, None where there is no value.

    Raises what the column's type raises: OverflowError, TypeError, ValueError, struct.error.
    """
    nulls = np.fromiter((value is None for value in values), np.bool_, len(values))
    if column.is_fixed:
        present = [0 if value is None else value for value in values]
        return Cells(nulls, slots=np.array(present, dtype=SLOTS[column.dtype][1]))
    packed = map(_pack, repeat(column), values)
    return Cells(nulls, bodies=list(packed))


def _pack(column: Column, value: Any) -> bytes:
    return b"" if value is None else pack_body(column, value)


def _fill(table: npt.NDArray[Any], cells: Sequence[Cells]) -> list[Sequence[bytes]]:
    """Fill the slots; the bodies of the columns that have some."""
    ends = np.zeros(len(table), np.uint32)
    bodies = []
    for place, column in enumerate(cells):
        if column.bodies is None:
            table[str(place)] = column.slots
            continue
        bodies.append(column.bodies)
        ends += np.fromiter(map(len, column.bodies), np.uint32, len(table))
        table[str(place)] = ends
    return bodies


def _split(table: npt.NDArray[Any]) -> list[bytes]:
    whole, size = table.tobytes(), table.dtype.itemsize
    return [whole[start : start + size] for start in range(0, len(whole), size)]
