"""Connections that cannot be held for ever: bounded in number, and a request must come in time.

uvicorn bounds neither: a caller that opens connections, or sends a byte now and then, would keep
everybody else out. A request that is whole in its first packet costs nothing more here, and may be
answered without a task of its own (`serving.shortcuts`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Any, ClassVar

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from mlops.errors import MlopsError
from serving.answers import error_response
from serving.errors import Overloaded, RequestTooSlow
from serving.shortcuts import Shortcut, Way
from serving.upgrades import OneProtocol

log = logging.getLogger("serving.connections")

WHOLE = "mlops.whole"
"""The ASGI extension that takes status, headers and body of an answer at once, and says whether it
wrote them: one packet, where two messages make two, and wake the caller twice."""
_COPIED = 8_192
"""Bytes up to which a body is put behind its head in memory."""


_HEAD_END = b"\r\n\r\n"
_KEPT_HEADS, _KEPT_BYTES = 1024, 2048
_OF_ONE_REQUEST = frozenset({b"x-request-id", b"traceparent", b"expect", b"x-request-timeout-ms"})
"""A head with one of these hardly comes again."""


@dataclass(frozen=True)
class ConnectionLimits:
    """What one process lets its callers hold."""

    connections: int = 4096
    request_seconds: float = 10.0
    """From a request's first byte to its last."""


@dataclass(frozen=True, slots=True)
class _Opening:
    """A head that was parsed."""

    scope: dict[str, Any]
    length: int
    """Of the body."""
    way: Way
    """Which took a request that had it."""


def limited_protocol(
    limits: ConnectionLimits, shortcut: Shortcut | None = None
) -> type[LimitedConnection]:
    """uvicorn's protocol under these limits, for its setting `http`."""
    known: dict[str, Any] = {"limits": limits, "shortcut": shortcut, "heads": {}}
    return type("LimitedConnection", (LimitedConnection,), known)


