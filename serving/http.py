"""Kept HTTP/1.1 connections to one server: asyncio carries, httptools parses.

A connection bears one request at a time. One that the server closed while it was idle is not used;
where that crosses a request of which nothing was answered yet, the request goes out once more on a
fresh connection, so what is sent must be safe to repeat.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

import httptools

from mlops.errors import Unavailable
from serving.deadline import TimeLimit


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A whole answer, whatever its status."""

    status: int
    body: bytes
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    """By name in lower case."""


class HttpClient(Protocol):
    """The way to one server."""

    async def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> HttpAnswer:
        """Raises Unavailable where there is no whole answer in time."""

    async def close(self) -> None:
        """Let go of the connections."""


class _Lost(ConnectionError):
    """The connection ended before the whole answer was there."""

    def __init__(self, *, began: bool) -> None:
        super().__init__("the connection was closed")
        self.began = began
        """Whether some of the answer had come."""


class HttpPool:
    """Connections of one process to one server, opened as they are needed (`HttpClient`)."""

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float,
        connections: int,
        idle_seconds: float,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """url: without a path. timeout_seconds: for all of a request, the waiting included.

        tls: for https; without it the system's authorities vouch for the server.
        """
        parts = urlsplit(url)
        self._url, self._host = url, parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = (tls or ssl.create_default_context()) if parts.scheme == "https" else None
        self._timeout, self._idle_seconds = timeout_seconds, idle_seconds
        self._free = asyncio.Semaphore(connections)
        self._idle: list[_Connection] = []
        self._host_line = f"Host: {parts.netloc.rpartition('@')[2]}\r\n"

    async def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> HttpAnswer:
        raw = self._encode(method, path, headers or {}, body)
        try:
            with TimeLimit(self._timeout):
                async with self._free:
                    return await self._exchange(raw)
        except TimeoutError as exc:
            raise Unavailable(f"{self._url} gave no answer in {self._timeout:g} s.") from exc
        except OSError as exc:
            raise Unavailable(f"{self._url} does not answer: {exc}.") from exc

    async def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _encode(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        head = f"{method} {path} HTTP/1.1\r\n{self._host_line}{lines}Content-Length: {len(body)}"
        return f"{head}\r\n\r\n".encode("latin-1") + body

    async def _exchange(self, raw: bytes) -> HttpAnswer:
        kept = self._take()
        if kept is not None:
            try:
                return await self._send(kept, raw)
            except _Lost as lost:
                if lost.began:
                    raise
        return await self._send(await self._connect(), raw)

    def _take(self) -> _Connection | None:
        """The one that was used last, so that what is not needed grows old."""
        since = time.monotonic() - self._idle_seconds
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and connection.used_at > since:
                return connection
            connection.close()
        return None

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            _Connection, self._host, self._port, ssl=self._tls
        )
        return connection

    async def _send(self, connection: _Connection, raw: bytes) -> HttpAnswer:
        try:
            answer = await connection.send(raw)
        except BaseException:
            # Whatever comes on it now would answer the wrong request.
            connection.close()
            raise
        if connection.is_open:
            self._idle.append(connection)
        return answer


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.is_open = False
        self.used_at = 0.0
        self._transport: Any = None  # uvloop's is no subclass of asyncio's
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[HttpAnswer] | None = None
        self._began = False
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []

    async def send(self, raw: bytes) -> HttpAnswer:
        self._began, self._headers, self._body = False, {}, []
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(raw)
        return await self._answer

    def close(self) -> None:
        self.is_open = False
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self.is_open = transport, True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._fail(_Lost(began=self._began))

    def data_received(self, data: bytes) -> None:
        self._began = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as exc:
            self._fail(ConnectionError(f"what came is no HTTP answer ({exc})"))
            self.close()

    # What the parser calls

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_body(self, part: bytes) -> None:
        self._body.append(part)

    def on_message_complete(self) -> None:
        if self._answer is None or self._answer.done():
            self.close()  # an answer that nobody asked for
            return
        if not self._parser.should_keep_alive():
            self.close()
        self.used_at = time.monotonic()
        status, body = self._parser.get_status_code(), b"".join(self._body)
        self._answer.set_result(HttpAnswer(status, body, self._headers))

    def _fail(self, error: ConnectionError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
