"""The online store on Redis, as upsync writes to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from mlops.clock import Clock
from mlops.stores.redis.arrow import created_times, event_times, row_keys
from mlops.stores.redis.batches import Batch, Encoded, Limits, encode, to_microseconds
from mlops.stores.redis.exchange import TIMES, Exchange, exchange, packed_times, vanished
from mlops.stores.redis.link import Link
from mlops.stores.redis.views import StoredView
from mlops.stores.redis.writing import OnlineWriter, WriteReport
from pipelines.features.upsync.online import Written
from pipelines.features.upsync.state import CREATED, EVENT, OLD_CREATED, OLD_EVENT

_SETTLE_MS = 5_000
_SHOWN = 3


@dataclass(frozen=True)
class RedisTarget:
    """Writes packed rows; `project` is Feast's."""

    link: Link
    project: str
    clock: Clock
    limits: Limits = field(default_factory=Limits)

    def identity(self) -> str:
        return ",".join(str(server["run_id"]) for server in self.link.everywhere("INFO", "server"))

    def write(self, view: StoredView, rows: pa.RecordBatch, *, ties: bool = False) -> Written:
        encoded = self._encoded(view, rows)
        if not ties:
            return self._brought_back(encoded, self._written(encoded))
        old = [row[TIMES] for row in encoded.rows]
        changed = sum(exchange(self.link, Exchange(view, encoded.keys, old, encoded.rows)))
        found = self._written(encoded)
        return replace(found, written=found.written + changed, older=found.older - changed)

    def exchange(self, view: StoredView, rows: pa.RecordBatch, *, until: datetime) -> Written:
        """First what stands is exchanged, then newest wins among what could not be."""
        empty = rows.column(EVENT).is_null()
        gone, new = rows.filter(empty), rows.filter(pc.invert(empty))
        removed = sum(self._remove(view, gone, until))
        encoded = self._encoded(view, new)
        refused = {refusal.row for refusal in encoded.refused}
        fine = [place for place in range(new.num_rows) if place not in refused]
        changed = sum(self._exchange(view, new.take(pa.array(fine, pa.int64())), encoded.rows))
        left = self._written(encoded)
        older = gone.num_rows - removed + left.older - changed
        return Written(
            written=changed + left.written,
            older=older,
            removed=removed,
            refused=left.refused,
            reasons=left.reasons,
            bytes=left.bytes,
        )

    def settle(self) -> None:
        self.link.settle(_SETTLE_MS)

    def mark(self, view: str) -> str | None:
        found = self.link.command("GET", mark_key(self.project, view))
        return found.decode() if found else None

    def set_mark(self, view: str, run: str) -> None:
        self.link.command("SET", mark_key(self.project, view), run)

    def _encoded(self, view: StoredView, rows: pa.RecordBatch) -> Encoded:
        batch = Batch(view, rows, event_time=EVENT, created=CREATED)
        return encode(batch, now=self.clock.now(), limits=self.limits)

    def write_together(self, batches: Sequence[tuple[StoredView, pa.RecordBatch]]) -> list[Written]:
        together = [self._encoded(view, rows) for view, rows in batches]
        pairs = zip(together, self._write(together), strict=True)
        return [self._brought_back(encoded, written) for encoded, written in pairs]

    def _written(self, encoded: Encoded) -> Written:
        [written] = self._write([encoded])
        return written

    def _write(self, together: Sequence[Encoded]) -> list[Written]:
        writer = OnlineWriter(self.link, self.clock, self.limits)
        reports = writer.write_encoded([together], now=self.clock.now())
        return [
            _told(encoded, reports.get(encoded.view.name, WriteReport())) for encoded in together
        ]

    def _brought_back(self, encoded: Encoded, written: Written) -> Written:
        """A row of the offline store stands again for one that vanished from there, if older."""
        if not written.older:
            return written
        any_times = [b""] * len(encoded.keys)
        asked = Exchange(encoded.view, encoded.keys, any_times, encoded.rows)
        back = sum(exchange(self.link, asked))
        return replace(written, written=written.written + back, older=written.older - back)

    def _remove(self, view: StoredView, rows: pa.RecordBatch, until: datetime) -> list[bool]:
        """A row that is only ahead of the clock has not vanished, and leaves nothing."""
        event, _ = event_times(rows, OLD_EVENT)
        times = packed_times(event, created_times(rows, OLD_CREATED))
        ahead = (event > to_microseconds(until)).tolist()
        left = [b"" if is_ahead else vanished(t) for is_ahead, t in zip(ahead, times, strict=True)]
        return self._exchange(view, rows, left)

    def _exchange(self, view: StoredView, rows: pa.RecordBatch, new: Sequence[bytes]) -> list[bool]:
        if not rows.num_rows:
            return []
        event, _ = event_times(rows, OLD_EVENT)
        old = packed_times(event, created_times(rows, OLD_CREATED))
        keys = row_keys(view.keys, rows)
        return exchange(self.link, Exchange(view, [key or b"" for key in keys], old, new))


def mark_key(project: str, view: str) -> str:
    """What tells the last run of the view that this store holds."""
    return f"mlops:upsync:{project}:{view}"


def _told(encoded: Encoded, report: WriteReport) -> Written:
    return Written(
        written=report.written,
        older=report.skipped,
        refused=len(report.refused),
        reasons=tuple(refusal.reason for refusal in report.refused[:_SHOWN]),
        bytes=sum(map(len, encoded.rows)),
    )
