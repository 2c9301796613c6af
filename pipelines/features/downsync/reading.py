"""Reading a stream shard by shard: the port, Kinesis, and a working fake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Protocol

from botocore.exceptions import ClientError

from mlops.aws import Aws, error_code, translated

_MOST = 10_000
_THROTTLED = "ProvisionedThroughputExceededException"
_EXPIRED = "ExpiredIteratorException"


@dataclass(frozen=True)
class StreamShard:
    """A shard of the stream, and the shards that it came from."""

    id: str
    parents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """One record as it is read."""

    sequence: str
    data: bytes
    arrived: datetime


@dataclass(frozen=True)
class Page:
    """What one read gave."""

    entries: Sequence[StreamEntry]
    behind_ms: int | None
    """How far the end of the shard was ahead; None where the read was throttled."""
    is_end: bool = False
    """The shard is closed, and nothing comes after these."""


class ShardReader(Protocol):
    """A place in a shard."""

    def read(self) -> Page:
        """What comes next, which may be nothing yet. Raises Unavailable."""


class Stream(Protocol):
    """A stream, as a consumer sees it."""

    @property
    def identity(self) -> str:
        """Its name and when it was made: one of the same name made later is another."""

    def shards(self) -> list[StreamShard]:
        """Those that can be read, closed ones included."""

    def reader(self, shard: str, after: str | None) -> ShardReader:
        """Behind a sequence number, or at the start of what is left. Raises NotFound."""


class KinesisStream:
    """A Kinesis stream, read by polling."""

    def __init__(self, aws: Aws, name: str) -> None:
        self._client = aws.client("kinesis")
        self.name = name

    @cached_property
    def identity(self) -> str:
        with translated(f"Looking for stream '{self.name}'"):
            answer = self._client.describe_stream_summary(StreamName=self.name)
        made = answer["StreamDescriptionSummary"]["StreamCreationTimestamp"].astimezone(UTC)
        return f"{self.name}-{made:%Y%m%dT%H%M%S}"

    def shards(self) -> list[StreamShard]:
        with translated(f"Listing the shards of stream '{self.name}'"):
            pages = self._client.get_paginator("list_shards").paginate(StreamName=self.name)
            return [_shard(entry) for page in pages for entry in page["Shards"]]

    def reader(self, shard: str, after: str | None) -> ShardReader:
        return _KinesisReader(self._client, self.name, shard, after)


def _shard(entry: dict[str, Any]) -> StreamShard:
    names = ("ParentShardId", "AdjacentParentShardId")
    return StreamShard(entry["ShardId"], tuple(entry[name] for name in names if entry.get(name)))


@dataclass
class _KinesisReader:
    client: Any
    stream: str
    shard: str
    after: str | None
    iterator: str | None = None

    def read(self) -> Page:
        with translated(f"Reading shard {self.shard} of stream '{self.stream}'"):
            try:
                answer = self.client.get_records(ShardIterator=self._iterator(), Limit=_MOST)
            except ClientError as exc:
                if error_code(exc) not in {_THROTTLED, _EXPIRED}:
                    raise
                if error_code(exc) == _EXPIRED:
                    self.iterator = None
                return Page((), None)
        entries = [
            StreamEntry(r["SequenceNumber"], r["Data"], r["ApproximateArrivalTimestamp"])
            for r in answer["Records"]
        ]
        if entries:
            self.after = entries[-1].sequence
        self.iterator = answer.get("NextShardIterator")
        return Page(entries, answer["MillisBehindLatest"], self.iterator is None)

    def _iterator(self) -> str:
        if self.iterator is None:
            place: dict[str, str] = {"ShardIteratorType": "TRIM_HORIZON"}
            if self.after:
                place = {
                    "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                    "StartingSequenceNumber": self.after,
                }
            self.iterator = self.client.get_shard_iterator(
                StreamName=self.stream, ShardId=self.shard, **place
            )["ShardIterator"]
        return self.iterator


@dataclass
class MemoryStream:
    """A working fake: shards that a test fills, splits and merges."""

    parents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    entries: dict[str, list[StreamEntry]] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    page: int = _MOST
    """How many entries one read gives at most."""
    sequence: int = 0
    identity: str = "memory"

    def open(self, shard: str, *parents: str) -> None:
        self.parents[shard], self.entries[shard] = parents, []
        self.closed |= set(parents)

    def put(self, shard: str, data: bytes, arrived: datetime) -> None:
        assert shard not in self.closed
        self.sequence += 1
        self.entries[shard].append(StreamEntry(f"{self.sequence:08d}", data, arrived))

    def shards(self) -> list[StreamShard]:
        return [StreamShard(shard, parents) for shard, parents in self.parents.items()]

    def reader(self, shard: str, after: str | None) -> ShardReader:
        return _MemoryReader(self, shard, after or "")


@dataclass
class _MemoryReader:
    stream: MemoryStream
    shard: str
    after: str

    def read(self) -> Page:
        left = [e for e in self.stream.entries[self.shard] if e.sequence > self.after]
        page = left[: self.stream.page]
        if page:
            self.after = page[-1].sequence
        more = len(left) > len(page)
        return Page(page, int(more), self.shard in self.stream.closed and not more)
