"""How far a stream is consumed, read from the shards' records alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipelines.features.downsync.judging import Verdict
from pipelines.features.downsync.status import ShardStatus, StreamStatus, status_of
from tests.downsync import START, DeadlyDocuments, Killed, World, click, drain


def status(world: World) -> StreamStatus:
    return status_of(world.stream, world.consumer().book)


def states(world: World) -> list[str]:
    return [shard.state for shard in status(world).shards]


def test_a_shard_that_nobody_read_is_free_and_says_nothing() -> None:
    world = World.with_flow()
    assert status(world).shards == [
        ShardStatus(
            shard="shard-0000",
            state="free",
            owner=None,
            behind_seconds=None,
            heard_at=None,
            arrived=None,
            unpublished=0,
        )
    ]


def test_a_shard_that_is_read_names_its_reader() -> None:
    world = World.with_flow()
    consumer = world.consumer()
    consumer.tick()
    (shard,) = status(world).shards
    assert (shard.state, shard.owner) == ("read", consumer.owner)


def test_what_was_read_says_up_to_when_and_what_became_of_it() -> None:
    world = World.with_flow()
    world.stream.send(*(click("a", n, n) for n in range(3)), click("a", 0, 0))
    drain(world.consumer())
    found = status(world)
    (shard,) = found.shards
    assert (shard.state, shard.behind_seconds) == ("free", 0.0)
    assert shard.arrived == START + timedelta(milliseconds=4)
    assert shard.heard_at == START + timedelta(days=3650)
    assert found.counts == {"clicks_pushed": {Verdict.KEPT: 3, Verdict.DUPLICATE: 1}}


def test_a_split_shard_is_drained_before_its_children_are_free() -> None:
    world = World.with_flow()
    world.stream.send(click("a", 0, 1))
    world.stream.split(0)
    assert states(world) == ["free", "waiting", "waiting"]
    consumer = world.consumer()
    consumer.tick()
    (worker,) = consumer.workers.values()
    worker.step()
    assert states(world) == ["drained", "free", "free"]


def test_a_shard_that_the_stream_forgot_is_gone() -> None:
    world = World.with_flow()
    drain(world.consumer())
    del world.stream.parents["shard-0000"]
    assert states(world) == ["gone"]


def test_files_that_a_killed_reader_left_to_publish_are_counted() -> None:
    world = World.with_flow()
    world.stream.send(click("a", 0, 1))
    dying = world.consumer(DeadlyDocuments(world.documents, 4, after=True))
    with pytest.raises(Killed):
        drain(dying)
    assert [shard.unpublished for shard in status(world).shards] == [1]
