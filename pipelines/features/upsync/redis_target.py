"""The online store on Redis, as upsync writes to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mlops.clock import Clock
from mlops.errors import Unavailable
from mlops.stores.redis.arrow import created_times, event_times, row_keys
from mlops.stores.redis.batches import Batch, Encoded, Limits, encode
from mlops.stores.redis.exchange import TIMES, Exchange, exchange, packed_times
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
        return str(self._server()["run_id"])

    def write(self, view: StoredView, rows: pa.RecordBatch, *, ties: bool = False) -> Written:
        encoded = self._encoded(view, rows)
        changed = 0
        if ties:
            old = [row[TIMES] for row in encoded.rows]
            changed = sum(exchange(self.link, Exchange(view, encoded.keys, old, encoded.rows)))
        found = self._written(encoded)
        return replace(found, written=found.written + changed, older=found.older - changed)

    def exchange(self, view: StoredView, rows: pa.RecordBatch) -> Written:
        """First what stands is exchanged, then newest wins among what could not be."""
        empty = rows.column(EVENT).is_null()
        gone, new = rows.filter(empty), rows.filter(pc.invert(empty))
        removed = sum(self._exchange(view, gone, [b""] * gone.num_rows))
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
        replicas = int(self._replication().get("connected_slaves", 0))
        if replicas and int(self.link.command("WAIT", 1, _SETTLE_MS)) < 1:
            raise Unavailable(
                f"Redis at {self.link.address} has {replicas} replicas, and none of them took what "
                f"was written within {_SETTLE_MS // 1000} s. Look at their replication lag."
            )

    def mark(self, view: str) -> str | None:
        found = self.link.command("GET", mark_key(self.project, view))
        return found.decode() if found else None

    def set_mark(self, view: str, run: str) -> None:
        self.link.command("SET", mark_key(self.project, view), run)

    def _encoded(self, view: StoredView, rows: pa.RecordBatch) -> Encoded:
        batch = Batch(view, rows, event_time=EVENT, created=CREATED)
        return encode(batch, now=self.clock.now(), limits=self.limits)

    def write_together(self, batches: Sequence[tuple[StoredView, pa.RecordBatch]]) -> list[Written]:
        return self._write([self._encoded(view, rows) for view, rows in batches])

    def _written(self, encoded: Encoded) -> Written:
        [written] = self._write([encoded])
        return written

    def _write(self, together: Sequence[Encoded]) -> list[Written]:
        writer = OnlineWriter(self.link, self.clock, self.limits)
        reports = writer.write_encoded([together], now=self.clock.now())
        return [
            _told(encoded, reports.get(encoded.view.name, WriteReport())) for encoded in together
        ]

    def _exchange(self, view: StoredView, rows: pa.RecordBatch, new: Sequence[bytes]) -> list[bool]:
        if not rows.num_rows:
            return []
        event, _ = event_times(rows, OLD_EVENT)
        old = packed_times(event, created_times(rows, OLD_CREATED))
        keys = row_keys(view.keys, rows)
        return exchange(self.link, Exchange(view, [key or b"" for key in keys], old, new))

    def _server(self) -> dict[str, Any]:
        found: dict[str, Any] = self.link.command("INFO", "server")
        return found

    def _replication(self) -> dict[str, Any]:
        found: dict[str, Any] = self.link.command("INFO", "replication")
        return found


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
