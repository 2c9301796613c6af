"""Reading packed rows: many at once by NumPy, few by struct, with the same answers.

A row that is cut off or of an unknown schema harms nobody but itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlops.plan import PlannedField
from mlops.stores.online import FeatureStatus
from mlops.stores.redis.bodies import unpack_body
from mlops.stores.redis.conversions import Conversion, conversion, same
from mlops.stores.redis.plain import PlainEntities, plain_view
from mlops.stores.redis.schema import HEADER, TAG_SIZE, TOMBSTONE, Schema

_FEW = 12
"""Rows up to which NumPy takes longer than a step per row."""
_HEAD = np.dtype([("tag", "V5"), ("event", "<i8"), ("created", "<i8")])


class Unreadable:
    """Stands for a value that is stored and cannot be read as what is wanted."""

    def __repr__(self) -> str:
        return "UNREADABLE"


UNREADABLE = Unreadable()


@dataclass
class ViewColumns:
    """What one view answers for n entities, feature by feature."""

    features: tuple[PlannedField, ...]
    statuses: list[FeatureStatus]
    """Of the rows; only a PRESENT one has values."""
    events: list[int]
    """Event times in microseconds since 1970; 0 where the row has none."""
    values: list[list[Any]]
    """Per feature n stored forms: None for none, UNREADABLE for one that cannot be read."""
    is_plain: bool = False
    """Every value is there and a finite number. Then events and values may be NumPy's."""

    def status(self, feature: int, row: int) -> FeatureStatus:
        """The status of one feature (by its place) of one row."""
        if self.statuses[row] is not FeatureStatus.PRESENT:
            return self.statuses[row]
        value = self.values[feature][row]
        if value is UNREADABLE:
            return FeatureStatus.INVALID
        return FeatureStatus.NULL if value is None else FeatureStatus.PRESENT


class RowReader:
    """Takes the wanted features out of rows of one schema."""

    def __init__(self, stored: Schema, wanted: Sequence[PlannedField]) -> None:
        places = {column.name: place for place, column in enumerate(stored.columns)}
        self._schema = stored
        self._size = stored.fixed.size
        self._columns = [_Source(stored, places.get(f.name), f) for f in wanted]
        self._plain = [source.plain for source in self._columns]
        self._bitmap = slice(HEADER.size, HEADER.size + stored.bitmap_size)
        self._no_nulls = bytes(stored.bitmap_size)
        plain = plain_view(stored, wanted)
        self.plain = PlainEntities([plain]) if plain is not None else None

    def is_whole(self, rows: Sequence[bytes]) -> list[bool] | None:
        """Whether each row has the length that its slots say; None where all do."""
        if not self._schema.variable and set(map(len, rows)) == {self._size}:
            return None
        sizes = np.fromiter(map(len, rows), np.int64, len(rows))
        fine = sizes == self._size
        if self._schema.variable:
            fine = sizes >= self._size
            if fine.all():
                fine = self._ends_fit(rows, sizes)
        return None if fine.all() else fine.tolist()

    def _ends_fit(self, rows: Sequence[bytes], sizes: Any) -> Any:
        table = np.frombuffer(b"".join([row[: self._size] for row in rows]), self._schema.dtype)
        ends = np.stack([table[str(i)] for i in self._schema.variable], axis=1).astype(np.int64)
        rising = (np.diff(ends, axis=1) >= 0).all(axis=1)
        return rising & (ends[:, -1] == sizes - self._size)

    def read(self, rows: Sequence[bytes]) -> tuple[list[int], list[list[Any]]]:
        """Event times and the wanted features' values of whole rows."""
        events, slots = self._few(rows) if len(rows) < _FEW else self._many(rows)
        nulls = self._nulls(rows)
        if nulls is None and None not in self._plain:
            return events, [slots(place) for place in self._plain if place is not None]
        return events, [source.values(rows, slots, nulls) for source in self._columns]

    def _few(self, rows: Sequence[bytes]) -> tuple[list[int], Callable[[int], list[Any]]]:
        fixed = self._schema.fixed
        columns = list(zip(*[fixed.unpack_from(row) for row in rows], strict=True))
        return list(columns[2]), lambda place: list(columns[place + 5])

    def _many(self, rows: Sequence[bytes]) -> tuple[list[int], Callable[[int], list[Any]]]:
        parts = [row[: self._size] for row in rows] if self._schema.variable else rows
        table = np.frombuffer(b"".join(parts), self._schema.dtype)
        return table["event"].tolist(), lambda place: table[str(place)].tolist()

    def _nulls(self, rows: Sequence[bytes]) -> Any:
        """Which values are null, [rows, columns]; None where none is."""
        if {row[self._bitmap] for row in rows} == {self._no_nulls}:
            return None
        bitmaps = np.frombuffer(b"".join([row[self._bitmap] for row in rows]), np.uint8)
        return np.unpackbits(bitmaps.reshape(len(rows), -1), axis=1, bitorder="little")


