"""Writing rows: many in few calls, the newest wins, and every row is accounted for.

    writer = OnlineWriter(link, clock=clock)
    report = writer.write(Batch(view, record_batch, event_time="event_time", created="created"))

Rows of several views of the same entities cost Redis half as much when they come together:
`write_all([[spend, risk], [spend, risk]])`. Writing again what was written does no harm.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mlops.clock import Clock, SystemClock
from mlops.errors import Conflict
from mlops.stores.redis.batches import Batch, Encoded, Limits, Refusal, encode, to_microseconds
from mlops.stores.redis.commands import Call
from mlops.stores.redis.keys import schemas_key
from mlops.stores.redis.link import Link
from mlops.stores.redis.script import UPSERT
from mlops.stores.redis.views import StoredView

_ROWS = 256
"""Rows in one call of the script, which readers wait for: about half a millisecond."""


@dataclass
class WriteReport:
    """What became of a view's rows."""

    written: int = 0
    skipped: int = 0
    """Rows that were not newer than what stands there."""
    refused: list[Refusal] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return self.written + self.skipped + len(self.refused)


@dataclass
class OnlineWriter:
    """Writes rows of views to Redis."""

    link: Link
    clock: Clock
    limits: Limits = field(default_factory=Limits)

    def write(self, batch: Batch, *, overwrite: bool = False) -> WriteReport:
        """Write a batch; returns when Redis has all of it.

        overwrite: put rows over newer ones, too.
        Raises InputError where a column does not fit (then nothing is written), Unavailable where
        Redis does not answer or is full (then a part may be written; write it again).
        """
        reports = self.write_all([[batch]], overwrite=overwrite)
        return reports[batch.view.name]

    def write_all(
        self, batches: Iterable[Sequence[Batch]], *, overwrite: bool = False
    ) -> dict[str, WriteReport]:
        """Write batch after batch, taking the next one while Redis is at work; reports by view.

        The batches of one sequence belong to different views with the same join keys, and are
        best for the same entities in the same order. Rows of an entity in one view may come in any
        order. Raises as `write`.
        """
        now = self.clock.now()
        encoded = (
            [encode(batch, now=now, limits=self.limits) for batch in together]
            for together in batches
        )
        return self.write_encoded(encoded, now=now, overwrite=overwrite)

    def write_encoded(
        self, batches: Iterable[Sequence[Encoded]], *, now: datetime, overwrite: bool = False
    ) -> dict[str, WriteReport]:
        """As `write_all`, of rows that are packed already."""
        reports: dict[str, WriteReport] = defaultdict(WriteReport)
        seen: dict[bytes, StoredView] = {}
        calls = self._calls(batches, reports, seen, now=now, overwrite=overwrite)

        def register_again() -> None:
            for view in seen.values():
                self.register(view)

        for call, counts in self.link.run(UPSERT, calls, prepare=register_again):
            views: Sequence[StoredView] = call.about
            for place, view in enumerate(views):
                reports[view.name].written += counts[place]
                reports[view.name].skipped += counts[place + len(views)]
            for place in counts[2 * len(views) :]:
                _refuse_key(reports, views, call, place - 1)
        return dict(reports)

    def _calls(
        self,
        batches: Iterable[Sequence[Encoded]],
        reports: dict[str, WriteReport],
        seen: dict[bytes, StoredView],
        *,
        now: datetime,
        overwrite: bool,
    ) -> Iterator[Call]:
        for together in batches:
            for encoded in together:
                if encoded.view.schema.tag not in seen:
                    seen[encoded.view.schema.tag] = encoded.view
                    self.register(encoded.view)
                reports[encoded.view.name].refused += encoded.refused
            flag = b"f" if overwrite else b""
            for part in _joinable(together):
                options = [flag, *self._life(part, now)]
                yield from _pack(part, options, at_most=self.link.keys_per_call)

    def register(self, view: StoredView) -> None:
        """Keep the view's schema in Redis, where readers find it by its fingerprint.

        Raises Conflict where another schema has the same one.
        """
        key, schema = schemas_key(view.project), view.schema
        kept = self.link.command("HGET", key, schema.fingerprint)
        if kept is None:
            self.link.command("HSETNX", key, schema.fingerprint, schema.document)
            kept = self.link.command("HGET", key, schema.fingerprint)
        if kept != schema.document:
            raise Conflict(
                f"The schema of view '{view.name}' has the fingerprint of another one, "
                f"{kept!r}. Rename or reorder a feature."
            )

    def _life(self, together: Sequence[Encoded], now: datetime) -> list[bytes]:
        """How long the keys must live, and how long they are given, in milliseconds.

        Redis counts by its own clock, so under a replayed one nothing expires.
        """
        if any(encoded.view.ttl_seconds == 0 for encoded in together):
            return [b"-1", b"0"]
        if not isinstance(self.clock, SystemClock):
            return [b"0", b"0"]
        latest = max(encoded.latest for encoded in together)
        ahead = max(0, latest - to_microseconds(now)) // 1000
        need = 1000 * max(encoded.view.ttl_seconds for encoded in together) + ahead
        return [b"%d" % need, b"%d" % (need + need // 8)]


def _joinable(together: Sequence[Encoded]) -> Iterator[Sequence[Encoded]]:
    """Views whose rows go side by side; others go one after another."""
    first = together[0] if together else None
    if first is not None and all(part.keys == first.keys for part in together[1:]):
        yield together
    else:
        yield from ([part] for part in together)


def _pack(together: Sequence[Encoded], options: Sequence[bytes], *, at_most: int) -> Iterator[Call]:
    views = [encoded.view for encoded in together]
    head = [*options, b"%d" % len(views), *(view.field for view in views)]
    keys = together[0].keys
    step = min(max(1, _ROWS // len(views)), at_most)
    for start in range(0, len(keys), step):
        columns = [encoded.rows[start : start + step] for encoded in together]
        rows = [row for entity in zip(*columns, strict=True) for row in entity]
        yield Call(keys[start : start + step], [*head, *rows], views)


def _refuse_key(
    reports: dict[str, WriteReport], views: Sequence[StoredView], call: Call, place: int
) -> None:
    reason = f"Redis holds something that is no hash under {call.keys[place]!r}"
    for view in views:
        reports[view.name].refused.append(Refusal(-1, reason))
