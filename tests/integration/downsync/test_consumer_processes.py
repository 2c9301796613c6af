"""Consumers as processes on the local AWS: killed, resharded, two at once; the table is exact."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import Any

import pytest

from mlops.downsync.flow import Flow
from mlops.plan import PlannedField
from tests.downsync import CLICKS, click, expected, thinned
from tests.integration.downsync.conftest import Place
from tests.local_aws import eventually

pytestmark = pytest.mark.xdist_group("downsync")

STEPS = ("staged", "committed", "copied:2", "published", "cleaned")
"""One death at each; the unit tests kill at every single change."""
HALF = str(1 << 127)


def events(start: int, end: int) -> list[Any]:
    """Rows of 20 users, one every 10 minutes: over some days."""
    return [click(f"user-{n % 20}", n * 600, n) for n in range(start, end)]


def test_consumers_killed_at_every_step_lose_and_repeat_nothing(place: Place) -> None:
    flow = thinned(interval_us=5 * 3600 * 1_000_000)
    place.apply(flow)
    sent = []
    for n, step in enumerate(STEPS):
        new = events(n * 60, (n + 1) * 60)
        place.send(*new, *new[:3])
        sent += new
        place.killed_at(step)
    place.catch_up()
    assert place.numbers() == expected(sent, flow)
    left = [key for key in place.data.keys("downsync/") if "/staged/" in key]
    assert not left


def test_a_stream_that_splits_and_merges_under_two_consumers_is_read_once(place: Place) -> None:
    consumers = [place.consumer("--max-seconds", "0.5") for _ in range(2)]
    place.send(*events(0, 100))
    place.kinesis.split_shard(
        StreamName=place.stream, ShardToSplit="shardId-000000000000", NewStartingHashKey=HALF
    )
    place.send(*events(100, 200), *events(50, 120))
    first = eventually(lambda: readers(place, 2), what="a shard for each")
    place.kinesis.merge_shards(
        StreamName=place.stream,
        ShardToMerge="shardId-000000000001",
        AdjacentShardToMerge="shardId-000000000002",
    )
    place.send(*events(200, 300), *events(150, 220))
    consumers[0].send_signal(signal.SIGKILL)
    place.send(*events(300, 320))
    assert len(first) == 2
    eventually(lambda: len(numbers_or_none(place)) == 320, what="all rows")
    consumers[1].terminate()
    assert consumers[1].wait(30) == 0, place.log.read_text()
    place.catch_up()
    assert place.numbers() == list(range(320))


def readers(place: Place, wanted: int) -> list[str]:
    """The consumers that read a shard, once there are so many."""
    shards = place.consume("--status")["shards"]
    owners = {shard["owner"] for shard in shards if shard["state"] == "read"}
    return sorted(owners) if len(owners) == wanted else []


def numbers_or_none(place: Place) -> list[int]:
    tables = place.local.client("glue").get_tables(DatabaseName=place.settings.names.database)
    return place.numbers() if tables["TableList"] else []


def test_a_consumer_that_is_asked_to_end_commits_what_it_read(place: Place) -> None:
    place.send(*events(0, 10))
    consumer = place.consumer("--max-seconds", "600", "--json")
    (shard,) = place.consume("--status")["shards"]

    def is_read() -> bool:
        return bool(place.consume("--status")["shards"][0]["behind_seconds"] == 0)

    eventually(is_read, what="the end of the stream")
    consumer.terminate()
    printed, _ = consumer.communicate(timeout=30)
    assert consumer.returncode == 0
    assert '"kept": 10' in printed
    assert place.numbers() == list(range(10))
    (shard,) = place.consume("--status")["shards"]
    assert (shard["state"], shard["unpublished"]) == ("free", 0)


def test_a_dry_run_says_what_a_run_then_does(place: Place) -> None:
    place.send(*events(0, 30), *events(0, 5))
    before = sorted(place.data.keys("downsync/"))
    would = place.consume("--dry-run")
    assert would == {"written": False, "events": {"clicks_pushed": {"kept": 30, "duplicate": 5}}}
    assert sorted(place.data.keys("downsync/")) == before
    assert place.catch_up() == would["events"]
    status = place.consume("--status")
    assert status["counts"] == would["events"]
    assert [(s["state"], s["behind_seconds"]) for s in status["shards"]] == [("free", 0.0)]


def test_a_widened_view_widens_its_table_and_the_days_that_are_there(place: Place) -> None:
    place.send(*events(0, 3))
    place.catch_up()
    more = PlannedField(name="tags", dtype="Array(String)")
    wider = Flow.model_validate(CLICKS.model_dump() | {"features": (*CLICKS.features, more)})
    place.apply(wider)
    event = click("user-1", 100, 3, flow=wider)
    event = replace(event, values={"n": 3, "share": 0.5, "tags": ["a", None]})
    place.send(event, flow=wider)
    place.catch_up()
    rows = place.query("SELECT n, cardinality(tags) FROM clicks_pushed ORDER BY n")
    assert rows == [(0, None), (1, None), (2, None), (3, 2)]
