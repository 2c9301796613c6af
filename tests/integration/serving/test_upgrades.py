"""A request that wishes for another protocol is answered in this one, with its body."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from serving.upgrades import OneProtocol

UPGRADE = (
    b"POST /echo HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: 5\r\n"
    b"Host: x\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\n\r\n"
)
"""As Java's HttpClient begins where nobody told it HTTP_1_1."""
PLAIN = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """The body, and which headers of an upgrade came."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message.get("more_body", False)
    names = {name for name, _ in scope["headers"]} & {b"upgrade", b"http2-settings"}
    headers = [(b"content-length", b"%d" % len(body)), (b"seen", b",".join(sorted(names)))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    config = uvicorn.Config(echo, http=OneProtocol, ws="none", lifespan="off", log_config=None)
    config.load()
    make = partial(OneProtocol, config=config, server_state=ServerState(), app_state={})
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def exchanged(port: int, *parts: bytes, answers: int) -> list[tuple[bytes, bytes]]:
    """Status line and body of each answer to what is sent part by part on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await asyncio.sleep(0.01)
    found = []
    for _ in range(answers):
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert b"seen: \r\n" in head
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        found.append((head.split(b"\r\n")[0], await reader.readexactly(length)))
    writer.close()
    return found


@pytest.mark.parametrize(
    "parts",
    [
        (UPGRADE + b"hello",),
        (UPGRADE, b"hello"),
        (UPGRADE[:70], UPGRADE[70:] + b"he", b"llo"),
        (UPGRADE.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
         b"5\r\nhello\r\n0\r\n\r\n"),
    ],
    ids=["whole", "body behind", "in pieces", "chunked"],
)  # fmt: skip
async def test_a_wish_for_http2_is_ignored_and_the_body_read(
    port: int, parts: tuple[bytes, ...]
) -> None:
    assert await exchanged(port, *parts, answers=1) == [(b"HTTP/1.1 200 OK", b"hello")]


async def test_the_connection_goes_on_after_an_ignored_upgrade(port: int) -> None:
    sent = (UPGRADE + b"hello" + PLAIN + b"abc", UPGRADE + b"again")
    found = await exchanged(port, *sent, answers=3)
    assert [body for _, body in found] == [b"hello", b"abc", b"again"]


async def test_a_wish_for_a_websocket_is_answered_as_the_request_it_is(port: int) -> None:
    asked = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert await exchanged(port, asked, answers=1) == [(b"HTTP/1.1 200 OK", b"")]


async def test_who_wants_the_connection_closed_has_it_closed_after_an_ignored_upgrade(
    port: int,
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(UPGRADE.replace(b"Connection: ", b"Connection: close, ") + b"hello")
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert b"connection: close" in answer
    assert answer.endswith(b"\r\n\r\nhello")
