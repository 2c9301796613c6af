"""Kinesis' API: what the router hands to the local Kinesis."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from infra.local.jobs.validation import check_request
from infra.local.kinesis.iterators import Position, read_token
from infra.local.kinesis.limits import READ_BYTES, Throttle
from infra.local.kinesis.records import Record, RecordFile
from infra.local.kinesis.shards import (
    Shard,
    Stream,
    hash_key,
    hash_range,
    sequence_number,
    sequence_of,
)
from infra.local.service import AwsError, Caller

MAX_RECORD_BYTES = 1024 * 1024
MAX_REQUEST_BYTES = 5 * 1024 * 1024
_ON_DEMAND_SHARDS = 4
_TRIM_SECONDS = 60.0
_THROTTLED = "ProvisionedThroughputExceededException"
Request = dict[str, Any]
Answer = dict[str, Any]


class Kinesis:
    """Streams of one account and region, kept below a folder.

    now: the time in epoch seconds, which ends iterators and records and fills up allowances.
    """

    def __init__(
        self, folder: Path, account: str, region: str, *, now: Callable[[], float] = time.time
    ) -> None:
        self._now = now
        self._arn = f"arn:aws:kinesis:{region}:{account}:stream/"
        self._file = RecordFile(folder / "records.sqlite")
        self._streams = {stream.name: stream for stream in self._file.load()}
        self._throttle = Throttle()
        self._trimmed = 0.0
        self._lock = Lock()

    def handle(self, operation: str, request: Request, caller: Caller) -> Answer:
        check_request(operation, request, service="kinesis")
        with self._lock:
            self._trim()
            return _OPERATIONS[operation](self, request)

    def close(self) -> None:
        with self._lock:
            self._file.close()

    def configure(self, name: str, properties: Mapping[str, Any]) -> str:
        """Make or change a stream as CloudFormation's properties say; its ARN."""
        with self._lock:
            stream = self._streams.get(name) or self._create(name, _count_of(properties))
            stream.mode = properties.get("StreamModeDetails", {}).get("StreamMode", "PROVISIONED")
            stream.retention_hours = int(properties.get("RetentionPeriodHours", 24))
            stream.key_id = properties.get("StreamEncryption", {}).get("KeyId")
            stream.tags = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
            if stream.mode == "PROVISIONED":
                stream.scale(_count_of(properties), self._now())
            self._file.save(stream)
            return stream.arn

    def delete(self, name: str) -> None:
        """Deleting what is not there is no error."""
        with self._lock:
            self._delete(name)

    def _create(self, name: str, shards: int) -> Stream:
        if name in self._streams:
            raise AwsError("ResourceInUseException", f"Stream {name} already exists.")
        stream = Stream(name, self._arn + name, self._now())
        stream.open_even(shards)
        self._streams[name] = stream
        self._file.save(stream)
        return stream

    def _delete(self, name: str) -> None:
        self._streams.pop(name, None)
        self._file.forget(name)

    def _create_stream(self, request: Request) -> Answer:
        mode = request.get("StreamModeDetails", {}).get("StreamMode", "PROVISIONED")
        count = _ON_DEMAND_SHARDS if mode == "ON_DEMAND" else request.get("ShardCount", 1)
        stream = self._create(request["StreamName"], count)
        stream.mode = mode
        self._file.save(stream)
        return {}

    def _delete_stream(self, request: Request) -> Answer:
        self._delete(self._stream(request).name)
        return {}

    def _describe_stream(self, request: Request) -> Answer:
        stream = self._stream(request)
        shards = [shard.described() for shard in self._listed(stream)]
        more = {"Shards": shards, "HasMoreShards": False}
        return {"StreamDescription": self._described(stream) | more}

    def _describe_stream_summary(self, request: Request) -> Answer:
        stream = self._stream(request)
        more = {"OpenShardCount": len(stream.open_shards()), "ConsumerCount": 0}
        return {"StreamDescriptionSummary": self._described(stream) | more}

    def _described(self, stream: Stream) -> Answer:
        encryption: Answer = {"EncryptionType": "KMS" if stream.key_id else "NONE"}
        if stream.key_id:
            encryption["KeyId"] = stream.key_id
        return {
            "StreamName": stream.name,
            "StreamARN": stream.arn,
            "StreamStatus": "ACTIVE",
            "StreamModeDetails": {"StreamMode": stream.mode},
            "RetentionPeriodHours": stream.retention_hours,
            "StreamCreationTimestamp": stream.created,
            "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
            **encryption,
        }

    def _list_streams(self, request: Request) -> Answer:
        names = sorted(self._streams)
        after = request.get("ExclusiveStartStreamName") or request.get("NextToken") or ""
        left = [name for name in names if name > after]
        page = left[: request.get("Limit", 100)]
        answer = {"StreamNames": page, "HasMoreStreams": len(page) < len(left)}
        return answer | ({"NextToken": page[-1]} if answer["HasMoreStreams"] else {})

    def _list_shards(self, request: Request) -> Answer:
        if "NextToken" in request:
            name, _, after = request["NextToken"].rpartition("/")
            stream = self._named(name)
        else:
            stream, after = self._stream(request), request.get("ExclusiveStartShardId", "")
        shards = _filtered(self._listed(stream), request.get("ShardFilter"))
        left = [shard for shard in shards if shard.id > after]
        page = left[: request.get("MaxResults", 1000)]
        answer: Answer = {"Shards": [shard.described() for shard in page]}
        if len(page) < len(left):
            answer["NextToken"] = f"{stream.name}/{page[-1].id}"
        return answer

    def _listed(self, stream: Stream) -> list[Shard]:
        """Closed shards are shown as long as a record in them could be read."""
        since = self._since(stream)
        shards = [s for s in stream.shards.values() if s.closed is None or s.closed >= since]
        return sorted(shards, key=lambda shard: shard.id)

    def _put_record(self, request: Request) -> Answer:
        stream = self._stream(request)
        (put,) = self._put(stream, [request])
        if "ErrorCode" in put:
            raise AwsError(put["ErrorCode"], put["ErrorMessage"])
        return put

    def _put_records(self, request: Request) -> Answer:
        stream, entries = self._stream(request), request["Records"]
        if sum(map(_size, entries)) > MAX_REQUEST_BYTES:
            raise AwsError("InvalidArgumentException", "Records size exceeds 5 MB limit")
        puts = self._put(stream, entries)
        failed = sum("ErrorCode" in put for put in puts)
        return {"FailedRecordCount": failed, "Records": puts}

    def _put(self, stream: Stream, entries: Iterable[Request]) -> list[Answer]:
        """Each record on its own: one that its shard has no room for does not stop the others."""
        entries, now = list(entries), self._now()
        places = [self._place(stream, entry) for entry in entries]
        records: list[Record] = []
        answers: list[Answer] = []
        for entry, shard in zip(entries, places, strict=True):
            if not self._throttle.takes_record(stream.name, shard.id, now, _size(entry)):
                answers.append(_no_room(stream, shard))
                continue
            record = Record(shard.id, stream.next, entry["PartitionKey"], entry["Data"], now)
            stream.next += 1
            records.append(record)
            number = sequence_number(record.sequence)
            answers.append({"SequenceNumber": number, "ShardId": shard.id})
        self._file.append(stream.name, records)
        return answers

    def _place(self, stream: Stream, entry: Request) -> Shard:
        if len(_decoded(entry["Data"])) > MAX_RECORD_BYTES:
            raise AwsError(
                "ValidationException",
                "1 validation error detected: Value at 'records.1.member.data' failed to satisfy "
                f"constraint: Member must have length less than or equal to {MAX_RECORD_BYTES}",
            )
        key = hash_key(entry["PartitionKey"], entry.get("ExplicitHashKey"))
        return next(shard for shard in stream.open_shards() if shard.holds(key))

    def _get_shard_iterator(self, request: Request) -> Answer:
        stream = self._stream(request)
        shard = stream.shard(request["ShardId"])
        start = self._start(stream, shard, request)
        return {"ShardIterator": Position(stream.name, shard.id, start, self._now()).token()}

    def _start(self, stream: Stream, shard: Shard, request: Request) -> int:
        kind = request["ShardIteratorType"]
        if kind == "TRIM_HORIZON":
            return shard.first
        if kind == "LATEST":
            return stream.next
        if kind == "AT_TIMESTAMP":
            found = self._file.first_since(
                stream.name, shard.id, float(_required(request, "Timestamp"))
            )
            return stream.next if found is None else found
        sequence = sequence_of(_required(request, "StartingSequenceNumber"))
        return sequence + 1 if kind == "AFTER_SEQUENCE_NUMBER" else sequence

    def _get_records(self, request: Request) -> Answer:
        now = self._now()
        position = read_token(request["ShardIterator"], now)
        stream = self._named(position.stream)
        shard = stream.shard(position.shard)
        if not self._throttle.takes_read(stream.name, shard.id, now):
            answer = _no_room(stream, shard)
            raise AwsError(answer["ErrorCode"], answer["ErrorMessage"])
        records, more = self._page(stream, shard, position.start, request.get("Limit", 10_000))
        behind = 0.0
        if more:
            newest = self._file.newest_arrival(stream.name, shard.id)
            behind = max(1.0, (newest - (records[-1].arrived if records else newest)) * 1000)
        answer = {
            "Records": [record.described() for record in records],
            "MillisBehindLatest": int(behind),
        }
        if shard.is_open or more:
            start = records[-1].sequence + 1 if records else position.start
            token = Position(stream.name, shard.id, start, now).token()
            return answer | {"NextShardIterator": token}
        children = [_child(child) for child in stream.children(shard)]
        return answer | {"ChildShards": children}

    def _page(
        self, stream: Stream, shard: Shard, start: int, limit: int
    ) -> tuple[list[Record], bool]:
        """Records from a position on, and whether there are more."""
        page: list[Record] = []
        size, more = 0, False
        for record in self._file.read(stream.name, shard.id, start, since=self._since(stream)):
            length = len(record.data) * 3 // 4
            if more := len(page) == limit or size + length > READ_BYTES:
                break
            page.append(record)
            size += length
        self._throttle.owes_read(stream.name, shard.id, size)
        return page, more

    def _split_shard(self, request: Request) -> Answer:
        stream = self._stream(request)
        shard = stream.shard(request["ShardToSplit"])
        stream.split(shard, int(request["NewStartingHashKey"]), self._now())
        self._file.save(stream)
        return {}

    def _merge_shards(self, request: Request) -> Answer:
        stream = self._stream(request)
        one, other = (stream.shard(request[n]) for n in ("ShardToMerge", "AdjacentShardToMerge"))
        stream.merge(one, other, self._now())
        self._file.save(stream)
        return {}

    def _update_shard_count(self, request: Request) -> Answer:
        stream, target = self._stream(request), request["TargetShardCount"]
        current = len(stream.open_shards())
        if stream.mode == "ON_DEMAND":
            raise AwsError("ValidationException", f"Stream {stream.name} is in On-Demand mode.")
        if not current / 2 <= target <= current * 2:
            raise AwsError(
                "InvalidArgumentException",
                f"UpdateShardCount cannot scale from {current} shards to {target}: at most double "
                "and at least half.",
            )
        stream.scale(target, self._now())
        self._file.save(stream)
        return {
            "StreamName": stream.name,
            "StreamARN": stream.arn,
            "CurrentShardCount": current,
            "TargetShardCount": target,
        }

    def _stream(self, request: Request) -> Stream:
        arn = request.get("StreamARN", "")
        name = request.get("StreamName") or arn.removeprefix(self._arn)
        if not name:
            raise AwsError("InvalidArgumentException", "StreamARN or StreamName must be provided.")
        return self._named(name)

    def _named(self, name: str) -> Stream:
        if name not in self._streams:
            raise AwsError("ResourceNotFoundException", f"Stream {name} not found.")
        return self._streams[name]

    def _since(self, stream: Stream) -> float:
        return self._now() - stream.retention_hours * 3600

    def _trim(self) -> None:
        if self._now() - self._trimmed > _TRIM_SECONDS:
            self._trimmed = self._now()
            for stream in self._streams.values():
                self._file.trim(stream.name, self._since(stream))


