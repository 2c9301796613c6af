"""What the tests of downsync share: a flow, its events, the rows of its table, and the oracle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mlops.clock import FixedClock
from mlops.downsync.events import Encoder, Event, pack
from mlops.downsync.flow import Flow, Kind, Thinning, flow_body, flow_key
from mlops.downsync.thinning import BUCKETS, bucket_of, is_drawn, key_digest
from mlops.objects import Documents, MemoryDocuments
from mlops.plan import PlannedField
from pipelines.features.downsync.catalog import MemoryCatalog
from pipelines.features.downsync.consumer import Consumer
from pipelines.features.downsync.flows import FlowBook
from pipelines.features.downsync.layout import table_prefix
from pipelines.features.downsync.metrics import ConsumerMetrics
from pipelines.features.downsync.reading import MemoryStream
from pipelines.features.downsync.worker import Limits, Tools

START = datetime(2018, 8, 8, tzinfo=UTC)
SECOND = 1_000_000
CLICKS = Flow(
    project="shop",
    view="clicks",
    keys=(PlannedField(name="user_id", dtype="String"),),
    features=(PlannedField(name="n", dtype="Int64"), PlannedField(name="share", dtype="Float64")),
    push_source="clicks_push",
    logs=(Kind.PUSHED,),
)


def thinned(**thinning: Any) -> Flow:
    return CLICKS.model_copy(update={"thinning": Thinning(**thinning)})


def click(user: str, seconds: float, n: int, *, event_id: str = "", flow: Flow = CLICKS) -> Event:
    """A push of a user's row so many seconds after START; `n` tells events apart."""
    key, at = {"user_id": user}, int(START.timestamp()) * SECOND + round(seconds * SECOND)
    return Event(
        id=event_id or f"event-{n}",
        kind=Kind.PUSHED,
        view=flow.view,
        schema=flow.schema_version,
        time_us=at,
        created_us=at,
        key=key,
        digest=key_digest(key),
        values={"n": n, "share": n / 8},
        facts={"push_source": "clicks_push", "pushed_by": "test"},
    )


def expected(events: Iterable[Event], flow: Flow) -> list[int]:
    """The oracle: the `n` of the rows that a table must hold, by brute force over all events."""
    kept: list[Event] = []
    seen: set[str] = set()
    for event in events:
        if not is_drawn(flow.thinning, event.digest, event.id) or event.id in seen:
            continue
        seen.add(event.id)
        near = [
            row
            for row in kept
            if row.key == event.key and abs(row.time_us - event.time_us) < flow.thinning.interval_us
        ]
        if not near:
            kept.append(event)
    return sorted(event.values["n"] for event in kept)


def rows_of(documents: Documents, table: str = "clicks_pushed") -> list[dict[str, Any]]:
    """Every row of a table, as its files have it, in no order."""
    return [
        row
        for key in documents.keys(table_prefix(table))
        for row in pq.read_table(pa.BufferReader(documents.get(key).body)).to_pylist()
    ]


def numbers(documents: Documents, table: str = "clicks_pushed") -> list[int]:
    return sorted(row["n"] for row in rows_of(documents, table))


