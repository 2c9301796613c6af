"""Reading whole entities that need no second look: the rows of all their views, side by side.

Most reads find nothing but rows that are whole, of one schema per view, not outdated, and hold a
finite number for every wanted feature. Then an entity is taken apart as one piece, by a compiled
`struct` where there are few and by NumPy where there are more. Such entities are always as long, so
an answer of Redis that holds nothing else is read as it came, without being parsed. Whatever is
not so plain is left to the careful way, which answers the same.
"""

from __future__ import annotations

import itertools
import math
import operator
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mlops.plan import PlannedField
from mlops.stores.redis.schema import HEADER, SLOTS, TAG_SIZE, Schema
from mlops.stores.redis.value_tables import Slot, ValueTable, value_tables

FEW = 12
"""Rows from which on columns of NumPy are quicker to make and to use than lists."""
_NUMBERS = ("Bool", "Int32", "Int64", "Float32", "Float64")
_FLOATING = ("Float32", "Float64")

PlainColumns = tuple[Any, Any]
"""Event times of the rows by view, and the wanted columns of all views in order: tuples, or NumPy's
where there are many rows."""


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


@dataclass(frozen=True)
class _Frame:
    """What stands around the rows of an entity."""

    before: tuple[bytes, ...]
    """Before each view's row."""
    end: bytes
    """After the last one."""


def _bare(views: Sequence[PlainView]) -> _Frame:
    """Rows one after another."""
    return _Frame((b"",) * len(views), b"")


def _answered(views: Sequence[PlainView]) -> _Frame:
    """Rows as Redis answers an HMGET of them."""
    sizes = [b"$%d\r\n" % view.stored.fixed.size for view in views]
    first, *others = sizes
    return _Frame(
        (b"*%d\r\n%b" % (len(views), first), *(b"\r\n" + size for size in others)), b"\r\n"
    )


class PlainEntities:
    """Reads entities whose views' rows are of these schemas."""

    def __init__(self, views: Sequence[PlainView]) -> None:
        self._views = views
        self._sizes = [view.stored.fixed.size for view in views]
        self._bare = _Pieces(views, _bare(views))

    @cached_property
    def _answered(self) -> _Pieces:
        return _Pieces(self._views, _answered(self._views))

    @property
    def answer_size(self) -> int:
        """The bytes of Redis' answer for an entity."""
        return self._answered.size

    def read(self, answers: Sequence[Sequence[Any]], oldest: Sequence[int]) -> PlainColumns | None:
        """None where not all rows are plain.

        answers: per entity a row of each view. oldest: per view, see `ViewDecoder.decode`.
        """
        try:
            rows = list(itertools.chain.from_iterable(answers))
            if list(map(len, rows)) != self._sizes * len(answers):
                return None
        except TypeError:  # no row, or an error in place of rows
            return None
        return self._bare.read(b"".join(rows), len(answers), oldest)

    def read_answer(self, answer: bytes, count: int, oldest: Sequence[int]) -> PlainColumns | None:
        """The same from what Redis says of `count` entities, as it says it."""
        if len(answer) != self.answer_size * count:
            return None
        return self._answered.read(answer, count, oldest)


class _Pieces:
    """Entities of a known size, taken apart."""

    def __init__(self, views: Sequence[PlainView], frame: _Frame) -> None:
        self._few = _FewEntities(views, frame)
        self._many = _ManyEntities(views, frame)
        self.size = self._many.size

    def read(self, body: bytes, count: int, oldest: Sequence[int]) -> PlainColumns | None:
        """None where one is not plain. body: `count` times `size` bytes."""
        read = self._few.read if count < FEW else self._many.read
        return read(body, count, oldest)


