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
    """Wanted values of one type that lie at equal distances in each entity."""

    places: tuple[int, ...]
    """Where they stand among all that is wanted."""
    offset: int
    """Of the first, from where the entity begins."""
    step: int
    dtype: str
    """NumPy's name."""
    is_floating: bool

    def values(self, body: bytes, count: int, size: int) -> Any:
        """[values, entities], as they lie there."""
        shape = len(self.places), count
        return np.ndarray(shape, self.dtype, body, self.offset, (self.step, size))


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
        runs = sorted(_runs(views, offsets), key=lambda run: not run.is_floating)
        self._runs = runs
        self._width = sum(len(run.places) for run in runs if run.is_floating)
        found = [place for run in runs for place in run.places]
        self._in_order = _picked(sorted(range(len(found)), key=found.__getitem__))
        self._events = [at + TAG_SIZE for at in offsets]
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
        size = self._size
        events = np.array([np.ndarray(count, "<i8", body, at, (size,)) for at in self._events])
        if not all(map(operator.ge, events.min(axis=1).tolist(), oldest)):
            return None
        blocks = self._blocks(body, count)
        if blocks is None:
            return None
        if count < FEW:
            blocks, events = [block.tolist() for block in blocks], events.tolist()
        return events, list(self._in_order(list(itertools.chain.from_iterable(blocks))))

    def _blocks(self, body: bytes, count: int) -> list[Any] | None:
        """[values, entities] by type, float64 for any floating; None where one is not finite."""
        floats, start = np.empty((self._width, count)), 0
        blocks = [floats]
        for run in self._runs:
            values = run.values(body, count, self._size)
            if run.is_floating:
                end = start + len(run.places)
                floats[start:end] = values
                start = end
            else:
                blocks.append(np.ascontiguousarray(values))
        return blocks if np.isfinite(floats).all() else None


def _starts(views: Sequence[PlainView]) -> list[int]:
    """Where each view begins in an unpacked entity: tag, event time, bitmap, then the slots."""
    lengths = (3 + len(view.stored.columns) for view in views)
    return list(itertools.accumulate(lengths, initial=0))[:-1]


def _layout(view: PlainView) -> str:
    """A row as `struct` names it; the created time is passed over."""
    slots = "".join(SLOTS[column.dtype][0] for column in view.stored.columns)
    return f"{TAG_SIZE}sq8x{view.stored.bitmap_size}s{slots}"


def _runs(views: Sequence[PlainView], offsets: Sequence[int]) -> Iterator[_Run]:
    first = 0
    for view, offset in zip(views, offsets, strict=True):
        fields: Any = view.stored.dtype.fields
        by_type: dict[str, list[tuple[int, int]]] = {}
        for place, column in enumerate(view.places, first):
            at = offset + int(fields[str(column)][1])
            by_type.setdefault(view.stored.columns[column].dtype, []).append((place, at))
        for kind, wanted in by_type.items():
            for part in _evenly(wanted):
                places, ats = zip(*part, strict=True)
                step = ats[1] - ats[0] if len(ats) > 1 else 0
                yield _Run(places, ats[0], step, SLOTS[kind][1], kind in _FLOATING)
        first += len(view.places)


def _evenly(wanted: Sequence[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Places and offsets, cut where an offset is not as far from the last as that from its own."""
    parts: list[list[tuple[int, int]]] = []
    for one in wanted:
        last = parts[-1] if parts else []
        if len(last) == 1 or (len(last) > 1 and one[1] - last[-1][1] == last[1][1] - last[0][1]):
            last.append(one)
        else:
            parts.append([one])
    return parts


def _picked(places: Sequence[int]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """What takes the values at these places, as a tuple whatever their number."""
    if len(places) > 1:
        return operator.itemgetter(*places)
    return lambda values: tuple([values[place] for place in places])
