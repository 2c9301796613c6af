"""Connections that cannot be held for ever: bounded in number, and a request must come in time.

uvicorn bounds neither: a caller that opens connections, or sends a byte now and then, would keep
everybody else out. A request that is whole in its first packet costs nothing more here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from mlops.errors import MlopsError
from serving.answers import error_response
from serving.errors import Overloaded, RequestTooSlow
from serving.upgrades import OneProtocol

log = logging.getLogger("serving.connections")

WHOLE = "mlops.whole"
"""The ASGI extension that takes status, headers and body of an answer at once, and says whether it
wrote them: one packet, where two messages make two, and wake the caller twice."""
_COPIED = 16_384
"""Bytes up to which a body is put behind its head in memory."""


@dataclass(frozen=True)
class ConnectionLimits:
    """What one process lets its callers hold."""

    connections: int = 4096
    request_seconds: float = 10.0
    """From a request's first byte to its last."""


def limited_protocol(limits: ConnectionLimits) -> type[LimitedConnection]:
    """uvicorn's protocol under these limits, for its setting `http`."""
    return type("LimitedConnection", (LimitedConnection,), {"limits": limits})


class LimitedConnection(OneProtocol):
    """One connection of a caller."""

    limits: ClassVar[ConnectionLimits] = ConnectionLimits()
    _incomplete = False
    _timer: asyncio.TimerHandle | None = None

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
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._incomplete:
            self._wait_no_more()
        elif self._timer is None:
            self._timer = self.loop.call_later(self.limits.request_seconds, self._too_slow)

    def on_message_begin(self) -> None:
        self._incomplete = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.scope["extensions"] = {WHOLE: {"write": partial(write_whole, self.cycle)}}

    def on_message_complete(self) -> None:
        self._incomplete = False
        super().on_message_complete()

    def _displace(self) -> bool:
        """Close a connection on which nothing was ever asked; whether there was one."""
        for other in self.connections:
            if other is not self and getattr(other, "cycle", self) is None:
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
    if head is None:
        return False
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    if len(body) <= _COPIED:
        cycle.transport.write(head + body)
    else:
        cycle.transport.writelines((head, body))
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    return True


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
    parts, known = [STATUS_LINE[status]], -1
    for name, value in sent:
        if name == b"content-length":
            known = int(value)
        elif name in (b"connection", b"transfer-encoding"):
            return None
        parts += (name, b": ", value, b"\r\n")
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