class _FewEntities:
    """What most reads ask for: the code that this takes is in use anyway, and so quick to run."""

    def __init__(self, views: Sequence[PlainView], frame: _Frame) -> None:
        starts = _starts(views)
        places: list[int] = []
        floating: list[int] = []
        for start, view in zip(starts, views, strict=True):
            places += [start + 3 + place for place in view.places]
            columns = view.stored.columns
            floating += [start + 3 + p for p in view.places if columns[p].dtype in _FLOATING]
        layouts = map(_layout, views, map(len, frame.before))
        self._layout = struct.Struct(f"<{''.join(layouts)}{len(frame.end)}s")
        self._tags = _picked([*starts, -1])
        self._events = _picked([start + 1 for start in starts])
        self._bitmaps = _picked([start + 2 for start in starts])
        tags = (b + view.stored.tag for b, view in zip(frame.before, views, strict=True))
        self._expected = (*tags, frame.end)
        self._no_nulls = tuple(bytes(view.stored.bitmap_size) for view in views)
        self._values = _picked(places)
        self._floating = _picked(floating)

    def read(self, body: bytes, count: int, oldest: Sequence[int]) -> PlainColumns | None:
        if count == 1:
            return self._read_one(self._layout.unpack(body), oldest)
        columns = tuple(zip(*self._layout.iter_unpack(body), strict=True))
        if self._tags(columns) != tuple([(one,) * count for one in self._expected]):
            return None
        if self._bitmaps(columns) != tuple([(one,) * count for one in self._no_nulls]):
            return None
        events = self._events(columns)
        if not all(map(operator.ge, map(min, events), oldest)):
            return None
        if not math.isfinite(sum(itertools.chain.from_iterable(self._floating(columns)))):
            return None
        return events, self._values(columns)

    def _read_one(self, values: tuple[Any, ...], oldest: Sequence[int]) -> PlainColumns | None:
        if self._tags(values) != self._expected or self._bitmaps(values) != self._no_nulls:
            return None
        events = self._events(values)
        if not all(map(operator.ge, events, oldest)):
            return None
        if not math.isfinite(sum(self._floating(values))):
            return None
        return [(event,) for event in events], [(value,) for value in self._values(values)]


class _ManyEntities:
    """The same for more."""

    def __init__(self, views: Sequence[PlainView], frame: _Frame) -> None:
        self.size, offsets = 0, list[int]()
        fixed, expected = list[int](), b""
        for before, view in zip(frame.before, views, strict=True):
            start = self.size + len(before)
            bitmap = start + HEADER.size
            fixed += range(self.size, start + TAG_SIZE)
            fixed += range(bitmap, bitmap + view.stored.bitmap_size)
            expected += before + view.stored.tag + bytes(view.stored.bitmap_size)
            offsets.append(start)
            self.size = start + view.stored.fixed.size
        fixed += range(self.size, self.size + len(frame.end))
        self.size += len(frame.end)
        self._fixed, self._expected = np.array(fixed, np.intp), expected + frame.end
        events = [Slot(n, "Int64", at + TAG_SIZE) for n, at in enumerate(offsets)]
        (self._events,) = value_tables(events)
        self._tables = value_tables(_slots(views, offsets))
        self._in_order = _in_order(self._tables)

    def read(self, body: bytes, count: int, oldest: Sequence[int]) -> PlainColumns | None:
        table = np.frombuffer(body, np.uint8).reshape(count, self.size)
        if table.take(self._fixed, axis=1).tobytes() != self._expected * count:
            return None
        events = self._events.read(body, count, self.size)
        if not all(map(operator.ge, events.min(axis=1).tolist(), oldest)):
            return None
        found = [table.read(body, count, self.size) for table in self._tables]
        if not all(np.isfinite(values).all() for values in found if values.dtype.kind == "f"):
            return None
        return events, self._in_order(found)


def _starts(views: Sequence[PlainView]) -> list[int]:
    """Where each view begins in an unpacked entity: tag, event time, bitmap, then the slots."""
    lengths = (3 + len(view.stored.columns) for view in views)
    return list(itertools.accumulate(lengths, initial=0))[:-1]


def _layout(view: PlainView, before: int) -> str:
    """A row, and so many bytes before it, as `struct` names it; the created time is passed over."""
    slots = "".join(SLOTS[column.dtype][0] for column in view.stored.columns)
    return f"{before + TAG_SIZE}sq8x{view.stored.bitmap_size}s{slots}"


def _slots(views: Sequence[PlainView], offsets: Sequence[int]) -> list[Slot]:
    """Where the wanted values are, of rows that begin at these offsets."""
    found: list[Slot] = []
    for view, offset in zip(views, offsets, strict=True):
        fields: Any = view.stored.dtype.fields
        for column in view.places:
            at = offset + int(fields[str(column)][1])
            found.append(Slot(len(found), view.stored.columns[column].dtype, at))
    return found


def _in_order(tables: Sequence[ValueTable]) -> Callable[[list[Any]], Any]:
    """What makes the columns, in the order in which they are wanted, of what the tables read."""
    places = [place for table in tables for place in table.places]
    wanted = sorted(range(len(places)), key=places.__getitem__)
    if len(tables) == 1 and places == sorted(places):
        return operator.itemgetter(0)
    pick = _picked(wanted)
    return lambda found: list(pick(list(itertools.chain.from_iterable(found))))


def _picked(places: Sequence[int]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """What takes the values at these places, as a tuple whatever their number."""
    if len(places) > 1:
        return operator.itemgetter(*places)
    return lambda values: tuple([values[place] for place in places])
