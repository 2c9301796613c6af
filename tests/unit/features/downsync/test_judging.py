"""Chance, repetition and nearness: which events become rows, and what is remembered for it."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.downsync.events import Event
from mlops.downsync.flow import Flow
from mlops.downsync.thinning import is_drawn
from pipelines.features.downsync.judging import DEDUPE_MS, Judge, Verdict
from pipelines.features.downsync.memory import Memory, read_memory
from tests.downsync import CLICKS, World, click, drain, expected, numbers, thinned

MINUTE, HOUR = 60, 3600


class NoPast:
    """A table that nobody may ask."""

    def has_within(self, table: str, digest: bytes, time_us: int, interval_us: int) -> bool:
        raise AssertionError("the table was asked")

    def forget(self, table: str) -> None:
        pass


def verdicts(flow: Flow, *events: Event, memory: Memory | None = None) -> list[Verdict]:
    judge = Judge(memory or Memory(), NoPast())
    return [judge.judge(event, flow, 0) for event in events]


def test_rows_of_a_key_are_never_nearer_than_the_interval() -> None:
    flow = thinned(interval_us=10_000_000)
    times = [0, 9.999999, 10, 15, 19.999999, 20]
    found = verdicts(flow, *(click("a", at, n) for n, at in enumerate(times)))
    kept, soon = Verdict.KEPT, Verdict.TOO_SOON
    assert found == [kept, soon, kept, soon, soon, kept]


def test_a_late_row_fills_a_gap_and_only_a_gap() -> None:
    flow = thinned(interval_us=10_000_000)
    late = verdicts(flow, *(click("a", at, n) for n, at in enumerate([100, 50, 95, 60, 55])))
    assert late == [*([Verdict.KEPT] * 2), Verdict.TOO_SOON, Verdict.KEPT, Verdict.TOO_SOON]


def test_keys_do_not_hold_each_other_up() -> None:
    flow = thinned(interval_us=10_000_000)
    assert verdicts(flow, click("a", 0, 1), click("b", 1, 2)) == [Verdict.KEPT] * 2


def test_without_an_interval_every_row_is_kept_once() -> None:
    found = verdicts(CLICKS, click("a", 0, 1), click("a", 0, 2), click("a", 0, 1))
    assert found == [Verdict.KEPT, Verdict.KEPT, Verdict.DUPLICATE]


def test_a_repetition_of_what_was_too_soon_is_a_repetition() -> None:
    flow = thinned(interval_us=10_000_000)
    found = verdicts(flow, click("a", 0, 1), click("a", 1, 2), click("a", 1, 2))
    assert found[1:] == [Verdict.TOO_SOON, Verdict.DUPLICATE]


def test_a_view_that_logs_no_more_keeps_no_more() -> None:
    silent = CLICKS.model_copy(update={"logs": ()})
    assert verdicts(silent, click("a", 0, 1)) == [Verdict.NOT_LOGGED]


@pytest.mark.parametrize("by", ["row", "key"])
def test_exactly_what_is_drawn_is_kept(by: str) -> None:
    flow = thinned(ratio=0.3, by=by, seed=11)
    events = [click(f"user-{n % 100}", n, n) for n in range(1000)]
    kept = [v is Verdict.KEPT for v in verdicts(flow, *events)]
    assert kept == [is_drawn(flow.thinning, event.digest, event.id) for event in events]
    assert 200 < sum(kept) < 400


def test_an_event_is_known_again_within_the_window_and_no_longer() -> None:
    memory = Memory()
    judge = Judge(memory, NoPast())
    judge.judge(click("a", 0, 1), CLICKS, 1000)
    judge.tidy({}, 1000 + DEDUPE_MS)
    assert judge.judge(click("a", 0, 1), CLICKS, 1000 + DEDUPE_MS) is Verdict.DUPLICATE
    judge.tidy({}, 1001 + DEDUPE_MS)
    assert not memory.events


def test_what_is_remembered_does_not_grow_with_time() -> None:
    flow, memory = thinned(interval_us=60_000_000), Memory()
    judge = Judge(memory, NoPast())
    for n in range(3000):
        seconds = n * 10
        judge.judge(click(f"u{n % 7}", seconds, n), flow, seconds * 1000)
        judge.tidy({"clicks": flow}, seconds * 1000)
    assert len(memory.events) == HOUR / 10 + 1
    rows = memory.rows("clicks_pushed")
    assert len(rows.order) <= (10 * MINUTE + MINUTE) / 10 + 1
    assert sum(map(len, rows.times.values())) == len(rows.order)


@pytest.mark.hypothesis
@given(
    st.lists(
        st.tuples(st.binary(min_size=16, max_size=16), st.integers(0, 99)),
        max_size=20,
        unique_by=lambda event: event[0],
    ),
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.binary(min_size=16, max_size=16),
            st.integers(-(1 << 40), 1 << 40),
        ),
        max_size=20,
    ),
    st.integers(0, 25),
)
def test_memory_comes_back_as_it_was(
    events: list[tuple[bytes, int]], rows: list[tuple[str, bytes, int]], forget: int
) -> None:
    memory = Memory(dict(sorted(events, key=lambda e: e[1])))
    for at, (table, digest, time_us) in enumerate(rows):
        memory.rows(table).add(digest, time_us, at)
    for kept in memory.kept.values():
        kept.forget_before(forget)
    back = read_memory([memory.write()])
    assert list(back.events.items()) == list(memory.events.items())
    for table, kept in memory.kept.items():
        assert back.rows(table) == kept


def test_two_memories_become_one_in_the_order_of_arrival() -> None:
    one, other = Memory({b"a" * 16: 1, b"c" * 16: 3}), Memory({b"b" * 16: 2})
    one.rows("t").forgotten_us = 5
    other.rows("t").forgotten_us = 7
    both = read_memory([one.write(), other.write()])
    assert list(both.events.values()) == [1, 2, 3]
    assert both.rows("t").forgotten_us == 7


LATE = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 5 * 24 * 6).map(lambda n: n * 10 * MINUTE),
        st.sampled_from([0, 0, 0, 20 * MINUTE, 3 * HOUR]),
    ),
    max_size=40,
)
"""(user, event time within five days, pause before the arrival)."""


@pytest.mark.hypothesis
@settings(max_examples=60)
@given(LATE, st.sampled_from([HOUR, 5 * HOUR, 30 * HOUR]), st.integers(1, 6))
def test_events_later_than_memory_are_compared_with_the_table(
    drawn: list[tuple[str, int, int]], interval: int, page: int
) -> None:
    flow = thinned(interval_us=interval * 1_000_000)
    events = [click(user, at, n) for n, (user, at, _) in enumerate(drawn)]
    world = World.with_flow(flow)
    world.stream.page = page
    for event, (_, _, pause) in zip(events, drawn, strict=True):
        world.stream.arrived += timedelta(seconds=pause)
        world.stream.send(event, flow=flow)
    drain(world.consumer())
    assert numbers(world.documents) == expected(events, flow)


def test_every_event_is_counted_once() -> None:
    flow = thinned(interval_us=10_000_000, ratio=0.5, seed=2)
    events = [click(f"u{n % 5}", n, n) for n in range(100)]
    world = World.with_flow(flow, shards=2)
    world.stream.send(*events, *events[:20])
    world.stream.send_raw(7, b"poison")
    drain(world.consumer())
    counts: Counter[Any] = Counter()
    for record, _ in world.consumer().book.read().values():
        for table, of_table in record.counts.items():
            counts.update({(table, verdict): n for verdict, n in of_table.items()})
    assert sum(counts.values()) == 121
    assert counts["unknown", Verdict.DEAD] == 1
    assert counts["clicks_pushed", Verdict.KEPT] == len(expected(events, flow))
    out = sum(not is_drawn(flow.thinning, e.digest, e.id) for e in [*events, *events[:20]])
    assert counts["clicks_pushed", Verdict.SAMPLED_OUT] == out
    again = sum(is_drawn(flow.thinning, e.digest, e.id) for e in events[:20])
    assert counts["clicks_pushed", Verdict.DUPLICATE] == again
