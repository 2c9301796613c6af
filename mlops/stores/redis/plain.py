"""Reading whole entities that need no second look: the rows of all their views, side by side.

Most reads find nothing but rows that are whole, of one schema per view, not outdated, and hold a
finite number for every wanted feature. Then they are taken apart as one piece, by a compiled
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
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np

from mlops.plan import PlannedField
from mlops.stores.redis.schema import HEADER, SLOTS, TAG_SIZE, Schema
from mlops.stores.redis.value_tables import Slot, ValueTable, value_tables

FEW = 12
"""Rows from which on columns of NumPy are quicker to make and to use than lists."""
_SIZES = 16
"""Numbers of rows for which what must be the same stays put together."""
_NUMBERS = ("Bool", "Int32", "Int64", "Float32", "Float64")

Buffer = bytes | memoryview

PlainColumns = tuple[Any, Any]
"""Event times of the rows by view, and the wanted columns of all views in order: tuples, or NumPy's
where there are many rows."""

Reading = Callable[[Buffer, int, Sequence[int] | None], PlainColumns | None]
"""Takes a known number of entities apart; None where one is not plain.

Of bytes that have as many entities of their size from a place on, and per view the event time of
the oldest row that is not outdated, see `ViewDecoder.decode`; None where no row is ever too old.
"""


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

    def read(
        self, answers: Sequence[Sequence[Any]], oldest: Sequence[int] | None
    ) -> PlainColumns | None:
        """None where not all rows are plain.

        answers: per entity a row of each view. oldest: per view, see `ViewDecoder.decode`; None
        where no row is too old.
        """
        try:
            rows = list(itertools.chain.from_iterable(answers))
            if list(map(len, rows)) != self._sizes * len(answers):
                return None
        except TypeError:  # no row, or an error in place of rows
            return None
        return self._bare.reading(len(answers))(b"".join(rows), 0, oldest)

    def answer(self, count: int) -> Reading:
        """What reads Redis' answer for `count` of them, as it says it."""
        return self._answered.reading(count)


class _Pieces:
    """Entities of a known size, taken apart."""

    def __init__(self, views: Sequence[PlainView], frame: _Frame) -> None:
        self._views, self._frame = views, frame
        self._few: dict[int, _FewEntities] = {}
        """By their number."""
        self._many = _ManyEntities(views, frame)
        self.size = self._many.size

    def reading(self, count: int) -> Reading:
        """What reads `count` of them."""
        if count >= FEW:
            return partial(self._many.read, count)
        few = self._few.get(count)
        if few is None:
            few = self._few[count] = _FewEntities(self._views, self._frame, count)
        return few.read


class _Fixed:
    """The bytes that are the same in all plain entities: what is around rows, tags, no nulls."""

    def __init__(self, views: Sequence[PlainView], frame: _Frame, count: int) -> None:
        mask, expected = b"", b""
        for before, view in zip(frame.before, views, strict=True):
            tag, nulls = before + view.stored.tag, bytes(view.stored.bitmap_size)
            times = bytes(HEADER.size - TAG_SIZE)
            slots = bytes(view.stored.fixed.size - HEADER.size - len(nulls))
            mask += b"\xff" * len(tag) + times + b"\xff" * len(nulls) + slots
            expected += tag + times + nulls + slots
        mask, expected = mask + b"\xff" * len(frame.end), expected + frame.end
        self._mask, self._expected = np.frombuffer(mask * count, np.uint8), expected * count

    def fits(self, data: Buffer, start: int) -> bool:
        """Whether `count` entities from there on have them."""
        found = np.frombuffer(data, np.uint8, len(self._expected), start)
        return bool((found & self._mask).tobytes() == self._expected)


class _FewEntities:
    """What most reads ask for: a number of entities that is small, and so unpacked in one go."""

    def __init__(self, views: Sequence[PlainView], frame: _Frame, count: int) -> None:
        self._fixed = _Fixed(views, frame, count)
        layout = "".join(map(_layout, views, map(len, frame.before))) + f"{len(frame.end)}x"
        self._layout = struct.Struct("<" + layout * count)
        starts, width = _starts(views)
        places = list[int]()
        for start, view in zip(starts, views, strict=True):
            unpacked = sorted(view.places)
            places += [start + 1 + unpacked.index(place) for place in view.places]
        self._events = _picked([slice(start, None, width) for start in starts])
        self._values = _picked([slice(place, None, width) for place in places])

    def read(self, data: Buffer, start: int, oldest: Sequence[int] | None) -> PlainColumns | None:
        if not self._fixed.fits(data, start):
            return None
        flat = self._layout.unpack_from(data, start)
        if not math.isfinite(sum(flat, 0.0)):  # whole numbers are too small to hide anything
            return None
        events = self._events(flat)
        if oldest is not None and not all(map(operator.ge, map(min, events), oldest)):
            return None
        return events, self._values(flat)


class _ManyEntities:
    """The same for more."""

    def __init__(self, views: Sequence[PlainView], frame: _Frame) -> None:
        self.size, offsets = 0, list[int]()
        for before, view in zip(frame.before, views, strict=True):
            offsets.append(self.size + len(before))
            self.size = offsets[-1] + view.stored.fixed.size
        self.size += len(frame.end)
        self._fixed = lru_cache(maxsize=_SIZES)(partial(_Fixed, views, frame))
        events = [Slot(n, "Int64", at + TAG_SIZE) for n, at in enumerate(offsets)]
        (self._events,) = value_tables(events)
        self._tables = value_tables(_slots(views, offsets))
        self._in_order = _in_order(self._tables)

    def read(
        self, count: int, data: Buffer, start: int, oldest: Sequence[int] | None
    ) -> PlainColumns | None:
        if not self._fixed(count).fits(data, start):
            return None
        place = start, count, self.size
        events = self._events.read(data, *place)
        if oldest is not None and not all(map(operator.ge, events.min(axis=1).tolist(), oldest)):
            return None
        found = [table.read(data, *place) for table in self._tables]
        if not all(np.isfinite(values).all() for values in found if values.dtype.kind == "f"):
            return None
        return events, self._in_order(found)


def _starts(views: Sequence[PlainView]) -> tuple[list[int], int]:
    """Where each view begins in an unpacked entity (event time, wanted slots), and its end."""
    lengths = (1 + len(view.places) for view in views)
    *starts, end = itertools.accumulate(lengths, initial=0)
    return starts, end


def _layout(view: PlainView, before: int) -> str:
    """A row, and so many bytes before it, for `struct`; what is not wanted is passed over."""
    codes = [SLOTS[column.dtype][0] for column in view.stored.columns]
    slots = [
        code if place in view.places else f"{struct.calcsize(code)}x"
        for place, code in enumerate(codes)
    ]
    return f"{before + TAG_SIZE}xq8x{view.stored.bitmap_size}x{''.join(slots)}"


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


def _picked(places: Sequence[Any]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """What takes what is at these places or slices, as a tuple whatever their number."""
    if len(places) > 1:
        return operator.itemgetter(*places)
    return lambda values: tuple([values[place] for place in places])
