"""A consumer: takes shards that nobody reads, a fair share of them, and reads each in a thread."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Event, Thread
from uuid import uuid4

from mlops.errors import JobFailed, MlopsError
from mlops.objects import Document
from pipelines.features.downsync.reading import StreamShard
from pipelines.features.downsync.shards import LeaseLost, ShardBook, ShardRecord
from pipelines.features.downsync.worker import Tools, Worker, publish

log = logging.getLogger("mlops.downsync.consumer")

_IDLE_SECONDS = 0.5
"""Between two reads of a shard that has nothing new; AWS allows five reads a second."""

_SLICE_SECONDS = 0.2
"""How soon a request to end is noticed."""

Records = Mapping[str, tuple[ShardRecord, Document]]


@dataclass(frozen=True)
class _Heard:
    """The last change of a shard's record, as this process saw it."""

    beat: int
    at: float
    """By this process's own clock."""
    changes: int = 0
    """Seen since the first look: with one, somebody is alive."""


@dataclass
class Consumer:
    """One process's part in reading a stream.

    until_caught_up: end when everything was read that had arrived, instead of going on.
    """

    tools: Tools
    until_caught_up: bool = False
    owner: str = field(default_factory=lambda: uuid4().hex[:12])
    stopping: Event = field(default_factory=Event)
    workers: dict[str, Worker] = field(default_factory=dict)
    failed: MlopsError | None = None
    is_asked: bool = False
    _threads: dict[str, Thread] = field(default_factory=dict)
    _heard: dict[str, _Heard] = field(default_factory=dict)
    _finished: set[str] = field(default_factory=set)
    _woken: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self.book = ShardBook(self.tools.documents, self.tools.stream.identity)

    def run(self) -> None:
        """Consume until `ask_to_stop`, or until caught up; then everything read is committed.

        Raises what failed when it is to end by itself; otherwise tries again.
        """
        try:
            while not self.is_asked:
                is_done = self._attempt_tick()
                if self.until_caught_up and (is_done or self.failed):
                    break
                self._pause()
        finally:
            self.stopping.set()
            for thread in list(self._threads.values()):
                thread.join()
        if self.failed:
            raise self.failed

    def ask_to_stop(self) -> None:
        """Commit, let go of the shards and end. For a signal's handler, so it takes no lock."""
        self.is_asked = True

    def _pause(self) -> None:
        """Until the next look is due, a worker has ended, or this process is to."""
        waited = 0.0
        while waited < self.tools.limits.beat_seconds and not self.is_asked:
            if self._woken.wait(_SLICE_SECONDS):
                break
            waited += _SLICE_SECONDS
        self._woken.clear()

    def _attempt_tick(self) -> bool:
        try:
            is_done = self.tick()
        except MlopsError as exc:
            self._fail(exc)
            return False
        for shard, worker in list(self.workers.items()):
            if shard not in self._threads:
                thread = Thread(target=self._work, args=(shard, worker), name=shard)
                self._threads[shard] = thread
                thread.start()
        return is_done

    def tick(self) -> bool:
        """Look at the shards and take what is this process's to read; whether nothing is left."""
        # A shard that ends while we look has children that we do not see yet.
        finished = frozenset(self._finished)
        listed = {shard.id: shard for shard in self.tools.stream.shards()}
        records = self.book.read()
        for name, (record, _) in records.items():
            self._observe(name, record)
        ready = [s for s in listed.values() if _is_ready(s, listed, records)]
        for shard in self._choose(ready, records):
            self._take(shard, records)
        unsettled = [
            name for name in records if name not in listed and _is_unsettled(name, records)
        ]
        for name in unsettled:
            self._settle(name, records)
        self._warn_of_lost(listed, records)
        left = [*(shard.id for shard in ready), *unsettled]
        return all(name in finished or self._is_others(name, records) for name in left)

    def _observe(self, shard: str, record: ShardRecord) -> None:
        known = self._heard.get(shard)
        if known is None:
            self._heard[shard] = _Heard(record.beat, self.tools.monotonic())
        elif known.beat != record.beat:
            self._heard[shard] = _Heard(record.beat, self.tools.monotonic(), known.changes + 1)

    def _owner_of(self, shard: str, records: Records) -> str | None:
        """Who reads a shard; None for one whose reader is gone or was not heard of for long."""
        if shard in self.workers:
            return self.owner
        if shard not in records:
            return None
        owner, silent = records[shard][0].owner, self.tools.monotonic() - self._heard[shard].at
        is_gone = silent >= self.tools.limits.lease_seconds
        return None if is_gone or owner == self.owner else owner

    def _choose(self, ready: list[StreamShard], records: Records) -> list[StreamShard]:
        """Free shards up to a fair share; with none free, one of whoever has too many."""
        wanted = [shard for shard in ready if shard.id not in self._finished]
        owners = {shard.id: self._owner_of(shard.id, records) for shard in wanted}
        held = Counter(owner for owner in owners.values() if owner)
        share = -(-len(wanted) // len(held.keys() | {self.owner}))
        free = [shard for shard in wanted if owners[shard.id] is None]
        room = share - held[self.owner]
        if free or room <= 0 or self.until_caught_up:
            return free[: max(room, 0)]
        richest, most = max(held.items(), key=lambda item: item[1])
        if most <= share or held[self.owner] + 1 >= most:
            return []
        return [shard for shard in wanted if owners[shard.id] == richest][:1]

    def _take(self, shard: StreamShard, records: Records) -> None:
        parents = [records[parent][0] for parent in shard.parents if parent in records]
        try:
            lease = self.book.take(shard.id, shard.parents, records.get(shard.id), owner=self.owner)
            self.workers[shard.id] = Worker.start(self.tools, lease, parents)
        except LeaseLost:
            return
        log.info("shard taken", extra={"shard": shard.id, "owner": self.owner})

    def _settle(self, shard: str, records: Records) -> None:
        """Finish the last commit of a shard that the stream has dropped, unless its reader does."""
        if self._owner_of(shard, records) is not None:
            return
        record = records[shard][0]
        try:
            lease = self.book.take(shard, record.parents, records[shard], owner=self.owner)
            publish(self.tools, lease)
        except LeaseLost:
            return
        self._finished.add(shard)

    def _is_others(self, shard: str, records: Records) -> bool:
        """Somebody else reads it who is alive: nothing of it is left to do here."""
        if shard in self.workers or self._owner_of(shard, records) is None:
            return False
        return self._heard[shard].changes > 0

    def _warn_of_lost(self, listed: Mapping[str, StreamShard], records: Records) -> None:
        """A shard that ended by age before it was read is a loss that nothing undoes."""
        for name, (record, _) in records.items():
            if name not in listed and not record.is_drained and name not in self._finished:
                self._finished.add(name)
                log.error("a shard ended unread, its last records are lost", extra={"shard": name})

    def _work(self, shard: str, worker: Worker) -> None:
        try:
            self._read(worker)
            self._finished.add(shard)
            self._woken.set()
        except LeaseLost:
            log.info("shard lost", extra={"shard": shard, "owner": self.owner})
        except MlopsError as exc:
            self._fail(exc)
        except Exception as exc:  # the other shards go on, and this one is taken again
            log.exception("failed unexpectedly", extra={"shard": shard})
            self._fail(JobFailed(f"Reading shard {shard} failed: {type(exc).__name__}: {exc}"))
        finally:
            self.tools.metrics.drop_lag(shard)
            self.workers.pop(shard, None)
            self._threads.pop(shard, None)

    def _read(self, worker: Worker) -> None:
        while not (self.stopping.is_set() or worker.is_drained or self._is_enough(worker)):
            page = worker.step()
            if not page.entries and not worker.is_drained:
                self.stopping.wait(_IDLE_SECONDS)
        if not worker.is_drained:
            worker.finish()

    def _is_enough(self, worker: Worker) -> bool:
        return self.until_caught_up and worker.is_caught_up

    def _fail(self, error: MlopsError) -> None:
        """Once more after a pause; or the end, where nobody waits for that."""
        log.warning("failed, will try again", extra={"cause": str(error)})
        self.tools.metrics.count_failure(error.code)
        if self.until_caught_up:
            self.failed = error
            self._woken.set()


def _is_ready(shard: StreamShard, listed: Mapping[str, StreamShard], records: Records) -> bool:
    """Not settled, while every shard that it came from is; those that are gone count."""
    if shard.id in records and records[shard.id][0].is_settled:
        return False
    return all(
        parent in records and records[parent][0].is_settled
        for parent in shard.parents
        if parent in listed
    )


def _is_unsettled(shard: str, records: Records) -> bool:
    """Whether it is read to its end, while files of its last commit are not where they belong."""
    return records[shard][0].is_drained and not records[shard][0].is_settled
