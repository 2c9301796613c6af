"""Reading features of many entities and views in one round trip, from packed rows.

What is read is compiled once per feature service.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from itertools import islice
from typing import Any

from mlops.breaker import Breaker
from mlops.plan import FeaturePlan, PlannedField
from mlops.stores.online import (
    TIMELESS,
    EntityColumns,
    EntityRow,
    FeatureRow,
    FeatureStatus,
    FeatureValue,
    OnlineReader,
    PlainRows,
    Tell,
    ViewRead,
    ViewTable,
    to_datetime,
    view_reads,
)
from mlops.stores.redis.async_link import AsyncLink
from mlops.stores.redis.bodies import python_value
from mlops.stores.redis.commands import Ask, Fields, Packer
from mlops.stores.redis.decoding import UNREADABLE, ViewColumns, ViewDecoder
from mlops.stores.redis.entities import EntityDecoder, UsualAnswer
from mlops.stores.redis.keys import EntityKeys, column_texts, entity_keys
from mlops.stores.redis.link import Link
from mlops.stores.redis.plain import Buffer, PlainColumns
from mlops.stores.redis.schema import build_schema
from mlops.stores.redis.schema_book import Decoded, SchemaBook
from mlops.stores.redis.shared import Recognize

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def _microseconds(moment: datetime) -> int:
    """Since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


@dataclass
class _Group:
    """The views that share an entity, hence a hash: one HMGET reads them all."""

    keys: EntityKeys
    fields: Fields
    packer: Packer
    decoder: EntityDecoder
    places: tuple[int, ...]
    """Where its views stand in the whole read."""


