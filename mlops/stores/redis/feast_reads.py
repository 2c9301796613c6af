"""What one call of Feast's asks of Redis, and the columns that it gets."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from feast import utils

from mlops.plan import PlannedField
from mlops.stores.redis.commands import Ask, Fields
from mlops.stores.redis.decoding import ViewColumns, ViewDecoder
from mlops.stores.redis.entities import oldest_event
from mlops.stores.redis.feast_views import MessageKeys, planned
from mlops.stores.redis.schema_book import SchemaBook

_REMEMBERED = 1000


@dataclass(frozen=True)
class _Compiled:
    """What is known of a view before it is read; made once for each object that Feast keeps."""

    table: Callable[[], Any]
    """A weak reference: Feast makes new views when its registry changes."""
    types: dict[str, PlannedField]
    keys: MessageKeys
    decoders: dict[tuple[str, ...], ViewDecoder]


@dataclass
class ViewRequest:
    """One view of a call."""

    table: Any
    decoder: ViewDecoder
    place: int
    """Of its field in the answers of its entities."""
    sources: list[int | None]
    """Per entity row the place of its answer; None where its join key has no value."""

    def decode(self, answers: Sequence[Any], moment: int) -> ViewColumns:
        ttl = getattr(self.table, "ttl", None)
        oldest = oldest_event(moment, int(ttl.total_seconds()) if ttl else 0)
        rows = [None if s is None else _row(answers[s], self.place) for s in self.sources]
        return self.decoder.decode(rows, oldest)


def _row(answer: Any, place: int) -> bytes | None:
    """The view's row; what is no hash is no row."""
    row: bytes | None = answer[place] if isinstance(answer, list) else b""
    return row


@dataclass
class FeastRead:
    """The views of one call, and what to ask for: each entity once, whoever wants it."""

    requests: list[ViewRequest]
    asks: list[Ask]

    def decode(self, answers: Sequence[Any], moment: int) -> list[ViewColumns]:
        """The columns of each view, with a row per entity row.

        moment: the platform's present in microseconds since 1970.
        """
        return [request.decode(answers, moment) for request in self.requests]


@dataclass
class _Entities:
    """Entity rows of the same join keys: their distinct keys, and which is whose."""

    keys: list[bytes]
    sources: list[int | None]
    fields: list[bytes]

    def add(self, table: Any, decoder: ViewDecoder) -> ViewRequest:
        self.fields.append(table.name.encode())
        return ViewRequest(table, decoder, len(self.fields) - 1, self.sources)


@dataclass
class FeastReads:
    """Plans the reads of one project, and remembers its views and schemas."""

    project: str
    book: SchemaBook = field(init=False)
    _views: dict[int, _Compiled] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.book = SchemaBook(self.project)

    def plan(
        self,
        grouped_refs: Sequence[tuple[Any, list[str]]],
        join_key_values: Mapping[str, Sequence[Any]],
        join_keys: Mapping[str, str],
    ) -> FeastRead:
        """The read of Feast's views with the names of their features.

        join_keys: by entity. Raises KeyError, as Feast does, where a join key is missing, and
        InputError for one of another type.
        """
        found: dict[tuple[Any, ...], _Entities] = {}
        requests = []
        for table, names in grouped_refs:
            columns = utils._get_table_entity_values(table, join_keys, join_key_values)
            _check(table, columns, join_keys)
            identity = tuple((name, id(values)) for name, values in sorted(columns.items()))
            if identity not in found:
                rows = zip(*columns.values(), strict=True)
                found[identity] = _entities(self._compiled(table).keys, list(columns), rows)
            requests.append(found[identity].add(table, self._decoder(table, names)))
        return FeastRead(requests, _number(found.values()))

    def plan_keys(self, table: Any, keys: Sequence[Any], names: Sequence[str]) -> FeastRead:
        """The read of one view by Feast's entity keys."""
        made, places = self._compiled(table).keys, dict[bytes, int]()
        sources = [_place(places, made.key(key.join_keys, key.entity_values)) for key in keys]
        entities = _Entities(list(places), sources, [])
        requests = [entities.add(table, self._decoder(table, names))]
        return FeastRead(requests, _number([entities]))

    def _decoder(self, table: Any, names: Sequence[str]) -> ViewDecoder:
        compiled, wanted = self._compiled(table), tuple(names)
        decoder = compiled.decoders.get(wanted)
        if decoder is None:
            features = tuple(compiled.types[name] for name in wanted)
            decoder = compiled.decoders[wanted] = ViewDecoder(features, self.book.known)
        return decoder

    def _compiled(self, table: Any) -> _Compiled:
        compiled = self._views.get(id(table))
        if compiled is None or compiled.table() is not table:
            compiled = _Compiled(
                weakref.ref(table),
                {feature.name: feature for feature in planned(table.features)},
                MessageKeys(self.project, table),
                {},
            )
            if len(self._views) > _REMEMBERED:
                self._views.clear()
            self._views[id(table)] = compiled
        return compiled


def _entities(made: MessageKeys, names: list[str], rows: Iterable[Sequence[Any]]) -> _Entities:
    places: dict[bytes, int] = {}
    sources = [_place(places, made.key(names, values)) for values in rows]
    return _Entities(list(places), sources, [])


def _place(places: dict[bytes, int], key: bytes | None) -> int | None:
    return None if key is None else places.setdefault(key, len(places))


def _number(groups: Iterable[_Entities]) -> list[Ask]:
    """The asks of all groups, one after another; their sources say where each one stands."""
    asks: list[Ask] = []
    for entities in groups:
        start, fields = len(asks), Fields(tuple(entities.fields))
        asks += [(key, fields) for key in entities.keys]
        entities.sources[:] = [None if s is None else s + start for s in entities.sources]
    return asks


def _check(table: Any, columns: Mapping[str, Any], join_keys: Mapping[str, str]) -> None:
    wanted = [join_keys[entity] for entity in table.entities]
    missing = sorted(name for name in wanted if not columns.get(name))
    if missing:
        raise KeyError(
            f"Missing join key values for keys: {missing}, which feature view '{table.name}' needs."
        )