def _count_of(properties: Mapping[str, Any]) -> int:
    on_demand = properties.get("StreamModeDetails", {}).get("StreamMode") == "ON_DEMAND"
    return _ON_DEMAND_SHARDS if on_demand else int(properties.get("ShardCount", 1))


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except ValueError as exc:
        raise AwsError("SerializationException", "Data is not base64.") from exc


def _size(entry: Mapping[str, Any]) -> int:
    return len(entry["Data"]) * 3 // 4 + len(entry["PartitionKey"].encode())


def _no_room(stream: Stream, shard: Shard) -> Answer:
    text = f"Rate exceeded for shard {shard.id} in stream {stream.name}."
    return {"ErrorCode": _THROTTLED, "ErrorMessage": text}


def _filtered(shards: list[Shard], wanted: Mapping[str, Any] | None) -> list[Shard]:
    kind = wanted["Type"] if wanted else "FROM_TRIM_HORIZON"
    if kind == "AT_LATEST":
        return [shard for shard in shards if shard.is_open]
    if kind == "FROM_TRIM_HORIZON":
        return shards
    text = f"The local Kinesis does not filter shards by {kind}. Use AT_LATEST."
    raise AwsError("InvalidArgumentException", text)


def _required(request: Request, name: str) -> Any:
    if name not in request:
        kind = request["ShardIteratorType"]
        raise AwsError("InvalidArgumentException", f"Must provide {name} for {kind}.")
    return request[name]


def _child(shard: Shard) -> Answer:
    return {
        "ShardId": shard.id,
        "ParentShards": shard.parents,
        "HashKeyRange": hash_range(shard),
    }


_OPERATIONS: dict[str, Callable[[Kinesis, Request], Answer]] = {
    "CreateStream": Kinesis._create_stream,
    "DeleteStream": Kinesis._delete_stream,
    "DescribeStream": Kinesis._describe_stream,
    "DescribeStreamSummary": Kinesis._describe_stream_summary,
    "GetRecords": Kinesis._get_records,
    "GetShardIterator": Kinesis._get_shard_iterator,
    "ListShards": Kinesis._list_shards,
    "ListStreams": Kinesis._list_streams,
    "MergeShards": Kinesis._merge_shards,
    "PutRecord": Kinesis._put_record,
    "PutRecords": Kinesis._put_records,
    "SplitShard": Kinesis._split_shard,
    "UpdateShardCount": Kinesis._update_shard_count,
}