@dataclass
class CompiledRead:
    """Chosen features of a plan: what to ask for, and how to read the answers."""

    reads: tuple[ViewRead, ...]
    book: SchemaBook
    groups: tuple[_Group, ...]
    wanted: tuple[tuple[PlannedField, ...], ...]
    """The features of each view."""
    converters: tuple[tuple[Callable[[Any], Any] | None, ...], ...]
    """Per view and feature, what makes Python values of stored forms."""
    references: tuple[tuple[str, ...], ...]
    """Per view 'view:feature'."""

    def asks(self, rows: Sequence[EntityRow]) -> list[Ask]:
        """One per entity and group; the same entity twice is asked twice."""
        return [(group.keys.key(row), group.fields) for group in self.groups for row in rows]

    def column_asks(self, entities: EntityColumns, count: int) -> list[Ask]:
        """The same from columns of join keys, `count` values each."""
        texts = self._texts(entities)
        return [
            (key, group.fields)
            for group in self.groups
            for key in group.keys.from_columns(texts, count)
        ]

    def pack(self, entities: EntityColumns, count: int) -> bytes:
        """The same as they go over the wire."""
        if self._alone is not None:
            field, packer = self._alone
            return packer.pack(column_texts(field, entities[field.name]))
        texts = self._texts(entities)
        return b"".join([one.packer.pack(one.keys.ends(texts, count)) for one in self.groups])

    @cached_property
    def _alone(self) -> tuple[PlannedField, Packer] | None:
        """Where all keys are made of one join key, that, and what asks for them."""
        if len(self.groups) != 1 or len(self.join_keys) != 1:
            return None
        return self.join_keys[0], self.groups[0].packer

    def _texts(self, entities: EntityColumns) -> dict[str, list[bytes]]:
        """The join keys as they stand in keys."""
        return {field.name: column_texts(field, entities[field.name]) for field in self.join_keys}

    @cached_property
    def join_keys(self) -> list[PlannedField]:
        """All that the keys are made of."""
        found = {field.name: field for group in self.groups for field in group.keys.fields}
        return list(found.values())

    def nothing(self) -> FeatureTable:
        """The answer where no row was asked for."""
        empty = [ViewColumns(wanted, [], [], [[] for _ in wanted]) for wanted in self.wanted]
        return FeatureTable(self, empty, 0)

    def plain_rows(self, answers: Sequence[Any], count: int, now: datetime) -> PlainRows | None:
        """The answers in columns, where all of them are plain; else None."""
        moment = _microseconds(now)
        parts = (answers[s : s + count] for s in range(0, len(answers), count))
        found = list[PlainColumns]()
        for group, part in zip(self.groups, parts, strict=True):
            columns = group.decoder.decode_plain(part, moment)
            if columns is None:
                return None
            found.append(columns)
        return self._rows(found, count)

    def _rows(self, found: Sequence[PlainColumns], count: int) -> PlainRows:
        """Of the columns of each group."""
        events, values = found[0] if len(found) == 1 else self._in_order(found)
        return PlainRows(self.reads, count, events, values)

    def _in_order(self, found: Sequence[PlainColumns]) -> PlainColumns:
        """Those of all groups, in the order of the reads."""
        views: list[Any] = [None] * len(self.reads)
        for group, (events, values) in zip(self.groups, found, strict=True):
            columns = iter(values)
            for place, event in zip(group.places, events, strict=True):
                views[place] = event, list(islice(columns, len(self.wanted[place])))
        return [event for event, _ in views], [one for _, columns in views for one in columns]

    def recognize(self, count: int, now: datetime) -> Recognize | None:
        """What knows the answers of usual entities, and makes `PlainRows` of them."""
        usual = []
        for group in self.groups:
            found = group.decoder.usual_answer(count)
            if found is None:
                return None
            usual.append(found)
        return partial(self._recognized, count, _microseconds(now), usual)

    def _recognized(
        self, count: int, moment: int, usual: Sequence[UsualAnswer], data: Buffer, start: int
    ) -> tuple[int, PlainRows] | None:
        """Where the answers end, and what they say; None where they are not usual ones.

        data: from `start` on, these answers.
        """
        found = list[PlainColumns]()
        for one in usual:
            columns = one.columns(data, start, moment)
            if columns is None:
                return None
            start += one.size
            found.append(columns)
        return start, self._rows(found, count)

    def decoded(
        self, answers: Sequence[Any], count: int, now: datetime, *, is_plain: bool = False
    ) -> Decoded:
        """As `decode`, and what is to be asked for before all of it can be read."""
        decode = partial(self.decode, answers, count, now, is_plain=is_plain)
        return Decoded(self.book, answers, decode)

    def decode(
        self, answers: Sequence[Any], count: int, now: datetime, *, is_plain: bool = False
    ) -> list[ViewColumns]:
        """The columns of each view for the `count` rows that were asked for.

        is_plain: whether those may be NumPy's where every value is a finite number.
        """
        moment = _microseconds(now)
        columns: list[Any] = [None] * len(self.reads)
        for start, group in enumerate(self.groups):
            part = answers[start * count : (start + 1) * count]
            found = group.decoder.decode(part, moment, is_plain=is_plain)
            for place, view in zip(group.places, found, strict=True):
                columns[place] = view
        return columns


def compile_read(plan: FeaturePlan, references: Sequence[str], book: SchemaBook) -> CompiledRead:
    """Raises NotFound for a reference that is not planned, Refused for what cannot be stored."""
    reads = tuple(view_reads(plan, references))
    kinds = {field.name: field for field in plan.entities}
    by_keys: dict[tuple[str, ...], list[int]] = {}
    for place, read in enumerate(reads):
        by_keys.setdefault(tuple(sorted(read.view.join_keys)), []).append(place)
    wanted = tuple(_wanted(read) for read in reads)
    for read, features in zip(reads, wanted, strict=True):
        build_schema(read.view.name, features)
    return CompiledRead(
        reads=reads,
        book=book,
        groups=tuple(
            _group(
                entity_keys(plan.project, [kinds[name] for name in names]),
                [reads[place] for place in places],
                [wanted[place] for place in places],
                book,
                tuple(places),
            )
            for names, places in by_keys.items()
        ),
        wanted=wanted,
        converters=tuple(tuple(python_value(f.dtype) for f in features) for features in wanted),
        references=tuple(tuple(read.references()) for read in reads),
    )


