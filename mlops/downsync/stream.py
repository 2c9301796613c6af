"""Putting records into the stream: the port, Kinesis, and a working fake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from botocore.config import Config

from mlops.aws import Aws, translated
from mlops.downsync.thinning import BUCKETS
from mlops.errors import Unavailable

MAX_RECORDS = 500
MAX_REQUEST_BYTES = 4 * 1024 * 1024
"""What one call takes, a little below Kinesis' 5 MB."""
_HASH_BITS = 128
_CONFIG = Config(
    retries={"total_max_attempts": 1},  # the producer tries again, and counts it
    connect_timeout=2,
    read_timeout=5,
)


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """Events of keys of one bucket."""

    bucket: int
    data: bytes


class Sink(Protocol):
    """Where records are put."""

    def put(self, records: Sequence[StreamRecord]) -> list[int]:
        """The places in `records` of those that were not taken. Raises MlopsError."""


class KinesisSink:
    """A Kinesis stream. A bucket has a hash key of its own, and so is always in one shard."""

    def __init__(self, aws: Aws, stream: str) -> None:
        self._client = aws.session.client("kinesis", config=_CONFIG)
        self._stream = stream

    def put(self, records: Sequence[StreamRecord]) -> list[int]:
        with translated(f"Putting {len(records)} records into stream '{self._stream}'"):
            answer = self._client.put_records(
                StreamName=self._stream, Records=[_entry(record) for record in records]
            )
        return [n for n, record in enumerate(answer["Records"]) if "ErrorCode" in record]


def _entry(record: StreamRecord) -> dict[str, Any]:
    hash_key = record.bucket * ((1 << _HASH_BITS) // BUCKETS)
    return {
        "Data": record.data,
        "PartitionKey": f"{record.bucket:02x}",
        "ExplicitHashKey": str(hash_key),
    }


@dataclass
class MemorySink:
    """A working fake: keeps what it took, and fails as it is told."""

    taken: list[StreamRecord] = field(default_factory=list)
    calls: int = 0
    down: bool = False
    """Refuses every call."""
    failing: set[int] = field(default_factory=set)
    """Refuses the records of these buckets."""

    def put(self, records: Sequence[StreamRecord]) -> list[int]:
        self.calls += 1
        if self.down:
            raise Unavailable("the stream is down")
        failed = [n for n, record in enumerate(records) if record.bucket in self.failing]
        self.taken += [record for n, record in enumerate(records) if n not in failed]
        return failed
