"""How far a stream is consumed: per shard, and what became of its events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from pipelines.features.downsync.judging import Verdict
from pipelines.features.downsync.reading import Stream, StreamShard
from pipelines.features.downsync.shards import ShardBook, ShardRecord, add_counts

State = Literal["waiting", "free", "read", "drained", "gone"]


class ShardStatus(BaseModel):
    """One shard."""

    shard: str
    state: State
    """waiting for its parents; free, read by nobody; read; drained to its end; gone from the
    stream by age."""
    owner: str | None
    behind_seconds: float | None
    """How far its end was ahead at its reader's last word; None where nobody ever read it."""
    heard_at: datetime | None
    """When its reader was last heard of, by that reader's clock."""
    arrived: datetime | None
    """When the newest event that is dealt with arrived in the stream."""
    unpublished: int
    """Files that are committed and not yet where tables have them."""


class StreamStatus(BaseModel):
    """All of it."""

    stream: str
    shards: list[ShardStatus]
    counts: dict[str, dict[Verdict, int]]
    """Events by what became of them, by table."""


def status_of(stream: Stream, book: ShardBook) -> StreamStatus:
    """What the shards' records say; the stream itself is only asked which shards there are."""
    records = {name: record for name, (record, _) in book.read().items()}
    listed = {shard.id: shard for shard in stream.shards()}
    shards = [_shard(name, listed, records) for name in sorted(listed.keys() | records.keys())]
    return StreamStatus(stream=stream.identity, shards=shards, counts=sum_counts(records.values()))


def sum_counts(records: Iterable[ShardRecord]) -> dict[str, dict[Verdict, int]]:
    """Of all shards together."""
    total: dict[str, dict[Verdict, int]] = {}
    for record in records:
        total = add_counts(total, record.counts)
    return total


def _shard(
    name: str, listed: Mapping[str, StreamShard], records: Mapping[str, ShardRecord]
) -> ShardStatus:
    record = records.get(name)
    return ShardStatus(
        shard=name,
        state=_state(name, listed, records),
        owner=record.owner if record and not record.is_settled else None,
        behind_seconds=record.behind_ms / 1000 if record and record.behind_ms is not None else None,
        heard_at=record.written_at if record else None,
        arrived=record.arrived if record else None,
        unpublished=len(record.publications) if record else 0,
    )


def _state(
    name: str, listed: Mapping[str, StreamShard], records: Mapping[str, ShardRecord]
) -> State:
    record = records.get(name)
    if record and record.is_drained:
        return "drained"
    if name not in listed:
        return "gone"
    if record and record.owner:
        return "read"
    parents = [parent for parent in listed[name].parents if parent in listed]
    read = all(parent in records and records[parent].is_settled for parent in parents)
    return "free" if read else "waiting"