class LimitedConnection(OneProtocol):
    """One connection of a caller."""

    limits: ClassVar[ConnectionLimits] = ConnectionLimits()
    shortcut: ClassVar[Shortcut | None] = None
    heads: ClassVar[dict[bytes, _Opening]] = {}
    """Of requests that the shortcut took: callers send the same one over and over."""
    _incomplete = False
    _timer: asyncio.TimerHandle | None = None
    _idle_since: float | None = None
    """By the loop's clock; None while a request is under way."""
    _reads_head = _begins = False
    _held: RequestResponseCycle | None = None
    """A request whose task is not begun before it is known whether it needs one."""
    _short: Exchange | None = None
    """A request under way that has no cycle of uvicorn's, and hardly ever needs one."""
    _answers_known = False
    """Whether there ever was one."""
    _headers: list[tuple[bytes, bytes]] | None = None
    """What uvicorn has in every answer, a new list each second, ..."""
    _usual: bytes | None = None
    """... and how it is written."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections and not self._displace():
            error = Overloaded(
                f"{self.limits.connections} connections are open already.",
                remedy="Use the connections that you have, or try again after a second.",
            )
            self._end(error)
            return
        # As after an answer: who says nothing does not stay.
        self._idle_since = self.loop.time()
        self._watch_idleness(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        self._give_cycle()
        self._wait_no_more()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._take_known(data):
            self._give_cycle()
            self._begins = not self._incomplete
            super().data_received(data)
            self._begin_held()
        if not self._incomplete:
            self._wait_no_more()
        elif self._timer is None:
            self._timer = self.loop.call_later(self.limits.request_seconds, self._too_slow)

    def on_message_begin(self) -> None:
        self._incomplete = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._reads_head = True
        try:
            super().on_headers_complete()
        finally:
            self._reads_head = False

    def on_message_complete(self) -> None:
        self._incomplete = False
        super().on_message_complete()
        self._begin_held()

    def on_response_complete(self) -> None:
        """As uvicorn's, with one timer for the connection in place of one for each answer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle_since = self.loop.time()

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = None

    def _watch_idleness(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def timeout_keep_alive_handler(self) -> None:
        since, now = self._idle_since, self.loop.time()
        left = self.timeout_keep_alive - (now - (now if since is None else since))
        if left > 0:
            self._watch_idleness(left)
        else:
            super().timeout_keep_alive_handler()

    def shutdown(self) -> None:
        self._give_cycle()
        super().shutdown()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if self._reads_head and self.shortcut is not None:
            self._held = cycle
        else:
            self._begin(cycle, app)

    def _begin_held(self) -> None:
        """By the shortcut where there is one for it, else as a task."""
        cycle, self._held = self._held, None
        if cycle is None:
            return
        assert self.shortcut is not None
        way = None if cycle.more_body else self.shortcut.way(cycle.scope)
        if way is None or not way.take(_Begun(self, cycle)):
            self._begin(cycle, self.app)
        elif self._begins:
            self._learn(cycle, way)

    def _learn(self, cycle: RequestResponseCycle, way: Way) -> None:
        """What was parsed need not be parsed again, where it is all that came."""
        head, end, behind = self._data.partition(_HEAD_END)
        scope: Any = cycle.scope
        if (
            len(behind) != len(cycle.body)
            or len(head) > _KEPT_BYTES
            or not cycle.keep_alive
            or any(name in _OF_ONE_REQUEST for name, _ in scope["headers"])
        ):
            return
        if len(self.heads) >= _KEPT_HEADS:
            self.heads.clear()
        self.heads[head + end] = _Opening(scope.copy(), len(behind), way)

    def _take_known(self, data: bytes) -> bool:
        """Whether this is all of a request whose head came before, and nothing is under way."""
        if self._incomplete or self._short is not None:
            return False
        if self.transport.is_closing():
            return False
        if self.cycle is not None and not self.cycle.response_complete:
            return False
        end = data.find(_HEAD_END) + len(_HEAD_END)
        known = self.heads.get(data[:end])
        if known is None or len(data) != end + known.length:
            return False
        self._idle_since = None
        self._answers_known = True
        self._short = exchange = Exchange(self, known, data[end:])
        if not known.way.take(exchange):
            exchange.leave()
        return True

    def _give_cycle(self) -> None:
        """From now on the request under way is as any other: something else comes."""
        if self._short is not None:
            self._short.cycle()

    def begin_cycle(self, known: _Opening, body: bytes) -> RequestResponseCycle:
        """Of the request under way."""
        self._short, self.cycle = None, self._known_cycle(known, body)
        return self.cycle

    def write_short(self, status: int, lines: bytes, body: bytes) -> bool:
        """Answer the request under way, which has no cycle."""
        headers = self.server_state.default_headers
        if headers is not self._headers:
            self._headers, self._usual = headers, _usual_lines(tuple(headers))
        usual = self._usual
        if usual is None or self.flow.write_paused or self.transport.is_closing():
            return False
        self._short = None
        _write(self.transport, (STATUS_LINE[status], usual, lines, b"\r\n"), body)
        self.on_response_complete()
        return True

    def _known_cycle(self, known: _Opening, body: bytes) -> RequestResponseCycle:
        scope: Any = {
            **known.scope,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "state": self.app_state.copy(),
        }
        cycle = RequestResponseCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=True,
            on_response=self.on_response_complete,
        )
        cycle.body += body
        cycle.more_body = False
        cycle.message_event.set()
        return cycle

    def _begin(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        extensions: Any = {WHOLE: {"write": partial(write_whole, cycle)}}
        cycle.scope["extensions"] = extensions
        super()._start_asgi_task(cycle, app)

    @property
    def is_unused(self) -> bool:
        """Whether nothing was ever asked on it."""
        return self.cycle is None and not self._answers_known

    def _displace(self) -> bool:
        """Close a connection on which nothing was ever asked; whether there was one."""
        for other in self.connections:
            if other is not self and getattr(other, "is_unused", False):
                other.transport.close()
                return True
        return False

    def _too_slow(self) -> None:
        self._timer = None
        limit = self.limits.request_seconds
        self._end(
            RequestTooSlow(
                f"The request was not whole after {limit:g} s.",
                remedy="Send it at once, over a better line or in smaller parts.",
            )
        )

    def _end(self, error: MlopsError) -> None:
        """Say why, unless an answer is on its way already, and close."""
        if self.transport.is_closing():
            return
        log.warning("connection closed", extra={"code": error.code})
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            self.transport.write(_encoded(error))
        self.transport.close()

    def _wait_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Exchange:
    """A request whose head is known, and the way to answer it (`serving.shortcuts.Exchange`)."""

    __slots__ = ("_connection", "_cycle", "_known", "body")

    def __init__(self, connection: LimitedConnection, known: _Opening, body: bytes) -> None:
        self._connection, self._known, self.body = connection, known, body
        self._cycle: RequestResponseCycle | None = None

    @property
    def scope(self) -> Any:
        return self._known.scope

    def write(self, status: int, lines: bytes, body: bytes) -> bool:
        if self._cycle is not None:
            return _write_cycle(self._cycle, status, lines, body)
        return self._connection.write_short(status, lines, body)

    def leave(self, **state: Any) -> None:
        connection, cycle = self._connection, self.cycle()
        cycle.scope["state"].update(state)
        connection._begin(cycle, connection.app)

    def cycle(self) -> RequestResponseCycle:
        """uvicorn's way to answer it, which is made when it is needed."""
        if self._cycle is None:
            self._cycle = self._connection.begin_cycle(self._known, self.body)
        return self._cycle


class _Begun:
    """A request that came whole and was parsed, and the way to answer it."""

    __slots__ = ("_connection", "_cycle")

    def __init__(self, connection: LimitedConnection, cycle: RequestResponseCycle) -> None:
        self._connection, self._cycle = connection, cycle

    @property
    def scope(self) -> Any:
        return self._cycle.scope

    @property
    def body(self) -> bytes:
        return bytes(self._cycle.body)

    def write(self, status: int, lines: bytes, body: bytes) -> bool:
        return _write_cycle(self._cycle, status, lines, body)

    def leave(self, **state: Any) -> None:
        self.scope["state"].update(state)
        self._connection._begin(self._cycle, self._connection.app)


def write_whole(
    cycle: RequestResponseCycle,
    status: int,
    headers: Iterable[tuple[bytes, bytes]],
    body: bytes,
) -> bool:
    """Write an answer at once; False where it is left to uvicorn, message by message.

    headers: names in lower case, the body's length among them.
    """
    if cycle.response_started or cycle.disconnected or cycle.flow.write_paused:
        return False
    head = _head(cycle, status, headers, len(body))
    if head is not None:
        _complete(cycle, head, body)
    return head is not None


def _write_cycle(cycle: RequestResponseCycle, status: int, lines: bytes, body: bytes) -> bool:
    """The same of lines that are sound, by a shortcut."""
    usual = _usual_lines(tuple(cycle.default_headers))
    if usual is None or cycle.scope["method"] == "HEAD":
        return False
    if cycle.response_started or cycle.disconnected or cycle.flow.write_paused:
        return False
    end = b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n"
    _complete(cycle, b"%b%b%b%b" % (STATUS_LINE[status], usual, lines, end), body)
    return True


def _complete(cycle: RequestResponseCycle, head: bytes, body: bytes) -> None:
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    _write(cycle.transport, (head,), body)
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()


def _write(transport: asyncio.Transport, head: tuple[bytes, ...], body: bytes) -> None:
    """head: in parts."""
    if len(body) <= _COPIED:
        transport.write(b"".join((*head, body)))
    else:
        transport.writelines((b"".join(head), body))


@lru_cache(maxsize=4)
def _usual_lines(headers: tuple[tuple[bytes, bytes], ...]) -> bytes | None:
    """What stands in the head of every answer; None where the connection is to end with it."""
    if any(name == b"connection" for name, _ in headers):
        return None
    return b"".join([b"%b: %b\r\n" % line for line in headers])


def _head(
    cycle: RequestResponseCycle,
    status: int,
    headers: Iterable[tuple[bytes, bytes]],
    length: int,
) -> bytes | None:
    """None where there is more to it than a status and plain lines."""
    if cycle.scope["method"] == "HEAD":
        return None
    sent = [*cycle.default_headers, *headers]
    named = dict(sent)
    if b"connection" in named or b"transfer-encoding" in named:
        return None
    known = int(named.get(b"content-length", -1))
    parts = [STATUS_LINE[status], *[b"%b: %b\r\n" % line for line in sent]]
    parts.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
    head, lines = b"".join(parts), len(sent) + (2 if cycle.keep_alive else 3)
    # A value that ends its line could say whatever follows: uvicorn refuses it by name.
    is_sound = head.count(b"\r") == head.count(b"\n") == lines
    return head if known == length and is_sound else None


def _encoded(error: MlopsError) -> bytes:
    answer = error_response(error)
    status = HTTPStatus(answer.status_code)
    lines = [b"HTTP/1.1 %d %s" % (status, status.phrase.encode())]
    lines += [name + b": " + value for name, value in answer.raw_headers]
    return b"\r\n".join([*lines, b"connection: close", b"", bytes(answer.body)])