class _Source:
    """Where the values of one wanted feature come from."""

    def __init__(self, stored: Schema, place: int | None, wanted: PlannedField) -> None:
        self._place = place
        self.plain: int | None = None
        """The place of a slot that holds the wanted value as it is."""
        if place is None:
            return
        column = stored.columns[place]
        self._convert = conversion(column.dtype, wanted.dtype)
        self._unpack = None if column.is_fixed else unpack_body(column)
        before = [i for i in stored.variable if i < place]
        self._before = before[-1] if before else None
        self._base = stored.fixed.size
        if column.is_fixed and self._convert is same:
            self.plain = place

    def values(
        self, rows: Sequence[bytes], slots: Callable[[int], list[Any]], nulls: Any
    ) -> list[Any]:
        """n values. A feature that the schema does not know has none."""
        if self._place is None:
            return [None] * len(rows)
        is_null = () if nulls is None else nulls[:, self._place].nonzero()[0].tolist()
        values = slots(self._place)
        if self._unpack is not None:
            values = self._bodies(rows, values, slots, frozenset(is_null))
        if self._convert is not same:
            values = _converted(values, self._convert)
        for row in is_null:
            values[row] = None
        return values

    def _bodies(
        self,
        rows: Sequence[bytes],
        ends: Sequence[int],
        slots: Callable[[int], list[Any]],
        is_null: frozenset[int],
    ) -> list[Any]:
        starts = [0] * len(rows) if self._before is None else slots(self._before)
        assert self._unpack is not None
        values: list[Any] = []
        for place, (row, start, end) in enumerate(zip(rows, starts, ends, strict=True)):
            body = row[self._base + start : self._base + end]
            values.append(None if place in is_null else _attempt(self._unpack, body))
        return values


def _converted(values: Sequence[Any], convert: Conversion | None) -> list[Any]:
    if convert is None:
        return [UNREADABLE] * len(values)
    return [None if value is None else _attempt(convert, value) for value in values]


def _attempt(function: Callable[[Any], Any], value: Any) -> Any:
    try:
        return function(value)
    except ValueError:
        return UNREADABLE


