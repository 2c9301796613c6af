"""The outer shell of both services: request ids, the body's limit, latency, one log line each."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.answers import error_response
from serving.connections import WHOLE
from serving.errors import BodyTooLarge
from serving.logs import ACCESS, access, request_id
from serving.plain import JSON
from serving.shortcuts import Exchange, Way
from serving.spans import RequestTrace, Tracing

REQUEST_ID = "X-Request-Id"
_REQUEST_ID = REQUEST_ID.lower().encode()
_LINES = b"content-type: %b\r\ncontent-length: %%d\r\n%b: %%b\r\n" % (JSON, _REQUEST_ID)
_ACCEPTED_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_QUIET = frozenset(
    {
        *("/healthz", "/readyz", "/metrics", "/ping", "/v2/health/live"),
        *(f"inference.GRPCInferenceService/Server{asked}" for asked in ("Live", "Ready")),
    }
)
_FINE = frozenset({200, "OK"})
"""Asked every few seconds by machines; logged only when they fail."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Callers may send any word as a method; metrics and logs know these and 'other'."""

SINCE = "since"
"""In the state of a scope: when the request came, by `time.monotonic`, where it began before."""

_IDS_AT_ONCE = 256
_ids: list[str] = []
"""New ones that nobody has."""

_CALLER_LEFT = 499
"""The status of a request that nobody waited for, as proxies log it."""

log = logging.getLogger(ACCESS)


class Answered(NamedTuple):
    """What kind of request is finished, without anything that the caller sent."""

    method: str
    route: str
    """The route's template, never the path itself."""
    status: int | str
    """As the protocol has it: 200, or OK of gRPC."""


Observe = Callable[[Answered, float, Mapping[str, Any]], None]
"""Counts a finished request: its kind, its seconds, and what the app found out about it, as its
model and version where one answered."""


class Edge:
    """ASGI middleware round the whole app."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body_bytes: int,
        observe: Observe,
        tracing: Tracing | None = None,
        shortcut: ShortRoutes | None = None,
    ) -> None:
        """shortcut: knows ways past the app."""
        self.app = app
        self.under_way = 0
        """Requests that came and are not answered."""
        self._max_body = max_body_bytes
        self.observe = observe
        self._tracing = tracing
        self._shortcut = shortcut

    def way(self, scope: Scope) -> Way | None:
        """As a `serving.shortcuts.Shortcut`, with the same ids, limits, metrics and lines."""
        if self._shortcut is None or self._tracing is not None:
            return None
        headers: dict[bytes, bytes] = dict(scope["headers"])
        try:
            way = self._shortcut.way(scope, headers)
        except Exception:  # noqa: BLE001 — the app will meet it, log it and say so
            return None
        if way is None:
            return None
        given = headers.get(_REQUEST_ID)
        identity = None if given is None else given.decode("latin-1")
        return _Way(self, way, identity, self._max_body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given, length = announced(scope)
        identity = accept_request_id(given)
        request_id.set(identity)
        exchange = _Exchange(scope, receive, send, identity, self._max_body)
        if self._tracing is None or scope["path"] in _QUIET:
            await self._serve(exchange, length, None)
        else:
            with self._tracing.request(Headers(scope=scope)) as trace:
                await self._serve(exchange, length, trace)

    async def _serve(self, exchange: _Exchange, length: str, trace: RequestTrace | None) -> None:
        self.under_way += 1
        app = self.app
        if length.isdigit() and int(length) > self._max_body:
            app = error_response(too_large(self._max_body))
        try:
            await app(exchange.scope, exchange.receive, exchange.send)
        except Exception:
            if not exchange.answering:
                raise
            # The app answered 500 and logged why; the server need not log it again.
        finally:
            self.under_way -= 1
            answered = exchange.answered()
            record(answered, exchange.seconds, exchange.facts, self.observe)
            if trace is not None:
                failed = exchange.status >= HTTPStatus.INTERNAL_SERVER_ERROR
                describe(trace, answered, exchange.facts, failed=failed)


class ShortWay(Protocol):
    """Answers requests that have one head."""

    def take(self, asked: ShortRequest) -> bool:
        """Whether it answers or leaves this one; else nothing was done."""


class ShortRoutes(Protocol):
    """A `serving.shortcuts.Shortcut` within the edge."""

    def way(self, scope: Scope, headers: Mapping[bytes, bytes]) -> ShortWay | None:
        """headers: by their names in lower case; of equal ones the last."""


@dataclass(frozen=True, slots=True)
class _Way:
    """Into the edge."""

    edge: Edge
    way: ShortWay
    given: str | None
    """The request's id."""
    max_body: int

    def take(self, exchange: Exchange) -> bool:
        """What cannot be taken the app will meet, log and say so."""
        edge, given, body = self.edge, self.given, exchange.body
        if len(body) > self.max_body:
            return False
        identity = _new_id() if given is None else accept_request_id(given)
        try:
            taken = self.way.take(ShortRequest(edge, exchange, body, identity))
        except Exception:  # noqa: BLE001 — see above
            return False
        edge.under_way += taken
        return taken


