"""The producer takes what there is room for, sends it in order, and counts what it drops."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
import pytest

from mlops.downsync.producer import (
    FULL,
    MAX_EVENT_BYTES,
    TOO_LARGE,
    UNDELIVERED,
    UNEXPECTED,
    Producer,
    ProducerLimits,
)
from mlops.downsync.stream import MAX_REQUEST_BYTES, MemorySink, Sink, StreamRecord

AT_ONCE = ProducerLimits(flush_seconds=0.01)
LONG = 30.0
"""More seconds than anything here takes."""


@contextmanager
def producing(sink: Sink, limits: ProducerLimits = AT_ONCE) -> Iterator[Producer]:
    producer = Producer(sink, limits=limits)
    yield producer
    producer.close(0)


def event(number: int) -> bytes:
    return b'{"n":%d}' % number


def sent(sink: MemorySink) -> dict[int, list[int]]:
    """The numbers of the events that the sink took, in order, by bucket."""
    found: dict[int, list[int]] = {}
    for record in sink.taken:
        numbers = [one["n"] for one in orjson.loads(record.data)["events"]]
        found.setdefault(record.bucket, []).extend(numbers)
    return found


def settled(producer: Producer) -> bool:
    """Every event that was offered is accounted for."""
    counts = producer.counts
    return counts.offered == counts.sent + sum(counts.dropped.values()) + counts.buffered


def test_events_arrive_in_their_order_in_every_bucket() -> None:
    with producing(sink := MemorySink()) as producer:
        for number in range(1000):
            assert producer.offer(number % 7, event(number))
        assert producer.flush(LONG)
        assert sent(sink) == {b: list(range(b, 1000, 7)) for b in range(7)}
        assert (producer.counts.sent, producer.counts.buffered_bytes) == (1000, 0)


def test_events_share_records() -> None:
    with producing(sink := MemorySink(), ProducerLimits(flush_seconds=0.3)) as producer:
        for number in range(1000):
            producer.offer(number % 7, event(number))
        assert producer.flush(LONG)
        assert len(sink.taken) <= 14


def test_no_call_holds_two_records_of_a_bucket_or_is_larger_than_kinesis_takes() -> None:
    calls: list[Sequence[StreamRecord]] = []

    class Recording(MemorySink):
        def put(self, records: Sequence[StreamRecord]) -> list[int]:
            calls.append(records)
            return super().put(records)

    with producing(sink := Recording(), ProducerLimits(flush_seconds=0.3)) as producer:
        for number in range(120):
            producer.offer(number % 40, b'{"n":%d,"x":"%s"}' % (number, b"x" * 200_000))
        assert producer.flush(LONG)
    for records in calls:
        assert len({record.bucket for record in records}) == len(records)
        assert sum(len(record.data) for record in records) <= MAX_REQUEST_BYTES
    assert sent(sink) == {b: list(range(b, 120, 40)) for b in range(40)}


def test_what_the_stream_refuses_is_tried_again_before_what_follows() -> None:
    with producing(sink := MemorySink(failing={3})) as producer:
        producer.offer(3, event(1))
        producer.offer(4, event(2))
        until(lambda: producer.counts.retries > 1)
        producer.offer(3, event(3))
        assert sent(sink) == {4: [2]}
        sink.failing.clear()
        assert producer.flush(LONG)
        assert sent(sink) == {4: [2], 3: [1, 3]}


def test_a_stream_that_was_down_gets_everything_later() -> None:
    with producing(sink := MemorySink(down=True)) as producer:
        for number in range(10):
            producer.offer(0, event(number))
        until(lambda: sink.calls > 2)
        sink.down = False
        assert producer.flush(LONG)
        assert sent(sink) == {0: list(range(10))}
        assert not producer.counts.dropped


def test_a_full_buffer_drops_counts_and_takes_again(caplog: pytest.LogCaptureFixture) -> None:
    limits = ProducerLimits(buffer_bytes=10 * len(event(1)), flush_seconds=0.01)
    with producing(sink := MemorySink(down=True), limits) as producer:
        taken = [producer.offer(0, event(n % 10)) for n in range(100)]
        assert taken == [True] * 10 + [False] * 90
        assert producer.counts.dropped == {FULL: 90}
        assert settled(producer)
        assert sum("events dropped" in record.message for record in caplog.records) == 1
        sink.down = False
        assert producer.flush(LONG)
        assert producer.offer(0, event(7))
        assert producer.flush(LONG)
        assert sent(sink) == {0: [*range(10), 7]}


def test_offering_does_not_wait_for_a_stream_that_hangs() -> None:
    release = threading.Event()

    class Hanging(MemorySink):
        def put(self, records: Sequence[StreamRecord]) -> list[int]:
            release.wait(LONG)
            return super().put(records)

    with producing(sink := Hanging()) as producer:
        for number in range(500):
            assert producer.offer(0, event(number))
        assert not producer.flush(0.1)
        assert not sink.taken
        release.set()
        assert producer.flush(LONG)
        assert sent(sink) == {0: list(range(500))}


def test_what_is_tried_for_too_long_is_given_up_and_counted() -> None:
    limits = ProducerLimits(flush_seconds=0.01, retry_seconds=0)
    with producing(MemorySink(down=True), limits) as producer:
        producer.offer(0, event(1))
        assert producer.flush(LONG)
        assert producer.counts.dropped == {UNDELIVERED: 1}
        assert settled(producer)


def test_closing_sends_what_is_buffered() -> None:
    sink = MemorySink()
    producer = Producer(sink, limits=ProducerLimits(flush_seconds=LONG))
    for number in range(10):
        producer.offer(0, event(number))
    producer.close(LONG)
    assert sent(sink) == {0: list(range(10))}
    assert not producer.offer(0, event(11))
    assert settled(producer)


def test_closing_sends_what_was_offered_while_a_call_was_under_way() -> None:
    release, entered = threading.Event(), threading.Event()

    class Slow(MemorySink):
        def put(self, records: Sequence[StreamRecord]) -> list[int]:
            entered.set()
            release.wait(LONG)
            return super().put(records)

    producer = Producer(sink := Slow(), limits=AT_ONCE)
    producer.offer(0, event(1))
    entered.wait(LONG)
    producer.offer(0, event(2))
    threading.Timer(0.2, release.set).start()
    producer.close(LONG)
    assert sent(sink) == {0: [1, 2]}


def test_closing_while_the_stream_is_down_ends_and_counts() -> None:
    producer = Producer(MemorySink(down=True), limits=AT_ONCE)
    for number in range(10):
        producer.offer(0, event(number))
    producer.close(0.2)
    assert producer.counts.dropped == {UNDELIVERED: 10}
    assert settled(producer)


def test_an_event_too_large_for_a_record_is_dropped_alone() -> None:
    with producing(sink := MemorySink()) as producer:
        assert not producer.offer(0, b"x" * (MAX_EVENT_BYTES + 1))
        producer.offer(0, event(1))
        assert producer.flush(LONG)
        assert sent(sink) == {0: [1]}
        assert producer.counts.dropped == {TOO_LARGE: 1}


def test_a_fault_of_ours_loses_a_batch_and_not_the_thread() -> None:
    class Broken(MemorySink):
        def put(self, records: Sequence[StreamRecord]) -> list[int]:
            if not self.calls:
                self.calls += 1
                raise RuntimeError("a bug")
            return super().put(records)

    with producing(sink := Broken()) as producer:
        producer.offer(0, event(1))
        assert producer.flush(LONG)
        producer.offer(0, event(2))
        assert producer.flush(LONG)
        assert sent(sink) == {0: [2]}
        assert producer.counts.dropped == {UNEXPECTED: 1}
        assert settled(producer)


def until(holds: Any) -> None:
    for _ in range(int(LONG / 0.01)):
        if holds():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never held")
