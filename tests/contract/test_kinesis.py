"""Kinesis of the local AWS: what was put is read again, in order, through splits and merges."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from infra.local.settings import ADMIN_ACCESS_KEY, ADMIN_SECRET_KEY, REGION
from tests.local_aws import unique

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

HALF = str(1 << 127)
MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def kinesis(local_aws: LocalAws) -> Any:
    """A client that does not retry, so that throttling shows."""
    session = boto3.Session(ADMIN_ACCESS_KEY, ADMIN_SECRET_KEY, region_name=REGION)
    never = Config(retries={"total_max_attempts": 1})
    return session.client("kinesis", endpoint_url=local_aws.endpoint, config=never)


@pytest.fixture
def stream(kinesis: Any) -> Iterator[str]:
    """A stream of one shard."""
    name = unique("stream")
    kinesis.create_stream(StreamName=name, ShardCount=1)
    yield name
    kinesis.delete_stream(StreamName=name)


def shards(kinesis: Any, stream: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = kinesis.list_shards(StreamName=stream)["Shards"]
    return found


def put(kinesis: Any, stream: str, *values: int, key: str | None = None) -> list[dict[str, Any]]:
    """Put each value under its own key, or all under one."""
    entries = [{"Data": b"%d" % v, "PartitionKey": key or str(v)} for v in values]
    answer = kinesis.put_records(StreamName=stream, Records=entries)
    assert answer["FailedRecordCount"] == 0
    found: list[dict[str, Any]] = answer["Records"]
    return found


def iterator(kinesis: Any, stream: str, shard: str, kind: str = "TRIM_HORIZON", **at: Any) -> str:
    answer = kinesis.get_shard_iterator(
        StreamName=stream, ShardId=shard, ShardIteratorType=kind, **at
    )
    return str(answer["ShardIterator"])


def drain(kinesis: Any, stream: str, shard: str, kind: str = "TRIM_HORIZON", **at: Any) -> Any:
    """What one read gives from there on."""
    return kinesis.get_records(ShardIterator=iterator(kinesis, stream, shard, kind, **at))


def values(answer: Any) -> list[int]:
    return [int(record["Data"]) for record in answer["Records"]]


def test_records_are_read_as_they_were_put(kinesis: Any, stream: str) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    (shard,) = shards(kinesis, stream)
    answer = kinesis.put_record(StreamName=stream, Data=b"\x00\xff", PartitionKey="ключ")
    (record,) = drain(kinesis, stream, shard["ShardId"])["Records"]
    assert (record["Data"], record["PartitionKey"]) == (b"\x00\xff", "ключ")
    assert record["SequenceNumber"] == answer["SequenceNumber"]
    assert before < record["ApproximateArrivalTimestamp"] < before + timedelta(minutes=1)


def test_sequence_numbers_grow_and_are_too_long_for_64_bits(kinesis: Any, stream: str) -> None:
    numbers = [int(record["SequenceNumber"]) for record in put(kinesis, stream, *range(50))]
    assert numbers == sorted(set(numbers))
    assert min(numbers) > 1 << 64


def test_every_kind_of_iterator_starts_where_it_says(kinesis: Any, stream: str) -> None:
    shard = shards(kinesis, stream)[0]["ShardId"]
    first, second = put(kinesis, stream, 1, 2)
    between = drain(kinesis, stream, shard)["Records"][1]["ApproximateArrivalTimestamp"]
    time.sleep(0.01)
    latest = iterator(kinesis, stream, shard, "LATEST")
    put(kinesis, stream, 3)
    number = {"StartingSequenceNumber": second["SequenceNumber"]}
    late = between + timedelta(milliseconds=5)
    assert values(drain(kinesis, stream, shard, "TRIM_HORIZON")) == [1, 2, 3]
    assert values(drain(kinesis, stream, shard, "AT_SEQUENCE_NUMBER", **number)) == [2, 3]
    assert values(drain(kinesis, stream, shard, "AFTER_SEQUENCE_NUMBER", **number)) == [3]
    time.sleep(0.8)  # five reads a second
    assert values(drain(kinesis, stream, shard, "AT_TIMESTAMP", Timestamp=late)) == [3]
    assert values(kinesis.get_records(ShardIterator=latest)) == [3]
    assert int(first["SequenceNumber"]) < int(second["SequenceNumber"])


def test_an_iterator_that_is_none_is_refused(kinesis: Any, stream: str) -> None:
    shard = shards(kinesis, stream)[0]["ShardId"]
    with pytest.raises(kinesis.exceptions.InvalidArgumentException):
        kinesis.get_records(ShardIterator="bm9uZQ==")
    with pytest.raises(kinesis.exceptions.InvalidArgumentException, match="did not come from"):
        iterator(kinesis, stream, shard, "AT_SEQUENCE_NUMBER", StartingSequenceNumber="17")
    with pytest.raises(kinesis.exceptions.InvalidArgumentException, match="Timestamp"):
        iterator(kinesis, stream, shard, "AT_TIMESTAMP")


def test_what_does_not_exist_is_named(kinesis: Any, stream: str) -> None:
    with pytest.raises(kinesis.exceptions.ResourceNotFoundException, match="nowhere"):
        kinesis.describe_stream_summary(StreamName="nowhere")
    with pytest.raises(kinesis.exceptions.ResourceNotFoundException, match="shardId-9"):
        iterator(kinesis, stream, "shardId-9")
    with pytest.raises(kinesis.exceptions.ResourceInUseException):
        kinesis.create_stream(StreamName=stream, ShardCount=1)


def test_a_read_gives_no_more_than_asked_and_says_how_far_behind_it_is(
    kinesis: Any, stream: str
) -> None:
    put(kinesis, stream, *range(10))
    shard = shards(kinesis, stream)[0]["ShardId"]
    first = kinesis.get_records(ShardIterator=iterator(kinesis, stream, shard), Limit=7)
    assert values(first) == list(range(7))
    assert first["MillisBehindLatest"] > 0
    second = kinesis.get_records(ShardIterator=first["NextShardIterator"], Limit=7)
    assert values(second) == [7, 8, 9]
    assert second["MillisBehindLatest"] == 0
    with pytest.raises(ClientError, match="10000"):
        kinesis.get_records(ShardIterator=second["NextShardIterator"], Limit=10_001)


def test_records_that_a_shard_has_no_room_for_fail_alone(kinesis: Any) -> None:
    name = unique("stream")
    kinesis.create_stream(StreamName=name, ShardCount=2)
    big = b"x" * MEBIBYTE
    low, high = "0", str((1 << 128) - 1)
    entries = [
        {"Data": data, "PartitionKey": "k", "ExplicitHashKey": key}
        for data, key in ((big, low), (big, low), (big[::2], low), (b"z", high))
    ]
    answer = kinesis.put_records(StreamName=name, Records=entries)
    codes = [record.get("ErrorCode") for record in answer["Records"]]
    throttled = "ProvisionedThroughputExceededException"
    assert codes == [None, throttled, throttled, None]
    assert answer["FailedRecordCount"] == 2
    with pytest.raises(kinesis.exceptions.ProvisionedThroughputExceededException):
        kinesis.put_record(StreamName=name, Data=big, PartitionKey="k", ExplicitHashKey=low)
    left = shards(kinesis, name)[0]["ShardId"]
    assert len(drain(kinesis, name, left)["Records"]) == 1


def test_a_shard_takes_a_thousand_records_a_second(kinesis: Any, stream: str) -> None:
    failed = 0
    for _ in range(8):
        entries = [{"Data": b"x", "PartitionKey": "k"}] * 500
        failed += kinesis.put_records(StreamName=stream, Records=entries)["FailedRecordCount"]
    assert 0 < failed < 3000


def test_a_shard_answers_five_reads_a_second(kinesis: Any, stream: str) -> None:
    shard = shards(kinesis, stream)[0]["ShardId"]
    token = iterator(kinesis, stream, shard)
    with pytest.raises(kinesis.exceptions.ProvisionedThroughputExceededException, match=shard):
        [kinesis.get_records(ShardIterator=token) for _ in range(50)]


def test_what_is_too_large_is_refused_whole(kinesis: Any, stream: str) -> None:
    too_large = {"Data": b"x" * (MEBIBYTE + 1), "PartitionKey": "k"}
    with pytest.raises(ClientError, match="1048576"):
        kinesis.put_records(
            StreamName=stream, Records=[{"Data": b"", "PartitionKey": "k"}, too_large]
        )
    largest, smallest = ({"Data": b"x" * n, "PartitionKey": "k"} for n in (MEBIBYTE, 1))
    with pytest.raises(ClientError, match="5 MB"):
        kinesis.put_records(StreamName=stream, Records=[largest] * 6)
    with pytest.raises(ClientError, match="500"):
        kinesis.put_records(StreamName=stream, Records=[smallest] * 501)
    assert values(drain(kinesis, stream, shards(kinesis, stream)[0]["ShardId"])) == []


def test_a_split_shard_keeps_its_records_ends_and_names_its_children(
    kinesis: Any, stream: str
) -> None:
    put(kinesis, stream, *range(20))
    (parent,) = shards(kinesis, stream)
    kinesis.split_shard(StreamName=stream, ShardToSplit=parent["ShardId"], NewStartingHashKey=HALF)
    put(kinesis, stream, *range(20, 60))
    closed, low, high = shards(kinesis, stream)
    assert "EndingSequenceNumber" in closed["SequenceNumberRange"]
    assert {low["ParentShardId"], high["ParentShardId"]} == {parent["ShardId"]}
    assert (low["HashKeyRange"]["StartingHashKey"], high["HashKeyRange"]["StartingHashKey"]) == (
        "0",
        HALF,
    )
    read = drain(kinesis, stream, parent["ShardId"])
    assert values(read) == list(range(20))
    assert "NextShardIterator" not in read
    assert [child["ShardId"] for child in read["ChildShards"]] == [low["ShardId"], high["ShardId"]]
    rest = [values(drain(kinesis, stream, child["ShardId"])) for child in (low, high)]
    assert all(rest)
    assert sorted(rest[0] + rest[1]) == list(range(20, 60))


def test_a_child_counts_on_from_its_parent(kinesis: Any, stream: str) -> None:
    (last,) = put(kinesis, stream, 1)
    (parent,) = shards(kinesis, stream)
    kinesis.split_shard(StreamName=stream, ShardToSplit=parent["ShardId"], NewStartingHashKey=HALF)
    (first,) = put(kinesis, stream, 1)
    ends = shards(kinesis, stream)[0]["SequenceNumberRange"]["EndingSequenceNumber"]
    assert int(last["SequenceNumber"]) < int(ends) < int(first["SequenceNumber"])


def test_merged_shards_keep_their_records_and_name_the_child(kinesis: Any) -> None:
    name = unique("stream")
    kinesis.create_stream(StreamName=name, ShardCount=2)
    put(kinesis, name, *range(40))
    one, other = (shard["ShardId"] for shard in shards(kinesis, name))
    kinesis.merge_shards(StreamName=name, ShardToMerge=one, AdjacentShardToMerge=other)
    put(kinesis, name, *range(40, 50))
    child = shards(kinesis, name)[2]
    assert (child["ParentShardId"], child["AdjacentParentShardId"]) == (one, other)
    reads = [drain(kinesis, name, shard) for shard in (one, other)]
    assert sorted(values(reads[0]) + values(reads[1])) == list(range(40))
    assert all(read["ChildShards"][0]["ShardId"] == child["ShardId"] for read in reads)
    assert values(drain(kinesis, name, child["ShardId"])) == list(range(40, 50))


def test_only_open_neighbours_merge_and_only_inner_keys_split(kinesis: Any) -> None:
    name = unique("stream")
    kinesis.create_stream(StreamName=name, ShardCount=3)
    one, _, three = (shard["ShardId"] for shard in shards(kinesis, name))
    with pytest.raises(kinesis.exceptions.InvalidArgumentException, match="not an adjacent pair"):
        kinesis.merge_shards(StreamName=name, ShardToMerge=one, AdjacentShardToMerge=three)
    with pytest.raises(kinesis.exceptions.InvalidArgumentException, match="EndingHashKey"):
        kinesis.split_shard(StreamName=name, ShardToSplit=three, NewStartingHashKey="1")
    kinesis.split_shard(StreamName=name, ShardToSplit=one, NewStartingHashKey="17")
    with pytest.raises(kinesis.exceptions.InvalidArgumentException, match="already been merged"):
        kinesis.split_shard(StreamName=name, ShardToSplit=one, NewStartingHashKey="17")


@pytest.mark.parametrize("target", [3, 4, 1])
def test_the_shard_count_is_what_was_asked_for(kinesis: Any, target: int) -> None:
    name = unique("stream")
    kinesis.create_stream(StreamName=name, ShardCount=2)
    answer = kinesis.update_shard_count(
        StreamName=name, TargetShardCount=target, ScalingType="UNIFORM_SCALING"
    )
    assert (answer["CurrentShardCount"], answer["TargetShardCount"]) == (2, target)
    open_ = kinesis.list_shards(StreamName=name, ShardFilter={"Type": "AT_LATEST"})["Shards"]
    assert len(open_) == target
    ranges = sorted(
        tuple(int(shard["HashKeyRange"][f"{end}HashKey"]) for end in ("Starting", "Ending"))
        for shard in open_
    )
    assert ranges[0][0] == 0
    assert ranges[-1][1] == (1 << 128) - 1
    assert all(low[1] + 1 == high[0] for low, high in pairwise(ranges))
    with pytest.raises(kinesis.exceptions.InvalidArgumentException, match="double"):
        kinesis.update_shard_count(
            StreamName=name, TargetShardCount=2 * target + 1, ScalingType="UNIFORM_SCALING"
        )


def test_shards_and_streams_are_listed_by_page(kinesis: Any) -> None:
    name = unique("stream")
    kinesis.create_stream(StreamName=name, ShardCount=5)
    found, page = [], kinesis.list_shards(StreamName=name, MaxResults=2)
    while True:
        found += [shard["ShardId"] for shard in page["Shards"]]
        if "NextToken" not in page:
            break
        page = kinesis.list_shards(NextToken=page["NextToken"], MaxResults=2)
    assert found == [f"shardId-{n:012d}" for n in range(5)]
    assert name in [
        n for p in kinesis.get_paginator("list_streams").paginate(Limit=1) for n in p["StreamNames"]
    ]
    with pytest.raises(kinesis.exceptions.InvalidArgumentException, match="AT_TIMESTAMP"):
        kinesis.list_shards(StreamName=name, ShardFilter={"Type": "AT_TIMESTAMP", "Timestamp": 0})


def test_a_stream_is_found_by_its_arn_and_waited_for(kinesis: Any, stream: str) -> None:
    kinesis.get_waiter("stream_exists").wait(StreamName=stream)
    arn = kinesis.describe_stream(StreamName=stream)["StreamDescription"]["StreamARN"]
    found = kinesis.describe_stream_summary(StreamARN=arn)["StreamDescriptionSummary"]
    assert (found["StreamName"], found["StreamStatus"]) == (stream, "ACTIVE")
    assert (found["OpenShardCount"], found["RetentionPeriodHours"]) == (1, 24)


def test_a_stack_makes_changes_and_deletes_a_stream_that_answers(
    local_aws: LocalAws, kinesis: Any
) -> None:
    name, stack = unique("stream"), unique("stack")
    client = local_aws.client("cloudformation")

    def template(**properties: Any) -> str:
        key = {"EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"}
        own = {"Name": name, "StreamEncryption": key} | properties
        resource = {"Type": "AWS::Kinesis::Stream", "Properties": own}
        arn = {"Value": {"Fn::GetAtt": ["It", "Arn"]}}
        return json.dumps({"Resources": {"It": resource}, "Outputs": {"Arn": arn}})

    client.create_stack(StackName=stack, TemplateBody=template(ShardCount=1))
    client.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})
    put(kinesis, name, 1, 2)
    client.update_stack(
        StackName=stack, TemplateBody=template(ShardCount=2, RetentionPeriodHours=48)
    )
    client.get_waiter("stack_update_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})
    found = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    assert (found["OpenShardCount"], found["RetentionPeriodHours"]) == (2, 48)
    assert (found["EncryptionType"], found["KeyId"]) == ("KMS", "alias/aws/kinesis")
    (described,) = client.describe_stacks(StackName=stack)["Stacks"]
    assert described["Outputs"][0]["OutputValue"] == found["StreamARN"]
    assert values(drain(kinesis, name, "shardId-000000000000")) == [1, 2]
    client.delete_stack(StackName=stack)
    client.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})
    with pytest.raises(kinesis.exceptions.ResourceNotFoundException):
        kinesis.describe_stream_summary(StreamName=name)