@dataclass
class ViewDecoder:
    """Decodes the rows of one view, whatever schemas they were written with."""

    features: tuple[PlannedField, ...]
    schemas: Mapping[bytes, Schema]
    """By tag; what is added to it is known from then on."""
    _readers: dict[bytes, RowReader] = field(default_factory=dict)

    def unknown(self, rows: Sequence[bytes | None]) -> set[bytes]:
        """The tags of rows whose schema is not known."""
        tags = {row[:TAG_SIZE] for row in rows if row}
        return {tag for tag in tags if tag[0] != TOMBSTONE and tag not in self.schemas}

    def decode(self, rows: Sequence[bytes | None], oldest: int) -> ViewColumns:
        """The columns of these rows; None is an entity that has none.

        oldest: the event time in microseconds before which a row is outside its TTL.
        """
        tags = [row[:TAG_SIZE] if row else b"" for row in rows]
        first = self._reader(tags[0]) if len(set(tags)) == 1 else None
        if first is not None:
            whole: Sequence[Any] = rows
            if first.is_whole(whole) is None:
                events, values = first.read(whole)
                return self._columns(events, values, oldest)
        return self._decode_mixed(rows, tags, oldest)

    def decode_plain(self, rows: Sequence[bytes | None], oldest: int) -> ViewColumns | None:
        """The same without a look at each value, where all of them are plain; else None."""
        reader = self._reader(rows[0][:TAG_SIZE]) if rows and rows[0] else None
        if reader is None or reader.plain is None:
            return None
        found = reader.plain.read([(row,) for row in rows], [oldest])
        if found is None:
            return None
        columns: list[Any] = [
            one if isinstance(one, np.ndarray) else list(one) for part in found for one in part
        ]
        statuses = [FeatureStatus.PRESENT] * len(rows)
        return ViewColumns(self.features, statuses, columns[0], columns[1:], is_plain=True)

    def _columns(self, events: list[int], values: list[list[Any]], oldest: int) -> ViewColumns:
        statuses = [FeatureStatus.PRESENT] * len(events)
        if min(events) < oldest:
            outdated = [row for row, event in enumerate(events) if event < oldest]
            for row in outdated:
                statuses[row] = FeatureStatus.OUTSIDE_MAX_AGE
            for column in values:
                for row in outdated:
                    column[row] = None
        return ViewColumns(self.features, statuses, events, values)

    def _decode_mixed(
        self, rows: Sequence[bytes | None], tags: Sequence[bytes], oldest: int
    ) -> ViewColumns:
        """Group by schema, decode each group, and put its rows where they belong."""
        count = len(rows)
        whole = ViewColumns(
            self.features,
            [FeatureStatus.NOT_FOUND] * count,
            [0] * count,
            [[None] * count for _ in self.features],
        )
        for tag in set(tags):
            places = [place for place, found in enumerate(tags) if found == tag]
            self._decode_group(whole, tag, [(place, rows[place]) for place in places], oldest)
        return whole

    def _decode_group(
        self,
        whole: ViewColumns,
        tag: bytes,
        group: Sequence[tuple[int, Any]],
        oldest: int,
    ) -> None:
        reader = self._reader(tag)
        if reader is None:
            for place, row in group:
                whole.statuses[place] = _status_without_values(row)
            return
        fine = reader.is_whole([row for _, row in group]) or [True] * len(group)
        for (place, _), is_fine in zip(group, fine, strict=True):
            if not is_fine:
                whole.statuses[place] = FeatureStatus.INVALID
        good = [entry for entry, is_fine in zip(group, fine, strict=True) if is_fine]
        if good:
            events, values = reader.read([row for _, row in good])
            _scatter(whole, [place for place, _ in good], self._columns(events, values, oldest))

    def _reader(self, tag: bytes) -> RowReader | None:
        reader = self._readers.get(tag)
        if reader is None and tag in self.schemas:
            reader = self._readers[tag] = RowReader(self.schemas[tag], self.features)
        return reader


def _status_without_values(row: bytes | None) -> FeatureStatus:
    if row is None:
        return FeatureStatus.NOT_FOUND
    is_tombstone = len(row) == HEADER.size and row[0] == TOMBSTONE
    return FeatureStatus.NOT_FOUND if is_tombstone else FeatureStatus.INVALID


def _scatter(whole: ViewColumns, places: Sequence[int], part: ViewColumns) -> None:
    for place, status, event in zip(places, part.statuses, part.events, strict=True):
        whole.statuses[place] = status
        whole.events[place] = event
    for target, source in zip(whole.values, part.values, strict=True):
        for place, value in zip(places, source, strict=True):
            target[place] = value


def row_times(rows: Sequence[bytes]) -> Any:
    """Event and created times of whole rows and tombstones: an array with these two fields."""
    return np.frombuffer(b"".join([row[: HEADER.size] for row in rows]), _HEAD)
