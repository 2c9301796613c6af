"""Loading a shard: read in batches, write, and note how far it came."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlops.errors import Unavailable
from mlops.objects import Document
from mlops.stores.athena.results import S3File
from mlops.stores.athena.sql import to_instant
from mlops.stores.athena.staging import Storage
from mlops.stores.redis.views import StoredView, stored_view
from pipelines.features.upsync.online import OnlineTarget, Written
from pipelines.features.upsync.state import CREATED, EVENT, Progress, RunPlan, Runs, Task

_ROWS = 20_000
"""Rows in memory at a time."""
_SMALL, _BLOCK = 32 << 20, 4 << 20
"""Bytes: a file that is read in one request, and what is read of a larger one in one."""
_NOTE_EVERY = 5.0
"""Seconds between notes; what is loaded after the last one is loaded again after a kill."""
_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
_RESTARTS = 5
_REASONS = 5


@dataclass(frozen=True)
class Patience:
    """How long to wait for a store that refuses writes; it may be full, or failing over."""

    seconds: float = 120.0
    told: Callable[[str], None] = lambda _: None
    sleep: Callable[[float], None] = time.sleep

    def until_it_answers(self, work: Callable[[], Any]) -> Any:
        """Do it, again and again while it raises Unavailable. Raises the last one in the end."""
        began, pause = time.monotonic(), _PAUSE
        while True:
            try:
                return work()
            except Unavailable as exc:
                if time.monotonic() - began + pause > self.seconds:
                    raise
                self.told(f"paused: {exc}")
                self.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)


@dataclass(frozen=True)
class Loader:
    """Loads shards of planned runs. Doing one again changes nothing."""

    runs: Runs
    storage: Storage
    online: OnlineTarget
    patience: Patience = field(default_factory=Patience)
    check: Callable[[], None] = lambda: None
    """Raises Conflict when the view is not ours any more; asked before every write."""
    rows: int = _ROWS
    note_every: float = _NOTE_EVERY

    def load(self, plan: RunPlan, number: int) -> Progress:
        """Load a shard from where it stands to its end; what is done already is left alone.

        A server that changed on the way may have lost what it acknowledged: then all of the shard
        is loaded again.
        """
        server = self._identity()
        for _ in range(_RESTARTS):
            progress, document = self.runs.progress(plan, number)
            if progress.server != server:
                progress = Progress(server=server)
            elif progress.done:
                return progress
            progress, document = self._load_rest(plan, number, progress, document)
            self.patience.until_it_answers(self.online.settle)
            server = self._identity()
            if server == progress.server:
                done = progress.model_copy(update={"done": True})
                self.runs.save_progress(plan, number, done, replacing=document)
                return done
        raise Unavailable(
            f"Redis was restarted {_RESTARTS} times while '{plan.view}' was being loaded. Run the "
            "command again when it is stable; nothing was marked as done."
        )

    def _identity(self) -> str:
        return str(self.patience.until_it_answers(self.online.identity))

    def _load_rest(
        self, plan: RunPlan, number: int, progress: Progress, document: Document | None
    ) -> tuple[Progress, Document | None]:
        task, view = plan.tasks[number], view_of(plan)
        write = partial(self.online.write, ties=plan.ties)
        if task.kind == "exchanges":
            write = partial(self.online.exchange, until=plan.span.until)
        noted = time.monotonic()
        for file, skip, batch in self._batches(task, progress):
            began = time.monotonic()
            self.check()
            outcome = self.patience.until_it_answers(partial(write, view, batch))
            took = time.monotonic() - began
            progress = advanced(progress, batch, outcome, file=file, rows=skip, seconds=took)
            if time.monotonic() - noted >= self.note_every:
                document = self.runs.save_progress(plan, number, progress, replacing=document)
                noted = time.monotonic()
        return progress, document

    def _batches(self, task: Task, progress: Progress) -> Iterator[tuple[int, int, pa.RecordBatch]]:
        """What is left: the file's place, its rows that are done after the batch, the batch."""
        for place, (uri, size) in enumerate(task.files):
            if place < progress.file:
                continue
            skip, seen = progress.rows if place == progress.file else 0, 0
            with pq.ParquetFile(opened(self.storage, uri, size), pre_buffer=False) as file:
                for batch in file.iter_batches(batch_size=self.rows):
                    seen += batch.num_rows
                    if seen > skip:
                        yield place, seen, batch.slice(max(0, batch.num_rows - (seen - skip)))


def opened(storage: Storage, uri: str, size: int) -> Any:
    """A staged file to read: at once where it is small, else where the reader seeks to."""
    if size <= _SMALL:
        return pa.BufferReader(storage.read(uri))
    return io.BufferedReader(S3File(storage, uri, size), _BLOCK)


def advanced(
    progress: Progress,
    batch: pa.RecordBatch,
    outcome: Written,
    *,
    file: int,
    rows: int,
    seconds: float,
) -> Progress:
    """The progress after a batch."""
    return progress.model_copy(
        update={
            "file": file,
            "rows": rows,
            "read": progress.read + batch.num_rows,
            "written": progress.written + outcome.written,
            "older": progress.older + outcome.older,
            "removed": progress.removed + outcome.removed,
            "refused": progress.refused + outcome.refused,
            "reasons": (*progress.reasons, *outcome.reasons)[:_REASONS],
            "bytes": progress.bytes + outcome.bytes,
            "seconds": round(progress.seconds + seconds, 3),
            "event": newest(progress.event, batch, EVENT),
            "created": newest(progress.created, batch, CREATED),
        }
    )


def newest(known: datetime | None, batch: pa.RecordBatch, column: str) -> datetime | None:
    """The later one of a time and the latest in a column of microseconds."""
    latest = pc.max(batch.column(column)).as_py()
    if latest is None:
        return known
    return max(known, to_instant(latest)) if known else to_instant(latest)


def view_of(plan: RunPlan) -> StoredView:
    """The view as it is kept online."""
    return stored_view(
        plan.project,
        plan.view,
        join_keys=plan.join_keys,
        features=plan.features,
        ttl_seconds=plan.ttl_seconds,
        deleted=plan.deleted,
    )
