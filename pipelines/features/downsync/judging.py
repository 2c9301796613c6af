"""Which events become rows: pure, one event after the other, in the order of the stream.

1. Chance: the flow's ratio, by the event's id or its key.
2. Twice: an event whose id was seen within the window is a repetition.
3. Too soon: a row is kept if no kept row of its key is nearer to it in event time than the flow's
   interval, before or after. So a late row fills a gap where there is one, and whatever the
   order of arrival, no two rows of a key are nearer than the interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from mlops.downsync.events import Event
from mlops.downsync.flow import Flow, Kind
from mlops.downsync.thinning import is_drawn
from pipelines.features.downsync.memory import Memory, event_digest

DEDUPE_MS = 60 * 60 * 1000
"""An event that comes again is known for so long; producers give up long before."""
_SLACK_MS = 10 * 60 * 1000
"""A kept row is remembered for its interval and so much more; then the table is asked."""


class Verdict(StrEnum):
    """What becomes of an event."""

    KEPT = "kept"
    SAMPLED_OUT = "sampled_out"
    DUPLICATE = "duplicate"
    TOO_SOON = "too_soon"
    NOT_LOGGED = "not_logged"
    """The view does not log this kind any more."""
    DEAD = "dead"
    """It is no event that a table could hold; it is set aside with the reason."""


class Past(Protocol):
    """Rows that are in the table."""

    def has_within(self, table: str, digest: bytes, time_us: int, interval_us: int) -> bool:
        """Whether a row of the key is nearer than the interval."""

    def forget(self, table: str) -> None:
        """More rows are in the table now."""


@dataclass(frozen=True)
class Judge:
    """Judges events of one shard."""

    memory: Memory
    past: Past

    def judge(self, event: Event, flow: Flow, arrived_ms: int) -> Verdict:
        """Never DEAD."""
        if event.kind not in flow.logs:
            return Verdict.NOT_LOGGED
        if not is_drawn(flow.thinning, event.digest, event.id):
            return Verdict.SAMPLED_OUT
        table = flow.table(event.kind)
        identity = event_digest(table, event.id)
        if identity in self.memory.events:
            return Verdict.DUPLICATE
        self.memory.events[identity] = arrived_ms
        interval = flow.thinning.interval_us
        if not interval:
            return Verdict.KEPT
        if self._is_too_soon(table, event, interval):
            return Verdict.TOO_SOON
        self.memory.rows(table).add(event.digest, event.time_us, arrived_ms)
        return Verdict.KEPT

    def _is_too_soon(self, table: str, event: Event, interval: int) -> bool:
        rows = self.memory.rows(table)
        if rows.has_within(event.digest, event.time_us, interval):
            return True
        if rows.forgotten_us is None or event.time_us - interval >= rows.forgotten_us:
            return False
        return self.past.has_within(table, event.digest, event.time_us, interval)

    def tidy(self, flows: Mapping[str, Flow], arrived_ms: int) -> None:
        """Forget what is older than its window, at the arrival of the newest event.

        Only right when every row that is kept so far is in its table.
        """
        self.memory.forget_events_before(arrived_ms - DEDUPE_MS)
        intervals = {f.table(kind): f.thinning.interval_us for f in flows.values() for kind in Kind}
        for table, rows in self.memory.kept.items():
            window = intervals.get(table, 0) // 1000 + _SLACK_MS
            rows.forget_before(arrived_ms - window)
            self.past.forget(table)
