"""A caller that holds connections, or sends slowly, is closed and keeps nobody out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from serving.connections import ConnectionLimits, limited_protocol

REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


async def echo(_scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    limits = ConnectionLimits(connections=3, request_seconds=0.1)
    config = uvicorn.Config(echo, http=limited_protocol(limits), lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    make = partial(limited_protocol(limits), config=config, server_state=state, app_state={})
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def opened(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


async def status(port: int) -> bytes:
    reader, writer = await opened(port)
    writer.write(REQUEST)
    line = await reader.readline()
    writer.close()
    return line.split()[1]


@pytest.mark.parametrize("sent", [REQUEST[:10], REQUEST[:-1]])
async def test_a_request_that_does_not_end_is_closed_with_408(port: int, sent: bytes) -> None:
    reader, writer = await opened(port)
    writer.write(sent)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_too_slow"' in answer


async def test_bytes_now_and_then_do_not_buy_time(port: int) -> None:
    reader, writer = await opened(port)
    header = b"POST / HTTP/1.1\r\nX-Long: " + b"x" * 10_000

    async def drip() -> None:
        for byte in header:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.01)

    dripping = asyncio.create_task(drip())
    with suppress(ConnectionResetError):  # a byte crossed the answer
        assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 408 ")
    assert not dripping.done()
    dripping.cancel()
    writer.close()


async def test_connections_on_which_nothing_is_asked_make_room(port: int) -> None:
    held = [await opened(port) for _ in range(10)]
    assert await status(port) == b"200"
    for _, writer in held:
        writer.close()


async def test_where_all_connections_are_in_use_one_more_is_refused(port: int) -> None:
    held = [await opened(port) for _ in range(3)]
    for reader, writer in held:
        writer.write(REQUEST)
        await reader.readuntil(b"ok")
    reader, writer = await opened(port)
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in answer
    for _, one in [*held, (reader, writer)]:
        one.close()
