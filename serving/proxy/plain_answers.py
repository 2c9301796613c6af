"""Answers of feature reads where every value is there and a number: most of them.

What such an answer says apart from numbers, times and its id depends on nothing but the service and
the number of rows. It is built once, and only what differs is put in before it is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from mlops.stores.online import PlainRows
from serving.proxy.entity_columns import EntityRows
from serving.proxy.feature_answers import (
    OPTIONS,
    Shown,
    build_answer,
    plain_times,
    write_answer,
)

_KEPT = 64
"""Forms that stay built, each with the values that it was last written with."""
_MOST = 128
"""Rows up to which it pays: of more, the values are all of the work."""


@dataclass(slots=True)
class _Form:
    """An answer whose values are of the last read."""

    body: dict[str, Any]
    features: Sequence[dict[str, Any]]
    """Of the body, in the order of the columns."""
    views: Sequence[str]
    events: Sequence[Any] = ()
    """The times that the body has, where they were told as tuples."""

    def write(self, plain: PlainRows, shown: Shown, identity: str) -> bytes:
        self.body["request_id"] = identity
        for feature, values in zip(self.features, plain.values, strict=True):
            feature["values"] = values
        few = type(plain.events[0]) is tuple
        if shown.event_times and not (few and plain.events == self.events):
            times = [plain_times(events) for events in plain.events]
            self.body["event_times"] = dict(zip(self.views, times, strict=True))
            self.events = plain.events if few else ()
        # Python's own values need none of the options, and are written quicker without them.
        return orjson.dumps(self.body, option=None if few else OPTIONS)


@dataclass
class PlainAnswers:
    """Writes the answers of one feature service."""

    _forms: dict[tuple[str, int, bool, bool], _Form] = field(default_factory=dict)

    def write(self, service: str, plain: PlainRows, shown: Shown, *, identity: str) -> bytes:
        """As `write_answer`, byte for byte."""
        if plain.count > _MOST:
            rows = EntityRows({}, plain.count, {})
            return write_answer(service, plain.tables(), rows, shown, identity=identity)
        key = service, plain.count, shown.statuses, shown.event_times
        form = self._forms.get(key)
        if form is None:
            if len(self._forms) >= _KEPT:
                self._forms.clear()
            form = self._forms[key] = _build(service, plain, shown)
        return form.write(plain, shown, identity)


def _build(service: str, plain: PlainRows, shown: Shown) -> _Form:
    rows = EntityRows({}, plain.count, {})
    body = build_answer(service, plain.tables(), rows, shown, identity="")
    features = list(body["features"].values())
    return _Form(body, features, [read.view.name for read in plain.reads])
