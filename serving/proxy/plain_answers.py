"""Answers of feature reads of a few rows where every value is there and a number: most of them.

What an answer says apart from numbers, times and its id depends on nothing but the service and the
number of rows. It is written once, by `feature_answers` with marks in place of those, and cut at
the marks; an answer is then a list of pieces with the rest between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import orjson

from mlops.stores.online import ViewTable, to_datetime
from serving.proxy.entity_columns import EntityRows
from serving.proxy.feature_answers import OPTIONS, Shown, build_answer, write_answer

_MARK = b"\0"
"""JSON has no such byte."""
_HOLE = orjson.Fragment(_MARK)
_FEW = 16
"""Rows up to which it pays: of more, the values are all of the work."""
_KEPT = 64
"""Forms that stay written."""


@dataclass
class PlainAnswers:
    """Writes the answers of one feature service."""

    _forms: dict[tuple[str, int, Shown], list[bytes]] = field(default_factory=dict)

    def write(
        self,
        service: str,
        tables: Sequence[ViewTable],
        rows: EntityRows,
        shown: Shown,
        *,
        identity: str,
    ) -> bytes:
        """As `write_answer`, byte for byte."""
        if rows.count > _FEW or rows.errors or not all(table.is_plain for table in tables):
            return write_answer(service, tables, rows, shown, identity=identity)
        pieces = self._form(service, tables, rows, shown)
        filled: list[bytes] = [b""] * (2 * len(pieces) - 1)
        filled[::2] = pieces
        holes = [orjson.dumps(identity), *_columns(tables)]
        if shown.event_times:
            holes += [_times(table) for table in tables]
        filled[1::2] = holes
        return b"".join(filled)

    def _form(
        self, service: str, tables: Sequence[ViewTable], rows: EntityRows, shown: Shown
    ) -> list[bytes]:
        key = service, rows.count, shown
        pieces = self._forms.get(key)
        if pieces is None:
            pieces = _cut(service, tables, rows, shown)
            if len(self._forms) >= _KEPT:
                self._forms.clear()
            self._forms[key] = pieces
        return pieces


def _cut(service: str, tables: Sequence[ViewTable], rows: EntityRows, shown: Shown) -> list[bytes]:
    """What stands between an id, the columns, and the times of each view."""
    marked = [
        ViewTable(table.read, table.statuses, [], [[_HOLE]] * len(table.values), {}, True)
        for table in tables
    ]
    body = build_answer(service, marked, rows, shown, identity="")
    body["request_id"] = _HOLE
    if shown.event_times:
        body["event_times"] = {table.read.view.name: [_HOLE] for table in tables}
    return orjson.dumps(body, option=OPTIONS).split(_MARK)


def _columns(tables: Sequence[ViewTable]) -> list[bytes]:
    """The values of each feature, with commas between: numbers bear no brackets."""
    columns = [column for table in tables for column in table.values]
    return orjson.dumps(columns, option=orjson.OPT_SERIALIZE_NUMPY)[2:-2].split(b"],[")


def _times(table: ViewTable) -> bytes:
    events: Any = table.events
    if len(events) == 1:
        return _time(int(events[0]))
    listed = events.tolist() if isinstance(events, np.ndarray) else events
    if listed.count(listed[0]) == len(listed):
        return _same_times(listed[0], len(listed))
    return b",".join([_time(event) for event in listed])


@lru_cache(maxsize=256)
def _same_times(event: int, count: int) -> bytes:
    return b",".join([_time(event)] * count)


@lru_cache(maxsize=4096)
def _time(event: int) -> bytes:
    """Snapshots hold from the same few times on."""
    return orjson.dumps(to_datetime(event), option=OPTIONS)