@dataclass
class RoutedStream(MemoryStream):
    """A stream whose shards hold ranges of buckets, as the real one's do."""

    ranges: dict[str, tuple[int, int]] = field(default_factory=dict)
    """The first bucket, and the one behind the last."""
    arrived: datetime = START

    def open_even(self, count: int) -> None:
        bounds = [BUCKETS * n // count for n in range(count + 1)]
        for n in range(count):
            self._open(bounds[n], bounds[n + 1])

    def send(self, *events: Event, flow: Flow = CLICKS) -> None:
        """One record for each."""
        for event in events:
            self.send_raw(bucket_of(event.digest), pack([Encoder(flow).encode(event)]))

    def send_raw(self, bucket: int, data: bytes) -> None:
        ranges = {shard: range(*self.ranges[shard]) for shard in self._open_shards()}
        (shard,) = (name for name, buckets in ranges.items() if bucket in buckets)
        self.arrived += timedelta(milliseconds=1)
        self.put(shard, data, self.arrived)

    def split(self, index: int) -> None:
        """The index-th open shard, in halves; one of a single bucket stays."""
        shard = self._open_shards()[index % len(self._open_shards())]
        first, end = self.ranges[shard]
        middle = (first + end) // 2
        if first < middle:
            self._open(first, middle, shard)
            self._open(middle, end, shard)

    def merge(self, index: int) -> None:
        """The index-th open shard with the one after it, where there is one."""
        shards = self._open_shards()
        if len(shards) > 1:
            low, high = shards[index % (len(shards) - 1) :][:2]
            self._open(self.ranges[low][0], self.ranges[high][1], low, high)

    def _open(self, first: int, end: int, *parents: str) -> None:
        name = f"shard-{len(self.parents):04d}"
        self.open(name, *parents)
        self.ranges[name] = (first, end)

    def _open_shards(self) -> list[str]:
        open_ = (shard for shard in self.parents if shard not in self.closed)
        return sorted(open_, key=lambda shard: self.ranges[shard])


@dataclass
class Ticking:
    """A monotonic clock that a test moves."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class World:
    """A stream, the documents, and consumers that come and go."""

    stream: RoutedStream = field(default_factory=RoutedStream)
    documents: MemoryDocuments = field(default_factory=MemoryDocuments)
    artifacts: MemoryDocuments = field(default_factory=MemoryDocuments)
    catalog: MemoryCatalog = field(default_factory=MemoryCatalog)
    time: Ticking = field(default_factory=Ticking)
    limits: Limits = field(default_factory=lambda: Limits(rows=5, seconds=60, lease_seconds=30))

    @classmethod
    def with_flow(cls, flow: Flow = CLICKS, *, shards: int = 1, **others: Any) -> World:
        world = cls(**others)
        world.apply(flow)
        world.stream.open_even(shards)
        return world

    def apply(self, flow: Flow) -> None:
        self.artifacts.put(flow_key(flow.view), flow_body(flow))

    def tools(self, documents: Documents | None = None, **others: Any) -> Tools:
        return Tools(
            self.stream,
            documents or self.documents,
            self.catalog,
            FlowBook(self.artifacts, self.catalog, self.time),
            FixedClock(START + timedelta(days=3650)),
            ConsumerMetrics(),
            self.limits,
            self.time,
            **others,
        )

    def consumer(self, documents: Documents | None = None, **others: Any) -> Consumer:
        return Consumer(self.tools(documents, **others), until_caught_up=True)


def drain(consumer: Consumer, *, most: int = 1000) -> None:
    """Read and commit everything, without threads, each shard a step at a time.

    While there is nothing to read, time passes.
    """
    time = consumer.tools.monotonic
    assert isinstance(time, Ticking)
    for _ in range(most):
        if consumer.tick():
            return
        if not consumer.workers:
            time.seconds += consumer.tools.limits.beat_seconds
        for shard, worker in list(consumer.workers.items()):
            worker.step()
            if worker.is_caught_up and not worker.is_drained:
                worker.finish()
            if worker.is_drained or worker.is_caught_up:
                consumer._finished.add(shard)
                del consumer.workers[shard]
    raise AssertionError("it never catches up")


class Killed(BaseException):
    """The process is gone: nobody tidies up."""


@dataclass
class DeadlyDocuments:
    """Documents under which the process is killed at its n-th change, before or after it."""

    below: MemoryDocuments
    at: int
    after: bool
    changes: int = 0

    def get(self, key: str) -> Any:
        return self.below.get(key)

    def keys(self, prefix: str) -> Iterator[str]:
        return self.below.keys(prefix)

    def etags(self, prefix: str) -> dict[str, str]:
        return self.below.etags(prefix)

    def put(self, key: str, body: bytes, *, etag: str | None = None) -> Any:
        return self._change(lambda: self.below.put(key, body, etag=etag))

    def create(self, key: str, body: bytes) -> Any:
        return self._change(lambda: self.below.create(key, body))

    def copy(self, source: str, target: str) -> None:
        self._change(lambda: self.below.copy(source, target))

    def delete(self, key: str) -> None:
        self._change(lambda: self.below.delete(key))

    def _change(self, change: Any) -> Any:
        self.changes += 1
        if self.changes == self.at and not self.after:
            raise Killed
        made = change()
        if self.changes == self.at:
            raise Killed
        return made
