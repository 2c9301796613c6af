"""From a bounded buffer into the stream, in a thread of its own: whoever offers never waits.

Events of a bucket reach the stream in the order in which they were offered: a call holds at most
one record of a bucket, and the next call waits until this one's records are all in or given up.
What cannot be delivered is dropped and counted by its reason, never in silence.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Condition, Event, Lock, Thread

from mlops.downsync.events import pack
from mlops.downsync.stream import MAX_RECORDS, MAX_REQUEST_BYTES, Sink, StreamRecord
from mlops.errors import MlopsError

log = logging.getLogger("mlops.downsync")

MAX_EVENT_BYTES = 768 * 1024
"""A record takes 1 MiB."""
FULL, TOO_LARGE, UNDELIVERED, UNEXPECTED = "buffer_full", "too_large", "undelivered", "unexpected"
_RECORD_BYTES = 256 * 1024
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_QUIET_SECONDS = 10.0


@dataclass(frozen=True)
class ProducerLimits:
    """How much is held, how long is gathered, and when something is given up."""

    buffer_bytes: int = 32 * 1024 * 1024
    flush_seconds: float = 0.5
    """How long events are gathered before they are sent: what a killed process loses."""
    retry_seconds: float = 900.0
    """How long a record is tried. Shorter than the time in which a consumer knows its events."""


@dataclass
class Counts:
    """What became of the events that were offered."""

    offered: int = 0
    sent: int = 0
    retries: int = 0
    """Records that the stream refused and that were tried again."""
    buffered: int = 0
    buffered_bytes: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Packed:
    record: StreamRecord
    events: int
    bytes: int


class Producer:
    """Sends encoded events; made once per process, safe to share between threads."""

    def __init__(
        self,
        sink: Sink,
        *,
        limits: ProducerLimits = ProducerLimits(),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sink, self._limits, self._now = sink, limits, now
        self._changed = Condition(Lock())
        self._queue: list[tuple[int, bytes]] = []
        self._stirred, self._closing = Event(), Event()
        self._deadline = float("inf")
        self._thread: Thread | None = None
        self._told: dict[str, float] = {}
        self.counts = Counts()

    def offer(self, bucket: int, event: bytes) -> bool:
        """Take an event if there is room; returns at once, and whether it was taken."""
        with self._changed:
            self.counts.offered += 1
            if self._closing.is_set():
                return self._drop(1, UNDELIVERED)
            if len(event) > MAX_EVENT_BYTES:
                return self._drop(1, TOO_LARGE)
            if self.counts.buffered_bytes + len(event) > self._limits.buffer_bytes:
                return self._drop(1, FULL)
            self._queue.append((bucket, event))
            self.counts.buffered += 1
            self.counts.buffered_bytes += len(event)
            if self._thread is None:
                self._thread = Thread(target=self._run, name="downsync", daemon=True)
                self._thread.start()
        if not self._stirred.is_set():
            self._stirred.set()
        return True

    def flush(self, timeout: float) -> bool:
        """Wait until all that was offered is sent or dropped; whether that came to pass."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.counts.buffered, timeout)

    def close(self, timeout: float) -> None:
        """Send what is buffered, for so many seconds at most; what is left then is dropped."""
        self._deadline = self._now() + timeout
        self._closing.set()
        self._stirred.set()
        if self._thread is not None:
            self._thread.join(timeout + _LONGEST_PAUSE)
        with self._changed:
            if self.counts.buffered:
                self._drop(self.counts.buffered, UNDELIVERED)

    def _run(self) -> None:
        while not self._is_finished():
            self._stirred.wait()
            self._closing.wait(self._limits.flush_seconds)
            self._stirred.clear()
            with self._changed:
                events, self._queue = self._queue, []
            self._deliver(events)

    def _is_finished(self) -> bool:
        with self._changed:
            return self._closing.is_set() and not self._queue

    def _deliver(self, events: Sequence[tuple[int, bytes]]) -> None:
        packed = self._pack(events)
        tried_since = self._now()
        try:
            for call in _calls(packed):
                self._send(call, tried_since)
        except Exception:  # a thread that dies would end the log for good
            log.exception("events lost")
            with self._changed:
                left = self.counts.buffered - len(self._queue)
                self._settle(left, self.counts.buffered_bytes - _size(self._queue))
                self._drop(left, UNEXPECTED)

    def _send(self, call: list[_Packed], tried_since: float) -> None:
        pause = _SHORTEST_PAUSE
        while call:
            failed = self._put(call)
            self._done(one for n, one in enumerate(call) if n not in failed)
            call = [one for n, one in enumerate(call) if n in failed]
            if not call:
                return
            self.counts.retries += len(call)
            if self._now() - tried_since > self._limits.retry_seconds or self._is_over():
                self._give_up(call)
                return
            self._closing.wait(pause)
            if self._closing.is_set():
                time.sleep(_SHORTEST_PAUSE)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _put(self, call: Sequence[_Packed]) -> set[int]:
        try:
            return set(self._sink.put([one.record for one in call]))
        except MlopsError as exc:
            self._tell("the stream does not take events, will try again", cause=str(exc))
            return set(range(len(call)))

    def _is_over(self) -> bool:
        return self._closing.is_set() and self._now() > self._deadline

    def _done(self, sent: Iterable[_Packed]) -> None:
        with self._changed:
            for one in sent:
                self.counts.sent += one.events
                self._settle(one.events, one.bytes)

    def _give_up(self, call: Iterable[_Packed]) -> None:
        with self._changed:
            for one in call:
                self._settle(one.events, one.bytes)
                self._drop(one.events, UNDELIVERED)

    def _settle(self, events: int, size: int) -> None:
        self.counts.buffered -= events
        self.counts.buffered_bytes -= size
        if not self.counts.buffered:
            self._changed.notify_all()

    def _drop(self, events: int, reason: str) -> bool:
        self.counts.dropped[reason] += events
        self._tell("events dropped", dropped=dict(self.counts.dropped))
        return False

    def _tell(self, what: str, **facts: object) -> None:
        """Not more often than every few seconds: what it tells of comes in floods."""
        if self._now() - self._told.get(what, -_QUIET_SECONDS) >= _QUIET_SECONDS:
            self._told[what] = self._now()
            log.warning(what, extra=facts)

    def _pack(self, events: Iterable[tuple[int, bytes]]) -> list[_Packed]:
        """Records of the events, each of one bucket, in the order of the events in it."""
        waiting: dict[int, list[bytes]] = {}
        sizes: Counter[int] = Counter()
        packed = []
        for bucket, event in events:
            if sizes[bucket] + len(event) > _RECORD_BYTES and bucket in waiting:
                packed.append(self._packed(bucket, waiting.pop(bucket)))
                sizes[bucket] = 0
            waiting.setdefault(bucket, []).append(event)
            sizes[bucket] += len(event)
        return packed + [self._packed(bucket, some) for bucket, some in waiting.items()]

    def _packed(self, bucket: int, events: list[bytes]) -> _Packed:
        record = StreamRecord(bucket, pack(events))
        return _Packed(record, len(events), sum(map(len, events)))


def _size(events: Iterable[tuple[int, bytes]]) -> int:
    return sum(len(event) for _, event in events)


def _calls(packed: Sequence[_Packed]) -> Iterator[list[_Packed]]:
    """Within Kinesis' limits, and with no bucket twice in one call."""
    left = list(packed)
    while left:
        call: list[_Packed] = []
        rest: list[_Packed] = []
        buckets: set[int] = set()
        size = 0
        for one in left:
            length = len(one.record.data)
            fits = len(call) < MAX_RECORDS and size + length <= MAX_REQUEST_BYTES
            if one.record.bucket not in buckets and fits:
                call.append(one)
                size += length
            else:
                rest.append(one)
            buckets.add(one.record.bucket)
        yield call
        left = rest
