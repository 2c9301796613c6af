"""Answers that leave in one packet, and those that must not."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from serving.edge import Edge
from serving.server import configure

ASKED = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n%s\r\n{}"
Headers = list[tuple[bytes, bytes]]


class Wire:
    """What a connection writes, write by write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def writelines(self, parts: list[bytes]) -> None:
        self.writes.append(b"".join(parts))

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def get_extra_info(self, _: str) -> None:
        return None

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def answered(
    body: bytes = b"[1]",
    headers: Headers | None = None,
    *,
    asked: bytes = ASKED % b"",
    parts: int = 1,
    default: Headers | None = None,
) -> Wire:
    """The connection after one request to an app that answers so."""

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        length = (b"content-length", b"%d" % (len(body) * parts))
        lines = [length] if headers is None else headers
        await send({"type": "http.response.start", "status": 200, "headers": lines})
        for part in range(parts):
            more = part < parts - 1
            await send({"type": "http.response.body", "body": body, "more_body": more})

    edge = Edge(app, max_body_bytes=1000, observe=lambda *_: None)
    config = configure(edge, drain_seconds=1)
    config.load()
    state = ServerState()
    state.default_headers = default or []
    make: Any = config.http_protocol_class
    connection, wire = make(config=config, server_state=state, app_state={}), Wire()
    connection.connection_made(wire)
    connection.data_received(asked)
    await asyncio.gather(*state.tasks, return_exceptions=True)
    connection.connection_lost(None)
    return wire


@pytest.mark.parametrize("size", [0, 3, 100_000])
async def test_an_answer_is_one_write(size: int) -> None:
    (written,) = (await answered(b"x" * size)).writes
    head, _, body = written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nx-request-id: " % size)
    assert body == b"x" * size


async def test_an_answer_leaves_no_circle_for_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        await answered()
        left = [one for one in gc.get_objects() if isinstance(one, RequestResponseCycle)]
    finally:
        gc.enable()
    assert not left


async def test_an_answer_in_parts_leaves_as_it_comes() -> None:
    wire = await answered(b"ab", parts=3)
    assert wire.writes[1:] == [b"ab"] * 3


async def test_an_answer_without_a_length_says_where_it_ends() -> None:
    written = b"".join((await answered(b"ab", [])).writes)
    assert b"transfer-encoding: chunked\r\n" in written
    assert written.endswith(b"2\r\nab\r\n0\r\n\r\n")


async def test_a_header_cannot_end_its_line() -> None:
    forged = [(b"content-length", b"2"), (b"x-name", b"a\r\nset-cookie: b")]
    wire = await answered(b"ab", forged)
    assert wire.is_closed
    assert not wire.writes


async def test_a_length_that_is_not_the_bodys_is_not_sent() -> None:
    wire = await answered(b"ab", [(b"content-length", b"9")])
    assert wire.is_closed


async def test_the_answer_to_head_has_no_body() -> None:
    written = b"".join((await answered(asked=b"HEAD" + (ASKED % b"")[4:])).writes)
    assert written.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("default", [[], [(b"connection", b"close")]])
async def test_who_wants_to_leave_is_let_go(default: Headers) -> None:
    asked = ASKED % (b"" if default else b"Connection: close\r\n")
    wire = await answered(asked=asked, default=default)
    assert b"\r\nconnection: close\r\n" in b"".join(wire.writes)
    assert wire.is_closed
