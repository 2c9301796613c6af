"""Decoding the views that share an entity, hence a hash, hence an answer of Redis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from mlops.stores.redis.decoding import ViewColumns, ViewDecoder
from mlops.stores.redis.plain import (
    Buffer,
    PlainColumns,
    PlainEntities,
    Reading,
    plain_view,
)
from mlops.stores.redis.schema import TAG_SIZE

_NEVER = -(2**63)
_KEPT = 256
"""Numbers of entities for which what reads them is kept."""


def oldest_event(moment: int, ttl_seconds: int) -> int:
    """The event time, in microseconds, before which a row is outside its TTL; 0 never ends."""
    return moment - ttl_seconds * 1_000_000 if ttl_seconds else _NEVER


@dataclass(slots=True)
class UsualAnswer:
    """Reads Redis' answer for a number of entities that are as usual."""

    decoder: EntityDecoder
    plain: PlainEntities
    size: int
    """Its bytes."""
    read: Reading

    def columns(self, data: Buffer, start: int, moment: int) -> PlainColumns | None:
        """None where it is not as usual, or not all there.

        data: from `start` on, the answer. moment: the platform's present in microseconds since
        1970.
        """
        if len(data) < start + self.size:
            return None
        return self.read(data, start, self.decoder.limits(moment))


@dataclass
class EntityDecoder:
    """Takes the answers for some entities apart, view by view."""

    decoders: Sequence[ViewDecoder]
    ttls: Sequence[int]
    """Per view its TTL in seconds; 0 never ends."""
    _plain: dict[bytes, PlainEntities | None] = field(default_factory=dict)
    """By the tags of an entity's rows; None where they cannot be read so."""
    usual: PlainEntities | None = None
    """What read the last ones that were plain; most likely it reads the next ones, too."""
    _answers: dict[int, UsualAnswer] = field(default_factory=dict)
    """By the number of entities."""

    def decode(
        self, answers: Sequence[Any], moment: int, *, is_plain: bool = False
    ) -> list[ViewColumns]:
        """The columns of each view. An answer that is no hash holds no row.

        moment: the platform's present in microseconds since 1970. is_plain: whether columns may be
        NumPy's where every value is a finite number.
        """
        oldest = self._oldest(moment)
        views = zip(self.decoders, _by_view(answers, len(self.decoders)), oldest, strict=True)
        return [
            (decoder.decode_plain(rows, since) if is_plain else None) or decoder.decode(rows, since)
            for decoder, rows, since in views
        ]

    def decode_plain(self, answers: Sequence[Any], moment: int) -> PlainColumns | None:
        """The same without a look at each row, where all of them are plain; else None."""
        plain = self._entities(answers[0])
        found = plain.read(answers, self.limits(moment)) if plain is not None else None
        if found is not None:
            self.usual = plain
        return found

    def usual_answer(self, count: int) -> UsualAnswer | None:
        """What reads Redis' answer for `count` entities like the last ones that were plain."""
        found, usual = self._answers.get(count), self.usual
        if found is not None and found.plain is usual:
            return found
        if usual is None:
            return None
        if len(self._answers) >= _KEPT:
            self._answers.clear()
        found = UsualAnswer(self, usual, usual.answer_size * count, usual.answer(count))
        self._answers[count] = found
        return found

    @cached_property
    def _has_ttl(self) -> bool:
        return any(self.ttls)

    def limits(self, moment: int) -> list[int] | None:
        """Per view the event time before which a row is outside its TTL; None where none ends."""
        return self._oldest(moment) if self._has_ttl else None

    def _oldest(self, moment: int) -> list[int]:
        return [oldest_event(moment, ttl) for ttl in self.ttls]

    def _entities(self, first: Any) -> PlainEntities | None:
        """What reads entities like the first one."""
        if not isinstance(first, list) or None in first:
            return None
        tags = [row[:TAG_SIZE] for row in first]
        key = b"".join(tags)
        if key not in self._plain and all(
            tag in decoder.schemas for tag, decoder in zip(tags, self.decoders, strict=True)
        ):
            self._plain[key] = self._compile(tags)
        return self._plain.get(key)

    def _compile(self, tags: Sequence[bytes]) -> PlainEntities | None:
        views = [
            plain_view(decoder.schemas[tag], decoder.features)
            for tag, decoder in zip(tags, self.decoders, strict=True)
        ]
        fit = [view for view in views if view is not None]
        return PlainEntities(fit) if len(fit) == len(views) else None


def _by_view(answers: Sequence[Any], views: int) -> Iterable[Sequence[Any]]:
    """Answers turned: a row per entity for each view. What is no hash is no row."""
    wrong = [b""] * views
    return zip(*[a if isinstance(a, list) else wrong for a in answers], strict=True)
