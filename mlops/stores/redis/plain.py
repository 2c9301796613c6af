"""Reading rows that need no second look: whole, of one schema, every wanted number in its slot.

Most reads find nothing else, and then values need not be looked at one by one. Whatever is not so
plain (a row that is missing or outdated, a null, NaN, a text) is left to the careful way, which
answers the same.
"""

from __future__ import annotations

import itertools
import math
import operator
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlops.plan import PlannedField
from mlops.stores.redis.schema import HEADER, SLOTS, TAG_SIZE, Schema

FEW = 12
"""Rows from which on NumPy is quicker than a step per row."""
_NUMBERS = ("Bool", "Int32", "Int64", "Float32", "Float64")
_FLOATING = ("Float32", "Float64")
_EVENT = 2
_BITMAP = 4
_SLOTS = 5
"""Where event time, null bitmap and slots stand in an unpacked row."""


@dataclass(frozen=True)
class _Run:
    """Wanted values that lie side by side in each row, all of one type."""

    offset: int
    width: int
    dtype: str
    """NumPy's name."""
    is_floating: bool

    def columns(self, body: bytes, rows: int, size: int) -> Any:
        """[width, rows], each column in one piece; float64 for any floating type."""
        step = np.dtype(self.dtype).itemsize
        block = np.ndarray((rows, self.width), self.dtype, body, self.offset, (size, step))
        target = np.dtype("<f8") if self.is_floating else block.dtype
        return np.ascontiguousarray(block.T, dtype=target)


class PlainRows:
    """Reads the wanted features of one schema."""

    def __init__(self, stored: Schema, places: Sequence[int]) -> None:
        """places: the columns that are wanted, in the order in which they are."""
        self._size = stored.fixed.size
        self._unpack = stored.fixed.unpack
        self._tag = stored.tag
        self._tag_array = np.frombuffer(stored.tag, np.uint8)
        self._no_nulls = bytes(stored.bitmap_size)
        self._slots = _picked([place + _SLOTS for place in places])
        floating = [p + _SLOTS for p in places if stored.columns[p].dtype in _FLOATING]
        self._floating = _picked(floating)
        self._runs = _runs(stored, places)

    def few(self, rows: Sequence[Any], oldest: int) -> tuple[list[int], list[Any]] | None:
        """Event times and columns; None where the rows are not plain."""
        if len(rows) == 1:
            return self._one(rows[0], oldest)
        try:
            columns = list(zip(*map(self._unpack, rows), strict=True))
        except (struct.error, TypeError):  # cut off, or no row
            return None
        if {row[:TAG_SIZE] for row in rows} != {self._tag}:
            return None
        events, count = columns[_EVENT], len(rows)
        if columns[_BITMAP].count(self._no_nulls) != count or min(events) < oldest:
            return None
        if not math.isfinite(sum(map(sum, self._floating(columns)))):
            return None
        return list(events), list(map(list, self._slots(columns)))

    def _one(self, row: Any, oldest: int) -> tuple[list[int], list[Any]] | None:
        """The same of a single row, as most reads have."""
        if row is None or len(row) != self._size or row[:TAG_SIZE] != self._tag:
            return None
        values = self._unpack(row)
        event = values[_EVENT]
        if values[_BITMAP] != self._no_nulls or event < oldest:
            return None
        if not math.isfinite(sum(self._floating(values))):
            return None
        return [event], [[value] for value in self._slots(values)]

    def many(self, rows: Sequence[Any], oldest: int) -> tuple[Any, list[Any]] | None:
        """The same as arrays. None also where a sum of finite values is none."""
        if None in rows or set(map(len, rows)) != {self._size}:
            return None
        body, count = b"".join(rows), len(rows)
        if not (self._bytes(body, count, 0, TAG_SIZE) == self._tag_array).all():
            return None
        if self._bytes(body, count, HEADER.size, len(self._no_nulls)).any():
            return None
        events = np.ascontiguousarray(np.ndarray(count, "<i8", body, TAG_SIZE, (self._size,)))
        if events.min() < oldest:
            return None
        blocks = [run.columns(body, count, self._size) for run in self._runs]
        with np.errstate(over="ignore", invalid="ignore"):
            pairs = zip(blocks, self._runs, strict=True)
            if not all(math.isfinite(b.sum()) for b, run in pairs if run.is_floating):
                return None
        return events, list(itertools.chain.from_iterable(blocks))

    def _bytes(self, body: bytes, rows: int, offset: int, width: int) -> Any:
        return np.ndarray((rows, width), np.uint8, body, offset, (self._size, 1))


def _picked(places: Sequence[int]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """What takes the values at these places, as a tuple whatever their number."""
    if len(places) > 1:
        return operator.itemgetter(*places)
    return lambda values: [values[place] for place in places]


def plain_rows(stored: Schema, wanted: Sequence[PlannedField]) -> PlainRows | None:
    """None where these features cannot be read so: a type of another size, or another type."""
    places = {column.name: place for place, column in enumerate(stored.columns)}
    types = {column.name: column.dtype for column in stored.columns}
    fits = all(f.dtype in _NUMBERS and types.get(f.name) == f.dtype for f in wanted)
    if stored.variable or not fits:
        return None
    return PlainRows(stored, [places[f.name] for f in wanted])


def _runs(stored: Schema, places: Sequence[int]) -> list[_Run]:
    fields: Any = stored.dtype.fields
    runs: list[_Run] = []
    for before, place in zip([None, *places], places, strict=False):
        dtype, name = stored.columns[place].dtype, SLOTS[stored.columns[place].dtype][1]
        if runs and before == place - 1 and runs[-1].dtype == name:
            last = runs.pop()
            runs.append(_Run(last.offset, last.width + 1, name, last.is_floating))
        else:
            runs.append(_Run(fields[str(place)][1], 1, name, dtype in _FLOATING))
    return runs
