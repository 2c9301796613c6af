"""Load on an HTTP server, from one process: closed loop for its maximum, open loop for its latency.

Closed: each connection sends its next request when it has the answer. Open: requests come at a
constant rate whatever the server does, each is timed from the moment at which it should have been
sent, so that waiting for a connection or a slow server counts (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import uvloop

_OK = 200


@dataclass(frozen=True)
class Request:
    """One POST with its whole body."""

    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self, host: str) -> bytes:
        lines = {"Host": host, "Content-Type": "application/json"} | self.headers
        lines["Content-Length"] = str(len(self.body))
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"POST {self.path} HTTP/1.1\r\n{head}\r\n".encode() + self.body


@dataclass(frozen=True)
class Load:
    """What a run saw."""

    requests: int
    errors: int
    seconds: float
    latencies: Sequence[float]
    """Seconds of each answered request."""

    @property
    def rate(self) -> float:
        return (self.requests - self.errors) / self.seconds

    def percentile(self, percent: float) -> float:
        """Seconds."""
        return float(np.percentile(np.array(self.latencies), percent))


class _Connection(asyncio.Protocol):
    """One keep-alive connection with one request at a time."""

    def __init__(self) -> None:
        self._buffer = b""
        self._needed = -1
        self._answer: asyncio.Future[int] | None = None
        self._transport: Any = None  # uvloop's is no subclass of asyncio's

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    async def send(self, raw: bytes) -> int:
        """The status of the answer."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(raw)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._needed < 0:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._needed = end + 4 + _content_length(self._buffer[:end])
        if len(self._buffer) >= self._needed and self._answer is not None:
            status = int(self._buffer[9:12])
            self._buffer, self._needed = b"", -1
            self._answer.set_result(status)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("closed"))

    def close(self) -> None:
        self._transport.close()


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":", 1)[1])
    raise ValueError("the answer has no Content-Length")


def closed_loop(
    port: int, requests: Sequence[Request], *, connections: int = 4, seconds: float = 3.0
) -> Load:
    """As many requests as the server answers."""
    return uvloop.run(_closed(port, requests, connections, seconds))


async def _closed(port: int, requests: Sequence[Request], connections: int, seconds: float) -> Load:
    raws = _raws(port, requests)
    opened = [await _open(port) for _ in range(connections)]
    latencies: list[float] = []
    statuses: list[int] = []
    started = time.perf_counter()

    async def work(connection: _Connection) -> None:
        while (now := time.perf_counter()) - started < seconds:
            statuses.append(await connection.send(next(raws)))
            latencies.append(time.perf_counter() - now)

    await asyncio.gather(*(work(connection) for connection in opened))
    return _load(opened, statuses, latencies, time.perf_counter() - started)


def _raws(port: int, requests: Sequence[Request]) -> Iterator[bytes]:
    return itertools.cycle([request.encoded(f"127.0.0.1:{port}") for request in requests])


def _load(
    opened: Sequence[_Connection], statuses: list[int], latencies: list[float], seconds: float
) -> Load:
    for connection in opened:
        connection.close()
    errors = sum(status != _OK for status in statuses)
    return Load(len(statuses), errors, seconds, latencies)


def open_loop(
    port: int,
    requests: Sequence[Request],
    *,
    rate: float,
    connections: int = 16,
    seconds: float = 3.0,
) -> Load:
    """`rate` requests a second, over as many connections as are needed, up to `connections`."""
    return uvloop.run(_open_loop(port, requests, rate, connections, seconds))


async def _open_loop(
    port: int, requests: Sequence[Request], rate: float, connections: int, seconds: float
) -> Load:
    opened = [await _open(port) for _ in range(connections)]
    arrivals = _Arrivals(_raws(port, requests), deque(opened))
    started = time.perf_counter()
    for number in range(int(rate * seconds)):
        due = started + number / rate
        if due > time.perf_counter():
            await asyncio.sleep(due - time.perf_counter())
        arrivals.add(due)
    await arrivals.answered()
    taken = time.perf_counter() - started
    return _load(opened, arrivals.statuses, arrivals.latencies, taken)


class _Arrivals:
    """Requests that came, each sent as soon as a connection is idle."""

    def __init__(self, raws: Iterator[bytes], idle: deque[_Connection]) -> None:
        self._raws, self._idle = raws, idle
        self._waiting: deque[float] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self.statuses: list[int] = []
        self.latencies: list[float] = []

    def add(self, due: float) -> None:
        if self._idle:
            self._start(self._idle.popleft(), due)
        else:
            self._waiting.append(due)

    async def answered(self) -> None:
        while self._running:
            await asyncio.gather(*self._running)

    def _start(self, connection: _Connection, due: float) -> None:
        task = asyncio.create_task(self._send(connection, due))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _send(self, connection: _Connection, due: float) -> None:
        self.statuses.append(await connection.send(next(self._raws)))
        self.latencies.append(time.perf_counter() - due)
        if self._waiting:
            self._start(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)


async def _open(port: int) -> _Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(_Connection, "127.0.0.1", port)
    return connection
