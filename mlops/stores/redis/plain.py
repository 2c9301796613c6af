"""Reading whole entities that need no second look: the rows of all their views, side by side.

Most reads find nothing but rows that are whole, of one schema per view, not outdated, and hold a
finite number for every wanted feature. Then an entity is taken apart as one piece, by a compiled
`struct` where it is alone and by NumPy where there are more. Whatever is not so plain is left to
the careful way, which answers the same.
"""

from __future__ import annotations

import itertools
import math
import operator
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlops.plan import PlannedField
from mlops.stores.redis.schema import HEADER, SLOTS, TAG_SIZE, Schema

FEW = 12
"""Rows from which on columns of NumPy are quicker to make and to use than lists."""
_NUMBERS = ("Bool", "Int32", "Int64", "Float32", "Float64")
_FLOATING = ("Float32", "Float64")

PlainColumns = tuple[Any, list[Any]]
"""Event times of a view's rows, and its columns: lists, or NumPy's where there are many rows."""


@dataclass(frozen=True)
class _Run:
    """Wanted values that lie side by side in each row, all of one type."""

    name: str
    offset: int
    """From where the entity begins."""
    width: int
    dtype: str
    """NumPy's name."""
    is_floating: bool


@dataclass(frozen=True)
class PlainView:
    """A view's rows as they are stored, and what is wanted of them."""

    stored: Schema
    places: tuple[int, ...]
    """The columns that are wanted, in the order in which they are."""


def plain_view(stored: Schema, wanted: Sequence[PlannedField]) -> PlainView | None:
    """None where these features cannot be read so: a type of another size, or another type."""
    places = {column.name: place for place, column in enumerate(stored.columns)}
    types = {column.name: column.dtype for column in stored.columns}
    fits = all(f.dtype in _NUMBERS and types.get(f.name) == f.dtype for f in wanted)
    if stored.variable or not fits:
        return None
    return PlainView(stored, tuple(places[f.name] for f in wanted))


class PlainEntities:
    """Reads entities whose views' rows are of these schemas."""

    def __init__(self, views: Sequence[PlainView]) -> None:
        self._sizes = [view.stored.fixed.size for view in views]
        ends = list(itertools.accumulate((len(view.places) for view in views), initial=0))
        self._parts = [slice(*pair) for pair in itertools.pairwise(ends)]
        self._one = _OneEntity(views)
        self._many = _ManyEntities(views, self._sizes)

    def read(
        self, answers: Sequence[Sequence[Any]], oldest: Sequence[int]
    ) -> list[PlainColumns] | None:
        """Per view its columns; None where not all rows are plain.

        answers: per entity a row of each view. oldest: per view, see `ViewDecoder.decode`.
        """
        try:
            rows = list(itertools.chain.from_iterable(answers))
            if list(map(len, rows)) != self._sizes * len(answers):
                return None
        except TypeError:  # no row, or an error in place of rows
            return None
        read = self._one.read if len(answers) == 1 else self._many.read
        found = read(b"".join(rows), oldest)
        if found is None:
            return None
        events, columns = found
        return [(e, columns[part]) for e, part in zip(events, self._parts, strict=True)]


class _OneEntity:
    """What most reads ask for."""

    def __init__(self, views: Sequence[PlainView]) -> None:
        places: list[int] = []
        floating: list[int] = []
        for start, view in zip(_starts(views), views, strict=True):
            places += [start + 3 + place for place in view.places]
            columns = view.stored.columns
            floating += [start + 3 + p for p in view.places if columns[p].dtype in _FLOATING]
        self._unpack = struct.Struct("<" + "".join(map(_layout, views))).unpack
        starts = _starts(views)
        self._tags = _picked(starts)
        self._events = _picked([start + 1 for start in starts])
        self._bitmaps = _picked([start + 2 for start in starts])
        self._expected = tuple(view.stored.tag for view in views)
        self._no_nulls = tuple(bytes(view.stored.bitmap_size) for view in views)
        self._values = _picked(places)
        self._floating = _picked(floating)

    def read(self, body: bytes, oldest: Sequence[int]) -> tuple[Any, list[Any]] | None:
        values = self._unpack(body)
        if self._tags(values) != self._expected or self._bitmaps(values) != self._no_nulls:
            return None
        events = self._events(values)
        if not all(map(operator.ge, events, oldest)):
            return None
        if not math.isfinite(sum(self._floating(values))):
            return None
        return [[event] for event in events], [[value] for value in self._values(values)]


