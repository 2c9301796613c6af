"""What time does to a stream, and what is on disk when nobody had the time to close it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.local.kinesis.iterators import LIFETIME
from infra.local.kinesis.service import Kinesis
from infra.local.service import AwsError, Caller
from infra.local.settings import ACCOUNT, REGION

CALLER = Caller(ACCOUNT, REGION, "arn:aws:iam::000000000000:root")
HOUR = 3600.0


@dataclass
class Streams:
    """A Kinesis whose clock the test moves."""

    folder: Path
    seconds: float = 1_000_000.0

    def __post_init__(self) -> None:
        self.opened: list[Kinesis] = []
        self.open()

    def open(self) -> None:
        """Another process on the same folder; the one before is not closed."""
        self.kinesis = Kinesis(self.folder, ACCOUNT, REGION, now=lambda: self.seconds)
        self.opened.append(self.kinesis)

    def ask(self, operation: str, **request: Any) -> dict[str, Any]:
        return self.kinesis.handle(operation, {"StreamName": "s", **request}, CALLER)

    def put(self, text: str, at: int = 0) -> None:
        data = base64.b64encode(text.encode()).decode()
        self.ask("PutRecord", PartitionKey="k", Data=data, ExplicitHashKey=str(at))

    def iterator(self, shard: int = 0) -> str:
        answer = self.ask(
            "GetShardIterator",
            ShardId=f"shardId-{shard:012d}",
            ShardIteratorType="TRIM_HORIZON",
        )
        return str(answer["ShardIterator"])

    def read(self, token: str) -> list[str]:
        request = {"ShardIterator": token}
        records = self.kinesis.handle("GetRecords", request, CALLER)["Records"]
        return [base64.b64decode(record["Data"]).decode() for record in records]

    def shards(self) -> list[str]:
        return [shard["ShardId"][-1] for shard in self.ask("ListShards")["Shards"]]


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[Streams]:
    made = Streams(tmp_path)
    made.ask("CreateStream", ShardCount=1)
    yield made
    for kinesis in made.opened:
        kinesis.close()


def test_a_record_ends_with_the_retention(streams: Streams) -> None:
    streams.put("old")
    streams.seconds += 23 * HOUR
    streams.put("new")
    assert streams.read(streams.iterator()) == ["old", "new"]
    streams.seconds += 2 * HOUR
    assert streams.read(streams.iterator()) == ["new"]


def test_a_closed_shard_is_listed_as_long_as_its_records_last(streams: Streams) -> None:
    streams.put("old")
    half = str(1 << 127)
    streams.ask("SplitShard", ShardToSplit="shardId-000000000000", NewStartingHashKey=half)
    streams.seconds += 23 * HOUR
    assert streams.shards() == ["0", "1", "2"]
    streams.seconds += 2 * HOUR
    assert streams.shards() == ["1", "2"]


def test_an_iterator_ends_after_five_minutes(streams: Streams) -> None:
    token = streams.iterator()
    streams.seconds += LIFETIME
    assert streams.read(token) == []
    streams.seconds += 1
    with pytest.raises(AwsError, match="Iterator expired") as refused:
        streams.read(token)
    assert refused.value.code == "ExpiredIteratorException"


def test_what_was_acknowledged_is_there_after_a_kill(streams: Streams) -> None:
    streams.put("before")
    half = str(1 << 127)
    streams.ask("SplitShard", ShardToSplit="shardId-000000000000", NewStartingHashKey=half)
    streams.put("low")
    streams.put("high", at=(1 << 128) - 1)
    streams.open()
    assert streams.shards() == ["0", "1", "2"]
    assert [streams.read(streams.iterator(n)) for n in range(3)] == [["before"], ["low"], ["high"]]


def test_a_deleted_stream_leaves_no_record_to_its_successor(streams: Streams) -> None:
    streams.put("old")
    streams.ask("DeleteStream")
    streams.ask("CreateStream", ShardCount=1)
    assert streams.read(streams.iterator()) == []
