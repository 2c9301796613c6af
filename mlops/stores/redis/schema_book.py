"""The schemas that rows were written with: fetched when one is met, and known from then on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlops.stores.online import FeatureStatus
from mlops.stores.redis.commands import Command
from mlops.stores.redis.decoding import ViewColumns
from mlops.stores.redis.keys import schemas_key
from mlops.stores.redis.schema import ROW, TAG_SIZE, Schema, parse_schema

_FORGOTTEN_SECONDS = 10.0
"""How long a fingerprint that nobody knows is not asked for again."""


@dataclass
class SchemaBook:
    """The schemas of a project, by the tag that rows begin with."""

    project: str
    known: dict[bytes, Schema] = field(default_factory=dict)
    now: Callable[[], float] = time.monotonic
    _missed: dict[bytes, float] = field(default_factory=dict)

    def missing(self, answers: Sequence[Any], columns: Sequence[ViewColumns]) -> list[bytes]:
        """The fingerprints to ask Redis for, where rows of unknown schemas were met."""
        careful = [column.statuses for column in columns if not column.is_plain]
        if not any(FeatureStatus.INVALID in statuses for statuses in careful):
            return []
        rows = [row for answer in answers if isinstance(answer, list) for row in answer if row]
        return self._wanted({row[:TAG_SIZE] for row in rows})

    def _wanted(self, tags: Iterable[bytes]) -> list[bytes]:
        """Those of rows, not known, and not just asked for in vain."""
        since = self.now() - _FORGOTTEN_SECONDS
        unknown = [tag for tag in sorted(tags) if tag[0] == ROW and tag not in self.known]
        return [tag[1:] for tag in unknown if self._missed.get(tag, since) <= since]

    def learn(self, fingerprints: Sequence[bytes], documents: Sequence[bytes | None]) -> bool:
        """Keep what Redis had; whether there was anything, known by another read or not."""
        found = False
        for fingerprint, document in zip(fingerprints, documents, strict=True):
            schema = _parsed(fingerprint, document)
            if schema is None:
                self._missed[bytes([ROW]) + fingerprint] = self.now()
            else:
                self.known[schema.tag] = schema
                found = True
        return found


def _parsed(fingerprint: bytes, document: bytes | None) -> Schema | None:
    try:
        schema = parse_schema(document) if document else None
    except ValueError:
        return None
    return schema if schema is not None and schema.fingerprint == fingerprint else None


class Decoded:
    """The columns of an answer, and what to ask Redis before all of them can be read."""

    def __init__(
        self, book: SchemaBook, answers: Sequence[Any], decode: Callable[[], list[ViewColumns]]
    ) -> None:
        self._book = book
        self._decode = decode
        self.columns = decode()
        self._missing = book.missing(answers, self.columns)

    @property
    def question(self) -> Command | None:
        """The command whose answer `learn` takes, where rows of unknown schemas were met."""
        return ("HMGET", schemas_key(self._book.project), *self._missing) if self._missing else None

    def learn(self, documents: Sequence[bytes | None]) -> None:
        """Read again with the schemas that Redis had."""
        if self._book.learn(self._missing, documents):
            self.columns = self._decode()