def _group(
    keys: EntityKeys,
    reads: Sequence[ViewRead],
    wanted: Sequence[tuple[PlannedField, ...]],
    book: SchemaBook,
    places: tuple[int, ...],
) -> _Group:
    fields = Fields(tuple(read.view.name.encode() for read in reads))
    decoders = [ViewDecoder(features, book.known) for features in wanted]
    decoder = EntityDecoder(decoders, [read.view.ttl_seconds for read in reads])
    return _Group(keys, fields, Packer(fields, keys.prefix), decoder, places)


def _wanted(read: ViewRead) -> tuple[PlannedField, ...]:
    return tuple(feature for feature in read.view.features if feature.name in read.features)


@dataclass(frozen=True)
class FeatureTable:
    """The answer for n entity rows, view by view and feature by feature."""

    compiled: CompiledRead
    columns: Sequence[ViewColumns]
    count: int

    def to_dict(self) -> dict[str, list[Any]]:
        """Python values by 'view:feature'; None wherever the status is not PRESENT."""
        found = {}
        for references, columns, converters in self._views():
            for reference, values, convert in zip(
                references, columns.values, converters, strict=True
            ):
                if convert is None and UNREADABLE not in values:
                    found[reference] = values
                else:
                    found[reference] = [_converted(value, convert)[1] for value in values]
        return found

    def rows(self) -> list[FeatureRow]:
        """Each entity row's features with status and event time."""
        found: list[dict[str, FeatureValue]] = [{} for _ in range(self.count)]
        for references, columns, converters in self._views():
            for place, row in enumerate(found):
                status, event = columns.statuses[place], columns.events[place]
                moment = None if status in TIMELESS else to_datetime(event)
                values = [column[place] for column in columns.values]
                for reference, value, convert in zip(references, values, converters, strict=True):
                    row[reference] = _feature(status, value, convert, moment)
        return list(found)

    def tables(self) -> list[ViewTable]:
        """View by view, in columns."""
        return [
            ViewTable(read, columns.statuses, columns.events, columns.values, {}, True)
            if columns.is_plain
            else _table(read, columns, converters)
            for read, columns, converters in zip(
                self.compiled.reads, self.columns, self.compiled.converters, strict=True
            )
        ]

    def _views(self) -> Any:
        return zip(self.compiled.references, self.columns, self.compiled.converters, strict=True)


def _table(read: ViewRead, columns: ViewColumns, converters: Sequence[Any]) -> ViewTable:
    exceptions, values = {}, []
    for place, (column, convert) in enumerate(zip(columns.values, converters, strict=True)):
        if convert is None and None not in column and UNREADABLE not in column:
            values.append(column)
            continue
        pairs = [
            _converted(value, convert) if status is FeatureStatus.PRESENT else (status, None)
            for status, value in zip(columns.statuses, column, strict=True)
        ]
        values.append([value for _, value in pairs])
        statuses = [status for status, _ in pairs]
        if statuses != columns.statuses:
            exceptions[place] = statuses
    return ViewTable(read, columns.statuses, columns.events, values, exceptions)


def _feature(
    status: FeatureStatus, value: Any, convert: Any, moment: datetime | None
) -> FeatureValue:
    if status is FeatureStatus.PRESENT:
        status, value = _converted(value, convert)
    return FeatureValue(status, value, moment)


def _converted(value: Any, convert: Any) -> tuple[FeatureStatus, Any]:
    if value is None:
        return FeatureStatus.NULL, None
    if value is UNREADABLE:
        return FeatureStatus.INVALID, None
    if convert is None:
        return FeatureStatus.PRESENT, value
    try:
        return FeatureStatus.PRESENT, convert(value)
    except ValueError:
        return FeatureStatus.INVALID, None