class ShortRequest:
    """A request that a shortcut may take."""

    __slots__ = ("_edge", "_exchange", "body", "identity", "since")

    def __init__(self, edge: Edge, exchange: Exchange, body: bytes, identity: str) -> None:
        self._edge, self._exchange = edge, exchange
        self.since = time.monotonic()
        self.body, self.identity = body, identity

    def answer(self, body: bytes, answered: Answered, facts: Mapping[str, Any]) -> bool:
        """With JSON, once, from a callback; False where nothing was written: it is to be left.

        answered: with a status of HTTP. facts: as of every request, for its line.
        """
        identity, lines = self.identity, _LINES % (len(body), self.identity.encode())
        if not self._exchange.write(int(answered.status), lines, body):
            return False
        edge = self._edge
        edge.under_way -= 1
        record(answered, time.monotonic() - self.since, facts, edge.observe, identity)
        return True

    def leave(self) -> None:
        """To the app, after it was taken; its time goes on."""
        self._edge.under_way -= 1
        self._exchange.leave(**{SINCE: self.since})


class _Exchange:
    """One request under way: counts what comes in, marks what goes out."""

    __slots__ = (
        *("_identity", "_max_body", "_read", "_receive", "_send", "_start", "_started"),
        *("facts", "scope", "status"),
    )

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, identity: str, max_body: int
    ) -> None:
        self.facts: dict[str, Any] = {}
        """What the app found out about the request: no id, no value, no key."""
        scope.setdefault("state", {})["log"] = self.facts
        self.scope = scope
        self._receive, self._send = receive, send
        self._identity = identity.encode()
        self._max_body, self._read = max_body, 0
        self._started = time.perf_counter()
        self._start: Message | None = None
        """The answer's head, until there is something to send behind it."""
        self.status: int = _CALLER_LEFT

    @property
    def answering(self) -> bool:
        return self.status != _CALLER_LEFT

    async def receive(self) -> Message:
        message = await self._receive()
        self._read += len(message.get("body", b""))
        if self._read > self._max_body:
            raise too_large(self._max_body)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (_REQUEST_ID, self._identity)]
            self._start = message
            return
        start, self._start = self._start, None
        if start is not None:
            if self._sent_whole(start, message):
                return
            await self._send(start)
        await self._send(message)

    def _sent_whole(self, start: Message, message: Message) -> bool:
        """Whether the server took the answer in one piece."""
        if message.get("more_body", False):
            return False
        # Taken out: it knows the server's request, which knows the scope, and a circle is garbage
        # that is collected in pauses of ten milliseconds.
        way = self.scope.get("extensions", {}).pop(WHOLE, None)
        if way is None:
            return False
        whole: bool = way["write"](start["status"], start["headers"], message.get("body", b""))
        return whole

    @property
    def seconds(self) -> float:
        """Since it came."""
        return time.perf_counter() - self._started

    def answered(self) -> Answered:
        route = getattr(self.scope.get("route"), "path", "unmatched")
        method = self.scope["method"]
        return Answered(method if method in _METHODS else "other", route, self.status)


def record(
    answered: Answered,
    seconds: float,
    facts: Mapping[str, Any],
    observe: Observe,
    identity: str | None = None,
) -> None:
    """Count it, and log a line of it with what the app found out.

    identity: the request's, where this is not its task.
    """
    observe(answered, seconds, facts)
    method, route, status = answered
    line = {
        "method": method,
        "route": route,
        "status": status,
        "ms": int(seconds * 1e6) / 1000,
        **facts,
    }
    if route in _QUIET and status in _FINE:
        log.debug("request", extra=line)
    else:
        access.add(line, identity)


def describe(
    trace: RequestTrace, answered: Answered, facts: Mapping[str, Any], *, failed: bool
) -> None:
    """Say in its span what the request was."""
    known = {f"mlops.{name}": fact for name, fact in facts.items() if type(fact) in (str, int)}
    trace.answered(
        f"{answered.method} {answered.route}",
        {
            "http.request.method": answered.method,
            "http.route": answered.route,
            "http.response.status_code": answered.status,
            "mlops.request_id": request_id.get() or "",
            **known,
        },
        failed=failed,
    )


def announced(scope: Scope) -> tuple[str | None, str]:
    """The request id and the length of the body that the headers tell, in one look at them."""
    given, length = None, "0"
    for name, value in scope["headers"]:
        if name == _REQUEST_ID:
            given = value.decode("latin-1")
        elif name == b"content-length":
            length = value.decode("latin-1")
    return given, length


def accept_request_id(given: str | None) -> str:
    """The caller's id where it is a plain one, else a new one."""
    return given if given and _ACCEPTED_ID.fullmatch(given) else _new_id()


def _new_id() -> str:
    """128 random bits; the system is asked for those of many at once."""
    while True:
        try:
            return _ids.pop()
        except IndexError:
            bits = os.urandom(16 * _IDS_AT_ONCE).hex()
            _ids.extend([bits[start : start + 32] for start in range(0, len(bits), 32)])


def too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"The body is larger than {limit} bytes.",
        field="body",
        remedy="Send fewer instances per request.",
    )