class _ManyEntities:
    """The same for two and more."""

    def __init__(self, views: Sequence[PlainView], sizes: Sequence[int]) -> None:
        offsets = list(itertools.accumulate(sizes, initial=0))
        self._size = offsets.pop()
        self._runs = list(_runs(views, offsets))
        fields: list[tuple[str, Any, int]] = [
            (run.name, (run.dtype, (run.width,)), run.offset) for run in self._runs
        ]
        fields += [(f"event{n}", "<i8", at + TAG_SIZE) for n, at in enumerate(offsets)]
        names, formats, places = zip(*fields, strict=True)
        self._dtype = np.dtype(
            {
                "names": names,
                "formats": formats,
                "offsets": places,
                "itemsize": self._size,
            }
        )
        self._events = [f"event{n}" for n in range(len(views))]
        self._width = sum(run.width for run in self._runs if run.is_floating)
        self._fixed = np.concatenate(
            [
                np.r_[at : at + TAG_SIZE, at + HEADER.size : at + HEADER.size + bitmap]
                for at, bitmap in zip(offsets, (v.stored.bitmap_size for v in views), strict=True)
            ]
        )
        self._expected = b"".join(v.stored.tag + bytes(v.stored.bitmap_size) for v in views)

    def read(self, body: bytes, oldest: Sequence[int]) -> tuple[Any, list[Any]] | None:
        count = len(body) // self._size
        table = np.frombuffer(body, np.uint8).reshape(count, self._size)
        if table.take(self._fixed, axis=1).tobytes() != self._expected * count:
            return None
        rows = np.frombuffer(body, self._dtype)
        events = np.array([rows[name] for name in self._events])
        if not all(map(operator.ge, events.min(axis=1).tolist(), oldest)):
            return None
        blocks = self._blocks(rows, count)
        if blocks is None:
            return None
        if count < FEW:
            return events.tolist(), list(itertools.chain.from_iterable(b.tolist() for b in blocks))
        return events, list(itertools.chain.from_iterable(blocks))

    def _blocks(self, rows: Any, count: int) -> list[Any] | None:
        """[features, rows] by type; float64 for any floating one. None where one is not finite."""
        floats = np.empty((self._width, count))
        blocks, start = [], 0
        for run in self._runs:
            values = rows[run.name].T
            if run.is_floating:
                block = floats[start : start + run.width]
                block[:] = values
                start += run.width
            else:
                block = np.ascontiguousarray(values)
            blocks.append(block)
        if not np.isfinite(floats).all():
            return None
        return [floats] if start == sum(map(len, blocks)) else blocks


def _starts(views: Sequence[PlainView]) -> list[int]:
    """Where each view begins in an unpacked entity: tag, event time, bitmap, then the slots."""
    lengths = (3 + len(view.stored.columns) for view in views)
    return list(itertools.accumulate(lengths, initial=0))[:-1]


def _layout(view: PlainView) -> str:
    """A row as `struct` names it; the created time is passed over."""
    slots = "".join(SLOTS[column.dtype][0] for column in view.stored.columns)
    return f"{TAG_SIZE}sq8x{view.stored.bitmap_size}s{slots}"


def _runs(views: Sequence[PlainView], offsets: Sequence[int]) -> Iterator[_Run]:
    names = map(str, itertools.count())
    for view, offset in zip(views, offsets, strict=True):
        for places in _stretches(view):
            kind, dtype = view.stored.columns[places[0]].dtype, view.stored.dtype
            at = offset + int(dtype.fields[str(places[0])][1])  # type: ignore[index]  # it has some
            yield _Run(next(names), at, len(places), SLOTS[kind][1], kind in _FLOATING)


def _stretches(view: PlainView) -> list[list[int]]:
    """The wanted places, cut where one does not follow the last or is of another type."""
    found: list[list[int]] = []
    for place in view.places:
        columns = view.stored.columns
        last = found[-1][-1] if found else None
        if last is not None and last + 1 == place and columns[last].dtype == columns[place].dtype:
            found[-1].append(place)
        else:
            found.append([place])
    return found


def _picked(places: Sequence[int]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """What takes the values at these places, as a tuple whatever their number."""
    if len(places) > 1:
        return operator.itemgetter(*places)
    return lambda values: tuple([values[place] for place in places])