@dataclass
class RedisReader:
    """Compiled features, read without blocking."""

    link: AsyncLink
    compiled: CompiledRead
    breaker: Breaker

    async def read(self, rows: Sequence[EntityRow], *, now: datetime) -> list[FeatureRow]:
        return (await self.read_table(rows, now=now)).rows()

    async def read_table(self, rows: Sequence[EntityRow], *, now: datetime) -> FeatureTable:
        """As `read`, in columns. Raises InputError for a wrong join key, Unavailable."""
        if not rows:
            return self.compiled.nothing()
        asks = self.compiled.asks(rows)
        with self.breaker.guard():
            return await self._table(await self.link.fetch(asks), len(rows), now)

    async def read_columns(self, entities: EntityColumns, *, now: datetime) -> list[ViewTable]:
        """Raises InputError for a value of another type, Unavailable."""
        count = len(next(iter(entities.values()), [None]))
        if not count:
            return self.compiled.nothing().tables()
        asks = self.compiled.column_asks(entities, count)
        with self.breaker.guard():
            answers = await self.link.fetch(asks, self.compiled.recognize(count, now))
            if type(answers) is PlainRows:  # recognized
                return answers.tables()
            plain = self.compiled.plain_rows(answers, count, now)
            if plain is not None:
                return plain.tables()
            return (await self._table(answers, count, now, is_plain=True)).tables()

    def start(self, entities: EntityColumns, tell: Tell, *, now: datetime) -> bool:
        if not self.breaker.is_sound:
            return False
        count = len(next(iter(entities.values()), [None]))
        packed = self.compiled.pack(entities, count)
        keys = count * len(self.compiled.groups)
        return self.link.start(packed, keys, tell, self.compiled.recognize(count, now))

    def finish(
        self, answers: Any, entities: EntityColumns, *, now: datetime
    ) -> PlainRows | list[ViewTable] | None:
        if type(answers) is PlainRows:
            return answers
        count = len(next(iter(entities.values()), [None]))
        plain = self.compiled.plain_rows(answers, count, now)
        if plain is not None:
            return plain
        found = self.compiled.decoded(answers, count, now, is_plain=True)
        return (
            None if found.question else FeatureTable(self.compiled, found.columns, count).tables()
        )

    async def _table(
        self, answers: Sequence[Any], count: int, now: datetime, *, is_plain: bool = False
    ) -> FeatureTable:
        found = self.compiled.decoded(answers, count, now, is_plain=is_plain)
        if found.question:
            found.learn(await self.link.command(*found.question))
        return FeatureTable(self.compiled, found.columns, count)


@dataclass
class BlockingReader:
    """The same for jobs and tools."""

    link: Link
    compiled: CompiledRead

    def read(self, rows: Sequence[EntityRow], *, now: datetime) -> FeatureTable:
        """Raises InputError for a wrong join key, Unavailable."""
        if not rows:
            return self.compiled.nothing()
        answers = self.link.fetch(self.compiled.asks(rows))
        return self._table(answers, len(rows), now)

    def read_columns(self, entities: EntityColumns, *, now: datetime) -> list[ViewTable]:
        """Raises InputError for a value of another type, Unavailable."""
        count = len(next(iter(entities.values()), [None]))
        if not count:
            return self.compiled.nothing().tables()
        usual: list[PlainRows] = []
        recognize = self.compiled.recognize(count, now)

        def glance(answer: memoryview) -> bool:
            found = recognize(answer, 0) if recognize is not None else None
            if found is not None and found[0] == len(answer):
                usual.append(found[1])
            return bool(usual)

        answers = self.link.fetch(self.compiled.column_asks(entities, count), glance)
        plain = usual[0] if usual else self.compiled.plain_rows(answers, count, now)
        if plain is not None:
            return plain.tables()
        return self._table(answers, count, now, is_plain=True).tables()

    def _table(
        self, answers: Sequence[Any], count: int, now: datetime, *, is_plain: bool = False
    ) -> FeatureTable:
        found = self.compiled.decoded(answers, count, now, is_plain=is_plain)
        if found.question:
            found.learn(self.link.command(*found.question))
        return FeatureTable(self.compiled, found.columns, count)


@dataclass
class RedisFeatures:
    """The online store as serving reads it (`mlops.stores.online.OnlineStore`)."""

    link: AsyncLink
    breaker: Breaker = field(init=False)
    _books: dict[str, SchemaBook] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.breaker = Breaker(f"Redis at {self.link.address}")

    def reader(self, plan: FeaturePlan, references: Sequence[str]) -> OnlineReader:
        book = self._books.setdefault(plan.project, SchemaBook(plan.project))
        return RedisReader(self.link, compile_read(plan, references, book), self.breaker)

    async def ping(self) -> None:
        await self.link.command("PING")

    async def close(self) -> None:
        await self.link.close()
