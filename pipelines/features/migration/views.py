"""A view whose rows are taken from Feast's layout into the packed one; every row is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
from pydantic import BaseModel

from mlops.errors import InputError
from mlops.stores.redis.batches import Encoded, Limits, encode_cells
from mlops.stores.redis.feast_layout import FeastFields, read_row
from mlops.stores.redis.feast_views import MessageKeys, join_keys, online_view
from mlops.stores.redis.schema import NO_CREATED
from mlops.stores.redis.values import message_cells

_REASONS = 5
_OLD_KEY = "its key is of a serialization version before 3, which does not say where a value ends"


class Migrated(BaseModel):
    """What became of a view's rows, or would."""

    view: str
    rows: int = 0
    """Rows of Feast's layout that were found."""
    written: int = 0
    older: int = 0
    """Rows that were not newer than what stands in the packed store."""
    unreadable: int = 0
    """Rows that cannot be read or kept; they stay where they are."""
    reasons: tuple[str, ...] = ()
    removed: int = 0
    """Rows that were taken out of Feast's layout."""
    dry_run: bool = False


@dataclass(frozen=True)
class Row:
    """A row of Feast's layout."""

    key: bytes
    time: bytes
    """As it stands there."""
    entity: Any
    event: int
    """Microseconds since 1970."""
    messages: Sequence[Any]


@dataclass(frozen=True)
class Packed:
    """Rows with what they are packed to, in the same order."""

    rows: Sequence[Row]
    encoded: Encoded

    @property
    def only_rows(self) -> Encoded:
        """Without those that were refused, which are counted already."""
        return replace(self.encoded, refused=())


@dataclass
class MigratedView:
    """A view in both layouts, and what was done to its rows so far."""

    project: str
    table: Any
    report: Migrated = field(init=False)

    def __post_init__(self) -> None:
        self.stored = online_view(self.project, self.table)
        self.fields = FeastFields(
            self.table.name, tuple(column.name for column in self.stored.schema.columns)
        )
        self.report = Migrated(view=self.table.name)
        self._keys = MessageKeys(self.project, self.table)

    @property
    def join_keys(self) -> tuple[str, ...]:
        return tuple(sorted(join_keys(self.table)))

    def read(self, key: bytes, entity: Any, found: Sequence[bytes | None]) -> Row | None:
        """The row that lies in these fields; None where there is none, or none to read."""
        try:
            row = read_row(found)
        except ValueError as exc:
            self.report.rows += 1
            self.refuse(str(exc))
            return None
        if row is None:
            return None
        self.report.rows += 1
        if entity is None:
            self.refuse(_OLD_KEY)
            return None
        return Row(key, found[0] or b"", entity, *row)

    def pack(self, rows: Sequence[Row], now: datetime, limits: Limits) -> Packed:
        """Those of the rows that fit the view."""
        try:
            encoded = self._encode(rows, now, limits)
        except InputError:
            rows = [row for row in rows if self._fits(row, now, limits)]
            encoded = self._encode(rows, now, limits)
        for refusal in encoded.refused:
            self.refuse(refusal.reason)
        bad = {refusal.row for refusal in encoded.refused}
        return Packed([row for place, row in enumerate(rows) if place not in bad], encoded)

    def refuse(self, reason: str) -> None:
        """Count a row that stays where it is."""
        self.report.unreadable += 1
        reasons = self.report.reasons
        if reason not in reasons and len(reasons) < _REASONS:
            self.report.reasons = (*reasons, reason)

    def _fits(self, row: Row, now: datetime, limits: Limits) -> bool:
        try:
            self._encode([row], now, limits)
        except InputError as exc:
            self.refuse(str(exc))
            return False
        return True

    def _encode(self, rows: Sequence[Row], now: datetime, limits: Limits) -> Encoded:
        entities = [row.entity for row in rows]
        cells = [
            message_cells(column, [row.messages[place] for row in rows])
            for place, column in enumerate(self.stored.schema.columns)
        ]
        return encode_cells(
            self.stored,
            [self._keys.key(list(e.join_keys), list(e.entity_values)) for e in entities],
            cells,
            np.array([row.event for row in rows], dtype=np.int64),
            np.full(len(rows), NO_CREATED, dtype=np.int64),
            now=now,
            limits=limits,
        )
