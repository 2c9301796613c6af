"""Asks a server over plain sockets, in a process that does nothing else, and says how it was.

A `Job` comes in and an `Answered` goes out. One thread waits for whatever is next, an answer or the
time of a request; requests are bytes that were made before, of an answer no more than its status
and its length is read, and no garbage is collected. Callers are other machines in earnest, so where
the system allows it this one is not made to wait for a processor, or for a timer that is rounded.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import pickle
import re
import select
import socket
import sys
import time
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_READ_SIZE = 262_144
_SILENCE_SECONDS = 60.0
"""After which a server that owes an answer is given up."""


@dataclass(frozen=True)
class Job:
    """What is to be asked."""

    port: int
    raws: Sequence[bytes]
    """Whole requests, sent in turn."""
    connections: int
    seconds: float
    rate: float | None
    """Requests a second; None for the closed loop."""


@dataclass
class Answered:
    """What came of it."""

    statuses: list[bytes] = field(default_factory=list)
    latencies: array[float] = field(default_factory=lambda: array("d"))
    """Seconds of each request."""
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def take(self, connection: _Connection) -> bool:
        """Whether the connection's answer is whole now; then it is counted."""
        status = connection.receive()
        if status is None:
            return False
        self.statuses.append(status)
        self.latencies.append(time.perf_counter() - connection.since)
        return True


class _Connection:
    """One keep-alive connection with one request at a time."""

    __slots__ = ("_missing", "_socket", "_status", "since")

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._missing = -1
        """Bytes of the answer that are to come; -1 before its head."""
        self._status = b""
        self.since = 0.0

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, raw: bytes, since: float) -> None:
        """since: when the request came."""
        self.since, self._missing = since, -1
        sent = self._socket.send(raw)
        if sent < len(raw):
            self._socket.setblocking(True)
            self._socket.sendall(raw[sent:])
            self._socket.setblocking(False)

    def receive(self) -> bytes | None:
        """The status where the answer is whole now."""
        data = self._socket.recv(_READ_SIZE)
        if not data:
            raise ConnectionError("the server closed a connection")
        if self._missing < 0:
            self._missing, self._status = _length(data), data[9:12]
        self._missing -= len(data)
        return self._status if self._missing == 0 else None

    def close(self) -> None:
        self._socket.close()


def _length(data: bytes) -> int:
    """Of a whole answer that begins so."""
    end, found = data.find(b"\r\n\r\n"), _LENGTH.search(data)
    if end < 0 or found is None:
        raise ConnectionError(f"an answer has no Content-Length: {data[:200]!r}")
    return end + 4 + int(found[1])


def run(job: Job) -> Answered:
    """Ask. Raises ConnectionError where a connection is lost."""
    opened = [_Connection(job.port) for _ in range(job.connections)]
    for connection in opened:
        _warm(connection, job.raws[0])
    answered = Answered()
    started, cpu = time.perf_counter(), time.process_time()
    if job.rate is None:
        _closed(job, opened, answered)
    else:
        _open(job, job.rate, opened, answered)
    answered.seconds = time.perf_counter() - started
    answered.cpu_seconds = time.process_time() - cpu
    for connection in opened:
        connection.close()
    return answered


def _warm(connection: _Connection, raw: bytes) -> None:
    """Ask once, uncounted: callers keep their connections, so hardly a request opens one."""
    connection.send(raw, time.perf_counter())
    status = None
    while status is None:
        found, _, _ = select.select([connection], (), (), _SILENCE_SECONDS)
        _check_answered(found)
        status = connection.receive()


def _closed(job: Job, opened: Sequence[_Connection], answered: Answered) -> None:
    clock, raws = time.perf_counter, itertools.cycle(job.raws)
    by_number = {connection.fileno(): connection for connection in opened}
    events = select.epoll()
    for connection in opened:
        events.register(connection.fileno(), select.EPOLLIN)
        connection.send(next(raws), clock())
    until, asking = clock() + job.seconds, len(opened)
    while asking:
        found = events.poll(_SILENCE_SECONDS)
        _check_answered(found)
        for number, _ in found:
            connection = by_number[number]
            if answered.take(connection):
                now = clock()
                if now < until:
                    connection.send(next(raws), now)
                else:
                    asking -= 1


def _open(job: Job, rate: float, opened: Sequence[_Connection], answered: Answered) -> None:
    clock, raws = time.perf_counter, itertools.cycle(job.raws)
    by_number = {connection.fileno(): connection for connection in opened}
    numbers, idle, waiting = list(by_number), list(opened), deque[float]()
    total, came, due = int(rate * job.seconds), 0, clock()
    started = due
    while len(answered.statuses) < total:
        while came < total and due <= clock():
            waiting.append(due)
            came += 1
            due = started + came / rate
        while waiting and idle:
            idle.pop().send(next(raws), waiting.popleft())
        pause = max(0.0, due - clock()) if came < total else _SILENCE_SECONDS
        # An epoll's timeout is of whole milliseconds.
        found, _, _ = select.select(numbers, (), (), pause)
        if came == total:
            _check_answered(found)
        for number in found:
            connection = by_number[number]
            if answered.take(connection):
                idle.append(connection)


def _check_answered(found: Sequence[object]) -> None:
    if not found:
        raise ConnectionError(f"no answer in {_SILENCE_SECONDS:g} s")


def _be_prompt() -> None:
    """Run as soon as there is something to do, and without pauses."""
    gc.disable()
    with contextlib.suppress(OSError):
        Path("/proc/self/timerslack_ns").write_text("1000")
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def main() -> None:
    job: Job = pickle.load(sys.stdin.buffer)
    _be_prompt()
    sys.stdout.buffer.write(pickle.dumps(run(job)))
