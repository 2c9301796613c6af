"""Shards: ranges of hash keys that open, split and merge, and the sequence numbers in them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from infra.local.service import AwsError

HASHES = 1 << 128
"""Partition keys are hashed by MD5 into 0 … HASHES - 1."""

_FIRST_NUMBER = 49 * 10**54
"""Sequence numbers have 56 digits, as on AWS: who keeps them in 64 bits finds out here."""


@dataclass
class Shard:
    """A range of hash keys, both ends included, from its first to its last sequence."""

    number: int
    start: int
    end: int
    first: int
    """Sequences are counted from 0 over the whole stream."""
    parents: list[str] = field(default_factory=list)
    last: int | None = None
    """None while the shard is open."""
    closed: float | None = None
    """When it was closed, in epoch seconds."""

    @property
    def id(self) -> str:
        return f"shardId-{self.number:012d}"

    @property
    def is_open(self) -> bool:
        return self.last is None

    def holds(self, hash_key: int) -> bool:
        return self.start <= hash_key <= self.end

    def described(self) -> dict[str, Any]:
        """As ListShards shows it."""
        numbers = {"StartingSequenceNumber": sequence_number(self.first)}
        if self.last is not None:
            numbers["EndingSequenceNumber"] = sequence_number(self.last)
        names = ("ParentShardId", "AdjacentParentShardId")
        return {
            "ShardId": self.id,
            "HashKeyRange": hash_range(self),
            "SequenceNumberRange": numbers,
            **dict(zip(names, self.parents, strict=False)),
        }


@dataclass
class Stream:
    """A stream without its records."""

    name: str
    arn: str
    created: float
    mode: str = "PROVISIONED"
    retention_hours: int = 24
    key_id: str | None = None
    """Of the KMS key that encrypts it; None for a stream in the clear."""
    tags: dict[str, str] = field(default_factory=dict)
    shards: dict[str, Shard] = field(default_factory=dict)
    next: int = 0
    """The sequence that the next record gets."""

    def open_shards(self) -> list[Shard]:
        """By hash key."""
        return sorted((s for s in self.shards.values() if s.is_open), key=lambda s: s.start)

    def shard(self, name: str) -> Shard:
        """Raises ResourceNotFoundException."""
        if name not in self.shards:
            raise AwsError(
                "ResourceNotFoundException",
                f"Shard {name} in stream {self.name} does not exist",
            )
        return self.shards[name]

    def children(self, shard: Shard) -> list[Shard]:
        return [s for s in self.shards.values() if shard.id in s.parents]

    def open_even(self, count: int) -> None:
        """The first shards of the stream, of equal ranges."""
        bounds = [HASHES * n // count for n in range(count + 1)]
        for start, end in pairwise(bounds):
            self._open(start, end - 1, ())

    def split(self, shard: Shard, at: int, now: float) -> None:
        """Close a shard and open two below it, the second from hash key `at`."""
        self._must_be_open(shard)
        if not shard.start < at <= shard.end:
            raise AwsError(
                "InvalidArgumentException",
                f"NewStartingHashKey {at} used in SplitShard() on shard {shard.id} in stream "
                f"{self.name} is not both greater than one plus the shard's StartingHashKey "
                f"{shard.start} and less than the shard's EndingHashKey {shard.end}.",
            )
        self._close(shard, now)
        self._open(shard.start, at - 1, (shard,))
        self._open(at, shard.end, (shard,))

    def merge(self, one: Shard, other: Shard, now: float) -> None:
        """Close two neighbours and open one below them."""
        for shard in (one, other):
            self._must_be_open(shard)
        low, high = sorted((one, other), key=lambda s: s.start)
        if low.end + 1 != high.start:
            raise AwsError(
                "InvalidArgumentException",
                f"Shards {one.id} and {other.id} in stream {self.name} are not an adjacent pair "
                "of shards eligible for merging",
            )
        self._close(one, now)
        self._close(other, now)
        self._open(low.start, high.end, (one, other))

    def scale(self, target: int, now: float) -> None:
        """Split the widest or merge the narrowest until there are so many."""
        while len(shards := self.open_shards()) < target:
            widest = max(shards, key=lambda s: s.end - s.start)
            self.split(widest, (widest.start + widest.end) // 2 + 1, now)
        while len(shards := self.open_shards()) > target:
            pairs = pairwise(shards)
            low, high = min(pairs, key=lambda pair: pair[1].end - pair[0].start)
            self.merge(low, high, now)

    def _open(self, start: int, end: int, parents: Iterable[Shard]) -> None:
        number = max((s.number for s in self.shards.values()), default=-1) + 1
        shard = Shard(number, start, end, self.next, [parent.id for parent in parents])
        self.next += 1
        self.shards[shard.id] = shard

    def _close(self, shard: Shard, now: float) -> None:
        shard.last, shard.closed = self.next, now
        self.next += 1

    def _must_be_open(self, shard: Shard) -> None:
        if not shard.is_open:
            raise AwsError(
                "InvalidArgumentException",
                f"Shard {shard.id} in stream {self.name} has already been merged or split, and "
                "thus is not eligible for merging or splitting.",
            )


def hash_key(partition_key: str, explicit: str | None) -> int:
    """Where a record belongs. Raises InvalidArgumentException for an explicit key out of range."""
    if explicit is None:
        digest = hashlib.md5(partition_key.encode(), usedforsecurity=False)
        return int.from_bytes(digest.digest(), "big")
    if int(explicit) >= HASHES:
        text = f"ExplicitHashKey must be in the range [0, 2^128-1]; it is {explicit}"
        raise AwsError("InvalidArgumentException", text)
    return int(explicit)


def sequence_number(sequence: int) -> str:
    return str(_FIRST_NUMBER + sequence)


def sequence_of(number: str) -> int:
    """Raises InvalidArgumentException for what this Kinesis never gave out."""
    if not number.isdigit() or int(number) < _FIRST_NUMBER:
        raise AwsError(
            "InvalidArgumentException",
            f"StartingSequenceNumber {number[:60]} is invalid because it did not come from this "
            "stream.",
        )
    return int(number) - _FIRST_NUMBER


def hash_range(shard: Shard) -> dict[str, str]:
    return {"StartingHashKey": str(shard.start), "EndingHashKey": str(shard.end)}


def to_document(stream: Stream) -> dict[str, Any]:
    return asdict(stream)


def from_document(document: dict[str, Any], sequences: Sequence[int]) -> Stream:
    """A stream as it was written; `sequences`: those of its records, which count on from there."""
    shards = [Shard(**fields) for fields in document.pop("shards").values()]
    stream = Stream(**document, shards={shard.id: shard for shard in shards})
    stream.next = max([stream.next, *(sequence + 1 for sequence in sequences)])
    return stream
