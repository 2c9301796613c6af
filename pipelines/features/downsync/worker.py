"""Reading one shard: judge what comes, and commit it as files, memory and place at once.

A commit is one conditional write of the shard's record. Before it, everything lies where nobody
looks; after it, the files are copied to where tables have them, by names that the record holds,
so that doing it again changes nothing. Killed before the commit, the batch is read again; killed
after it, the next reader finishes it first.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from uuid import uuid4

from mlops.clock import Clock
from mlops.errors import JobFailed, NotFound
from mlops.objects import Documents
from pipelines.features.downsync.batch import Batch, Desk
from pipelines.features.downsync.catalog import Catalog
from pipelines.features.downsync.flows import FlowBook
from pipelines.features.downsync.judging import Judge
from pipelines.features.downsync.layout import memory_prefix, staged_prefix
from pipelines.features.downsync.memory import Memory, read_memory
from pipelines.features.downsync.metrics import ConsumerMetrics
from pipelines.features.downsync.past import TablePast
from pipelines.features.downsync.reading import Page, ShardReader, Stream
from pipelines.features.downsync.shards import Lease, Publication, ShardRecord, add_counts

log = logging.getLogger("mlops.downsync.consumer")


@dataclass(frozen=True)
class Limits:
    """When a batch is committed, and how often a reader is heard of."""

    rows: int = 50_000
    bytes: int = 64 * 1024 * 1024
    seconds: float = 60.0
    lease_seconds: float = 30.0

    @property
    def beat_seconds(self) -> float:
        return self.lease_seconds / 3


@dataclass(frozen=True)
class Tools:
    """What every worker of a process works with."""

    stream: Stream
    documents: Documents
    """The data bucket."""
    catalog: Catalog
    flows: FlowBook
    clock: Clock
    metrics: ConsumerMetrics
    limits: Limits = Limits()
    monotonic: Callable[[], float] = time.monotonic
    passed: Callable[[str], None] = lambda _: None
    """Told of every step of a commit; tests end the process there."""


@dataclass
class Worker:
    """One shard that this process holds."""

    tools: Tools
    lease: Lease
    judge: Judge
    reader: ShardReader
    batch: Batch
    is_caught_up: bool = False
    is_drained: bool = False
    heard: float = field(default=0.0)
    behind_ms: int | None = None

    @classmethod
    def start(cls, tools: Tools, lease: Lease, parents: Iterable[ShardRecord]) -> Worker:
        """Finish what the reader before committed, and go on where it stood.

        parents: the records of the shards that this one came from.
        """
        record = lease.record
        publish(tools, lease)
        sweep(tools, record)
        memory = recall(tools.documents, record, parents)
        judge = Judge(memory, TablePast(tools.documents, tools.flows.flows))
        reader = tools.stream.reader(record.shard, record.checkpoint)
        now = tools.monotonic()
        return cls(tools, lease, judge, reader, Batch(now), heard=now)

    def step(self) -> Page:
        """Read once, and commit when that is due. Raises LeaseLost, Unavailable."""
        if not self.batch.events:
            self.tools.flows.refresh()
        page = self.reader.read()
        desk = Desk(self.judge, self.tools.flows, self.tools.clock.now(), self.tools.flows.now())
        for entry in page.entries:
            self.batch.add(entry, desk)
        if page.behind_ms is not None:
            self.behind_ms, self.is_caught_up = page.behind_ms, page.behind_ms == 0
            self.tools.metrics.show_lag(self.lease.record.shard, page.behind_ms)
        if page.is_end or self._is_due():
            self.commit(is_drained=page.is_end)
        elif self.tools.monotonic() - self.heard >= self.tools.limits.beat_seconds:
            self._write()
        return page

    def finish(self) -> None:
        """Commit what was read, and let the shard go."""
        if self.batch.last is not None:
            self.commit()
        self._write(owner=None)

    def commit(self, *, is_drained: bool = False) -> None:
        """Everything of the batch, or nothing of it."""
        batch, tools, record = self.batch, self.tools, self.lease.record
        publications = tuple(self._stage())
        tools.passed("staged")
        memory = f"{memory_prefix(record.stream, record.shard)}{uuid4().hex}.arrow"
        tools.documents.put(memory, self.judge.memory.write())
        tools.passed("remembered")
        self._write(
            checkpoint=batch.last or record.checkpoint,
            arrived=batch.arrived or record.arrived,
            is_drained=is_drained,
            memory=memory,
            publications=publications,
            counts=add_counts(record.counts, batch.counts),
        )
        tools.passed("committed")
        publish(tools, self.lease)
        if record.memory:
            tools.documents.delete(record.memory)
        tools.passed("cleaned")
        if batch.arrived:
            arrived_ms = round(batch.arrived.timestamp() * 1000)
            self.judge.tidy(tools.flows.flows, arrived_ms)
        tools.metrics.count(batch.counts)
        self.batch, self.is_drained = Batch(tools.monotonic()), is_drained

    def _stage(self) -> Iterable[Publication]:
        record, batch = self.lease.record, self.batch
        for number, file in enumerate(self.batch.files()):
            name = f"{uuid4().hex}{file.suffix}"
            staged = staged_prefix(record.stream, record.shard) + name
            self.tools.documents.put(staged, file.body)
            # Unique, as each sequence number is committed once; and it says where it came from.
            place = f"{record.stream}-{record.shard}-{batch.first}-{number}"
            final = f"{file.folder}{place}{file.suffix}"
            yield Publication(
                staged=staged, final=final, table=file.table, day=file.day, rows=file.rows
            )

    def _is_due(self) -> bool:
        batch, limits = self.batch, self.tools.limits
        return batch.last is not None and (
            batch.events >= limits.rows
            or batch.bytes >= limits.bytes
            or self.tools.monotonic() - batch.began >= limits.seconds
        )

    def _write(self, **changes: object) -> None:
        self.lease.write(behind_ms=self.behind_ms, written_at=self.tools.clock.now(), **changes)
        self.heard = self.tools.monotonic()


def publish(tools: Tools, lease: Lease) -> None:
    """Put the files of the last commit where they belong; as often as need be."""
    publications = lease.record.publications
    if not publications:
        return
    for one in publications:
        if one.table:
            tools.catalog.ensure_day(one.table, one.day)
        _copy(tools.documents, one)
        tools.passed("copied")
    for one in publications:
        tools.documents.delete(one.staged)
    lease.write(publications=())
    tools.passed("published")


def _copy(documents: Documents, one: Publication) -> None:
    try:
        documents.copy(one.staged, one.final)
    except NotFound as exc:
        if one.final in documents.keys(one.final):
            return  # a reader that was killed, or lost the shard, was as far as this
        raise JobFailed(
            f"{one.staged} is committed and gone, and {one.final} is not there: {one.rows} rows "
            "are lost. Restore the object's last version, and start the consumer again."
        ) from exc


def sweep(tools: Tools, record: ShardRecord) -> None:
    """Remove what a killed reader left: files that no commit names."""
    named = {one.staged for one in record.publications} | {record.memory}
    for prefix in (staged_prefix, memory_prefix):
        for key in list(tools.documents.keys(prefix(record.stream, record.shard))):
            if key not in named:
                tools.documents.delete(key)


def recall(documents: Documents, record: ShardRecord, parents: Iterable[ShardRecord]) -> Memory:
    """What the last reader remembered, or at first what the readers of the parents did."""
    keys = [record.memory] if record.memory else [parent.memory for parent in parents]
    bodies = {key: documents.get(key).body for key in keys if key}
    try:
        return read_memory(bodies.values())
    except ValueError as exc:
        raise JobFailed(
            f"What was remembered of shard {record.shard} cannot be read ({exc}). Run the consumer "
            "of the version that wrote it until it has caught up, then this one."
        ) from exc
