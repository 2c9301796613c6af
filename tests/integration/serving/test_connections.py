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
from serving.shortcuts import Exchange

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


class Held:
    """A shortcut that takes each request whose body says so, and answers when it is told to."""

    def __init__(self) -> None:
        self.taken: asyncio.Queue[Exchange] = asyncio.Queue()

    def way(self, scope: object) -> Held:
        return self

    def take(self, exchange: Exchange) -> bool:
        if exchange.body != b"[]":
            return False
        self.taken.put_nowait(exchange)
        return True


SHORT = REQUEST.replace(b"{}", b"[]")
SENT = b"content-length: 5\r\n"


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
def state() -> ServerState:
    return ServerState()


@pytest.fixture
async def short_port(held: Held, state: ServerState) -> AsyncIterator[int]:
    protocol = limited_protocol(ConnectionLimits(connections=2), held)
    config = uvicorn.Config(
        echo, http=protocol, lifespan="off", log_config=None, timeout_keep_alive=1
    )
    config.load()
    make = partial(protocol, config=config, server_state=state, app_state={})
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_a_request_that_a_shortcut_takes_is_answered_by_it(
    held: Held, short_port: int
) -> None:
    reader, writer = await opened(short_port)
    writer.write(SHORT)
    assert (await held.taken.get()).write(200, SENT, b"short")
    answer = await reader.readuntil(b"short")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    writer.close()


async def test_answers_keep_the_order_of_requests_whoever_answers(
    held: Held, short_port: int
) -> None:
    reader, writer = await opened(short_port)
    writer.write(SHORT + REQUEST + SHORT)
    (await held.taken.get()).write(200, SENT, b"first")
    found = await reader.readuntil(b"\r\n\r\nok")
    assert found.index(b"first") < found.index(b"\r\n\r\nok")
    await reader.readuntil(b"\r\n\r\nok")  # what came behind another is the app's
    writer.close()


async def test_what_a_shortcut_leaves_the_app_answers(held: Held, short_port: int) -> None:
    reader, writer = await opened(short_port)
    writer.write(SHORT)
    (await held.taken.get()).leave()
    await reader.readuntil(b"\r\n\r\nok")
    writer.close()


async def test_a_body_that_comes_later_is_the_apps_from_the_start(
    held: Held, short_port: int
) -> None:
    reader, writer = await opened(short_port)
    writer.write(SHORT[:-1])
    await asyncio.sleep(0.02)
    writer.write(SHORT[-1:])
    await reader.readuntil(b"\r\n\r\nok")
    assert held.taken.empty()
    writer.close()


async def learned(held: Held, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which the head came once, and is known."""
    reader, writer = await opened(port)
    writer.write(SHORT)
    (await held.taken.get()).write(200, SENT, b"short")
    await reader.readuntil(b"short")
    return reader, writer


@pytest.mark.parametrize("is_known", [False, True])
async def test_a_caller_that_left_cannot_be_answered(
    held: Held, short_port: int, is_known: bool
) -> None:
    _, writer = await (learned(held, short_port) if is_known else opened(short_port))
    writer.write(SHORT)
    exchange = await held.taken.get()
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.05)
    assert not exchange.write(200, SENT, b"short")


async def test_what_a_shortcut_leaves_of_a_known_head_finds_its_state_and_its_caller(
    held: Held, short_port: int
) -> None:
    reader, writer = await learned(held, short_port)
    writer.write(SHORT)
    exchange = await held.taken.get()
    exchange.leave(since=7.0)
    await reader.readuntil(b"\r\n\r\nok")
    scope = exchange.cycle().scope  # type: ignore[attr-defined]
    assert scope["state"] == {"since": 7.0}
    assert scope["client"] == writer.get_extra_info("sockname")
    assert "since" not in exchange.scope["state"], "that one is shared"
    writer.close()


async def test_a_request_under_way_is_answered_when_the_server_ends(
    held: Held, short_port: int, state: ServerState
) -> None:
    reader, writer = await learned(held, short_port)
    writer.write(SHORT)
    exchange = await held.taken.get()
    for connection in state.connections:
        connection.shutdown()
    assert exchange.write(200, SENT, b"short")
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer.endswith(b"\r\nconnection: close\r\n\r\nshort")
    writer.close()


async def test_where_connections_are_to_end_the_app_says_so(
    held: Held, short_port: int, state: ServerState
) -> None:
    _, writer = await learned(held, short_port)
    writer.write(SHORT)
    exchange = await held.taken.get()
    state.default_headers = [(b"connection", b"close")]
    assert not exchange.write(200, SENT, b"short")
    writer.close()


async def test_a_known_head_as_the_first_of_its_connection_keeps_its_place(
    held: Held, short_port: int
) -> None:
    _, other = await learned(held, short_port)
    reader, writer = await opened(short_port)
    writer.write(SHORT)
    exchange = await held.taken.get()
    refused, third = await opened(short_port)
    assert (await asyncio.wait_for(refused.read(), 5)).startswith(b"HTTP/1.1 503 ")
    exchange.write(200, SENT, b"short")
    await asyncio.wait_for(reader.readuntil(b"short"), 5)
    for one in (other, writer, third):
        one.close()


@pytest.mark.parametrize("parts", [[SHORT], [SHORT[:-2], SHORT[-2:]], [SHORT[:20], SHORT[20:]]])
async def test_a_head_that_came_before_is_read_as_it_was(
    held: Held, short_port: int, parts: list[bytes]
) -> None:
    reader, writer = await opened(short_port)
    scopes = []
    for sent in ([SHORT], parts, [SHORT]):
        for part in sent:
            writer.write(part)
            await asyncio.sleep(0.01)
        if sent[-1] != b"[]":  # else its body came later, and the app answers
            exchange = await held.taken.get()
            scopes.append(exchange.scope | {"state": {}})
            exchange.write(200, SENT, b"short")
        await reader.readuntil(b"\r\n\r\n")
    assert scopes == scopes[:1] * len(scopes)
    writer.close()


async def test_a_known_head_with_another_body_is_the_apps(held: Held, short_port: int) -> None:
    reader, writer = await opened(short_port)
    writer.write(SHORT)
    (await held.taken.get()).write(200, SENT, b"short")
    await reader.readuntil(b"short")
    writer.write(SHORT.replace(b"[]", b"{}"))
    await reader.readuntil(b"\r\n\r\nok")
    writer.close()


async def test_requests_behind_a_known_head_keep_their_order(held: Held, short_port: int) -> None:
    reader, writer = await opened(short_port)
    for sent in (SHORT, SHORT):
        writer.write(sent)
        exchange = await held.taken.get()
        writer.write(REQUEST)
        await asyncio.sleep(0.02)
        exchange.write(200, SENT, b"short")
        found = await reader.readuntil(b"\r\n\r\nok")
        assert b"short" in found
    writer.close()


async def test_a_connection_stays_for_so_long_after_its_last_answer(short_port: int) -> None:
    reader, writer = await opened(short_port)
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0.5)
    writer.write(REQUEST)
    await reader.readuntil(b"\r\n\r\nok")
    answered = loop.time()
    assert await asyncio.wait_for(reader.read(), 5) == b""
    assert loop.time() - answered > 0.7  # read after it was sent; of its start 0.5 s are left
    writer.close()
