"""The table holds what the oracle says, whatever happens to the consumer and to the stream."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.downsync.events import Event
from mlops.downsync.flow import Thinning
from pipelines.features.downsync.layout import ROOT
from pipelines.features.downsync.shards import ShardBook
from tests.downsync import (
    CLICKS,
    DeadlyDocuments,
    Killed,
    World,
    click,
    drain,
    expected,
    numbers,
    thinned,
)

HOUR = 3600
USERS = [f"user-{n}" for n in range(6)]
EVENTS = st.lists(
    st.tuples(st.sampled_from(USERS), st.integers(0, 40), st.integers(0, 60)), max_size=40
)
"""(user, seconds, identity): an identity that comes again is a duplicate of the first."""
THINNINGS = st.sampled_from(
    [Thinning(), Thinning(interval_us=7_000_000), Thinning(ratio=0.5, by="key", seed=3)]
)


def events_of(drawn: list[tuple[str, int, int]]) -> list[Event]:
    """Distinct events, and exact repetitions where an identity comes again."""
    made: dict[int, Event] = {}
    return [made.setdefault(i, click(user, at, i)) for user, at, i in drawn]


def survive(world: World, deaths: list[tuple[int, bool]]) -> int:
    """Run consumers until one lives to the end; how many were killed.

    Each reads other batches than the one before.
    """
    killed = 0
    for at, after in [*deaths, (-1, False)]:
        consumer = world.consumer(DeadlyDocuments(world.documents, at, after))
        try:
            drain(consumer)
        except Killed:
            killed += 1
            world.stream.page = world.stream.page * 2 % 7 + 1
        world.time.seconds += world.limits.lease_seconds
    return killed


@pytest.mark.hypothesis
@given(EVENTS, THINNINGS, st.integers(1, 3))
def test_the_table_is_what_the_oracle_says(
    drawn: list[tuple[str, int, int]], thinning: Thinning, shards: int
) -> None:
    flow, events = thinned(**thinning.model_dump()), events_of(drawn)
    world = World.with_flow(flow, shards=shards)
    world.stream.send(*events)
    drain(world.consumer())
    assert numbers(world.documents) == expected(events, flow)


@pytest.mark.hypothesis
@given(
    EVENTS,
    THINNINGS,
    st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=4),
    st.integers(1, 7),
)
def test_consumers_killed_anywhere_lose_and_repeat_nothing(
    drawn: list[tuple[str, int, int]],
    thinning: Thinning,
    deaths: list[tuple[int, bool]],
    page: int,
) -> None:
    flow, events = thinned(**thinning.model_dump()), events_of(drawn)
    world = World.with_flow(flow, shards=2)
    world.stream.page = page
    world.stream.send(*events)
    survive(world, deaths)
    assert numbers(world.documents) == expected(events, flow)


def test_a_consumer_killed_at_each_of_its_changes_loses_and_repeats_nothing() -> None:
    """Every write, copy and deletion there is, before and after it."""
    flow = thinned(interval_us=5 * HOUR * 1_000_000)
    events = [click(USERS[n % 3], n * HOUR, n) for n in range(36)]
    events += events[25:29]

    def world_of_events() -> World:
        world = World.with_flow(flow)
        world.stream.page = 9
        world.stream.send_raw(0, b"poison")
        world.stream.send(*events)
        return world

    counting = world_of_events()
    documents = DeadlyDocuments(counting.documents, -1, after=False)
    drain(counting.consumer(documents))
    assert documents.changes > 30
    for at in range(1, documents.changes + 1):
        for after in (False, True):
            world = world_of_events()
            assert survive(world, [(at, after)]) == 1
            assert numbers(world.documents) == expected(events, flow), (at, after)
            (dead,) = world.documents.keys(f"{ROOT}dead/")
            assert len(world.documents.get(dead).body.splitlines()) == 1
            assert not list(world.documents.keys(f"{ROOT}staged/"))
            assert len(list(world.documents.keys(f"{ROOT}memory/"))) == 1


@pytest.mark.parametrize("is_dropped", [False, True])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 25))
def test_the_last_commit_of_a_closed_shard_is_finished(
    at: int, after: bool, is_dropped: bool
) -> None:
    """Wherever its reader was killed, and though the stream may have dropped the shard by then."""
    world = World.with_flow()
    events = [click(user, n, n) for n, user in enumerate(USERS)]
    world.stream.send(*events)
    world.stream.split(0)
    with suppress(Killed):
        drain(world.consumer(DeadlyDocuments(world.documents, at, after)))
    records = ShardBook(world.documents, world.stream.identity).read()
    if is_dropped and "shard-0000" in records and records["shard-0000"][0].is_drained:
        del world.stream.parents["shard-0000"]
    world.time.seconds += world.limits.lease_seconds
    drain(world.consumer())
    assert numbers(world.documents) == expected(events, CLICKS)
    assert not list(world.documents.keys(f"{ROOT}staged/"))


@pytest.mark.hypothesis
@settings(max_examples=60)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("send"), EVENTS),
            st.tuples(st.just("split"), st.integers(0, 3)),
            st.tuples(st.just("merge"), st.integers(0, 3)),
            st.tuples(st.just("read"), st.integers(1, 6)),
            st.tuples(st.just("kill"), st.tuples(st.integers(1, 30), st.booleans())),
        ),
        max_size=8,
    ),
    THINNINGS,
)
def test_resharding_with_events_in_flight_loses_and_repeats_nothing(
    happenings: list[tuple[str, Any]], thinning: Thinning
) -> None:
    flow = thinned(**thinning.model_dump())
    world, sent = World.with_flow(flow, shards=2), list[Event]()
    made: dict[int, Event] = {}
    consumer = world.consumer()
    for what, how in happenings:
        if what == "send":
            new = [made.setdefault(i, click(user, at, i)) for user, at, i in how]
            world.stream.send(*new)
            sent += new
        elif what == "split":
            world.stream.split(how)
        elif what == "merge":
            world.stream.merge(how)
        elif what == "read":
            world.stream.page = how
            consumer.tick()
            for shard, worker in list(consumer.workers.items()):
                worker.step()
                if worker.is_drained:
                    del consumer.workers[shard]
        else:
            survive(world, [how])
            consumer = world.consumer()
    world.time.seconds += world.limits.lease_seconds
    drain(world.consumer())
    assert numbers(world.documents) == expected(sent, flow)


def test_two_consumers_at_once_share_the_shards_and_repeat_nothing() -> None:
    world = World.with_flow(shards=4)
    events = [click(f"user-{n}", n, n) for n in range(200)]
    world.stream.page = 7
    world.stream.send(*events)
    one, other = (world.consumer() for _ in range(2))
    for consumer in (one, other):
        consumer.until_caught_up = False
    one.tick()
    assert len(one.workers) == 4
    for _ in range(4):
        for consumer in (one, other):
            consumer.tick()
            step_all(consumer)
    assert (len(one.workers), len(other.workers)) == (2, 2)
    for _ in range(20):
        step_all(one)
        step_all(other)
    for consumer in (one, other):
        for worker in consumer.workers.values():
            worker.finish()
    assert numbers(world.documents) == list(range(200))


def step_all(consumer: Any) -> None:
    from pipelines.features.downsync.shards import LeaseLost

    for shard, worker in list(consumer.workers.items()):
        try:
            worker.step()
        except LeaseLost:
            del consumer.workers[shard]


def test_a_reader_that_lost_its_shard_commits_nothing_more() -> None:
    from pipelines.features.downsync.shards import LeaseLost

    world = World.with_flow()
    world.stream.send(*(click("a", n, n) for n in range(3)))
    slow = world.consumer()
    slow.tick()
    (worker,) = slow.workers.values()
    worker.step()
    world.time.seconds += 1
    quick = world.consumer()
    quick.tick()
    world.time.seconds += world.limits.lease_seconds
    drain(quick)
    assert numbers(world.documents) == [0, 1, 2]
    with pytest.raises(LeaseLost):
        worker.commit()
    assert numbers(world.documents) == [0, 1, 2]


def test_a_live_readers_shard_is_left_to_it() -> None:
    world = World.with_flow()
    one, other = world.consumer(), world.consumer()
    one.tick()
    (worker,) = one.workers.values()
    for _ in range(10):
        world.time.seconds += world.limits.beat_seconds
        worker.step()
        is_done = other.tick()
        assert not other.workers
    assert is_done


def test_a_parent_that_ends_while_the_shards_are_looked_at_leaves_its_children_to_read() -> None:
    """Its reader is another thread."""
    world = World.with_flow(CLICKS)
    world.stream.send(click("a", 0, 1))
    world.stream.split(0)
    world.stream.send(click("a", 1, 2))
    consumer = world.consumer()
    consumer.tick()
    ((parent, worker),) = consumer.workers.items()
    read = consumer.book.read

    def read_and_then_it_ends() -> Any:
        records = read()
        while not worker.is_drained:
            worker.step()
        consumer._finished.add(parent)
        consumer.workers.clear()
        return records

    consumer.book.read = read_and_then_it_ends  # type: ignore[method-assign]  # once
    is_done = consumer.tick()
    consumer.book.read = read  # type: ignore[method-assign]
    assert not is_done
    drain(consumer)
    assert numbers(world.documents) == [1, 2]


def test_children_wait_until_their_parents_are_read() -> None:
    world = World.with_flow(CLICKS)
    world.stream.send(click("a", 0, 1))
    world.stream.split(0)
    world.stream.send(click("a", 1, 2))
    consumer = world.consumer()
    consumer.tick()
    assert list(consumer.workers) == ["shard-0000"]
    drain(consumer)
    assert numbers(world.documents) == [1, 2]
