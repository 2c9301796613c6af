"""Blocking reads on connections of their own: one write, then the answers to it.

redis-py connects (passwords, TLS, IAM, time limits). Its pool and its parser, which cost a small
read more than Redis does, are out of the way from then on. Who asks for little looks for the
answer a moment before going to sleep: to be woken takes longer than Redis does.
"""

from __future__ import annotations

import os
import queue
import select
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis
import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse
from redis.exceptions import TimeoutError as RedisTimeoutError

from mlops.stores.redis.connecting import read_error

_INCOMPLETE = object()
_READ_SIZE = 65_536
_LITTLE = 16
"""Commands whose answers are looked for before sleeping: they come within a wake-up's time."""
_LOOKING_SECONDS = 100e-6
_LATE = 3
"""Answers in a row that took longer: Redis is far, or busy. A single one says nothing."""
_BLIND_READS = 64
"""Reads that go to sleep at once after those."""

Glance = Callable[[memoryview], bool]
"""Is shown the bytes that came first, and says whether they are all the answers and it took them.

They are not there any more when it returns."""


class _Wire:
    """An open connection that one thread uses at a time."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._socket = connection._sock
        self._read_error = read_error(connection)
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse,
            replyError=self._error,
            notEnoughData=_INCOMPLETE,
        )
        self._lost: RedisConnectionError | None = None
        self._buffer = memoryview(bytearray(_READ_SIZE))
        self._readable = select.poll()
        self._readable.register(self._socket, select.POLLIN)
        self._late = 0
        self._blind = 0

    @property
    def is_quiet(self) -> bool:
        """Whether Redis says nothing unasked: neither the end, nor an answer that came too late."""
        return not self._readable.poll(0)

    def ask(self, packed: bytes, count: int, glance: Glance | None) -> list[Any]:
        """The answers to `count` commands, none where they were taken at a glance.

        Where it raises, the connection is of no more use.
        """
        try:
            self._socket.sendall(packed)
            if count <= _LITTLE:
                self._look()
            answers = self._take(count, glance)
        except TimeoutError as exc:
            raise RedisTimeoutError(f"no answer in {self._socket.gettimeout():g} s") from exc
        if self._lost is not None:
            raise self._lost
        return answers

    def _look(self) -> None:
        """Wait for the answer awake, where the last ones came at once."""
        if self._blind:
            self._blind -= 1
            return
        is_there, until = self._readable.poll, time.perf_counter() + _LOOKING_SECONDS
        while not is_there(0):
            if time.perf_counter() > until:
                self._late += 1
                if self._late == _LATE:
                    self._late, self._blind = 0, _BLIND_READS
                return
        self._late = 0

    def _take(self, count: int, glance: Glance | None) -> list[Any]:
        answers: list[Any] = []
        take, receive, buffer = self._reader.gets, self._socket.recv_into, self._buffer
        while len(answers) < count:
            size = receive(buffer)
            if not size:
                raise RedisConnectionError("the connection was closed")
            if glance is not None and glance(buffer[:size]):
                return answers
            glance = None
            self._reader.feed(buffer, 0, size)  # type: ignore[arg-type]  # any buffer does
            while (answer := take()) is not _INCOMPLETE:
                answers.append(answer)
        if len(answers) > count or self._reader.has_data():
            raise InvalidResponse("more answers than questions")
        return answers

    def _error(self, text: str) -> Exception:
        """An answer like any other, unless nobody is answered: as it loads, or lost its primary."""
        error = self._read_error(text)
        if isinstance(error, RedisConnectionError):
            self._lost = error
        return error

    def close(self) -> None:
        self._connection.disconnect()


class _Wires:
    """The connections of one process: as many at a time as there are slots."""

    def __init__(self, slots: int) -> None:
        self.process = os.getpid()
        self.idle: deque[_Wire] = deque()
        self.slots: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(slots):
            self.slots.put(None)


class RoundTrips:
    """The connections to one server, which are opened when they are needed."""

    def __init__(self, client: redis.Redis, *, connections: int, timeout: float) -> None:
        """connections: how many at a time; timeout: seconds that a caller waits for one."""
        self._pool: Any = client.connection_pool
        self._connections = connections
        self._timeout = timeout
        self._wires = _Wires(connections)

    def fetch(self, packed: bytes, count: int, glance: Glance | None = None) -> list[Any]:
        """The answers to `count` commands, none where they were taken at a glance.

        Raises what redis-py raises, and OSError.
        """
        wires = self._own()
        try:
            wires.slots.get(timeout=self._timeout)
        except queue.Empty:
            raise RedisTimeoutError(f"all {self._connections} connections are taken") from None
        try:
            wire = _quiet(wires.idle) or self._connect()
            try:
                answers = wire.ask(packed, count, glance)
            except BaseException:
                wire.close()
                raise
            wires.idle.append(wire)
            return answers
        finally:
            wires.slots.put(None)

    def close(self) -> None:
        """Let go of the connections that nobody uses."""
        idle = self._own().idle
        while idle:
            idle.pop().close()

    def _own(self) -> _Wires:
        """A forked process shares no connection with the one that it comes from."""
        if self._wires.process != os.getpid():
            self._wires = _Wires(self._connections)
        return self._wires

    def _connect(self) -> _Wire:
        connection = self._pool.connection_class(**self._pool.connection_kwargs)
        connection.connect()
        return _Wire(connection)


def _quiet(idle: deque[_Wire]) -> _Wire | None:
    """The one that was used last. Those that were lost meanwhile are closed."""
    while True:
        try:
            wire = idle.pop()
        except IndexError:
            return None
        if wire.is_quiet:
            return wire
        wire.close()
