"""Kept connections: used again, repeated only where nothing was answered, closed when in doubt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from mlops.errors import Unavailable
from serving.http import HttpPool

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Name: a\r\n\r\nok"

Behaviour = Callable[[int, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """A server that does as a test says, connection by connection."""

    behave: Behaviour
    url: str = ""
    opened: int = 0
    asked: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self.opened = self.opened, self.opened + 1
        # Cancelled at the test's end; asyncio's streams would log that as an error.
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self.behave(number, reader, writer)
        writer.close()

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        self.asked.append(head + await reader.readexactly(length))
        return self.asked[-1]


@asynccontextmanager
async def server(behave: Callable[[Server], Behaviour]) -> AsyncIterator[Server]:
    made = Server(behave=None)  # type: ignore[arg-type]  # set in the next line
    made.behave = behave(made)
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        listening.close()


def answering(made: Server, *answers: bytes) -> Behaviour:
    """Each connection answers as often as it is asked, the last answer over and over."""

    async def behave(_: int, reader: Any, writer: Any) -> None:
        for answer in [*answers, *[answers[-1]] * 100]:
            await made.request(reader)
            writer.write(answer)

    return behave


def pool(made: Server, **options: Any) -> HttpPool:
    settings = {"timeout_seconds": 5.0, "connections": 4, "idle_seconds": 60.0}
    return HttpPool(made.url, **settings | options)


async def test_one_connection_serves_requests_one_after_another() -> None:
    async with server(lambda made: answering(made, OK)) as made:
        client = pool(made)
        for _ in range(3):
            answer = await client.request("POST", "/path", headers={"X-A": "1"}, body=b"abc")
        await client.close()
    assert (answer.status, answer.body, answer.headers[b"x-name"]) == (200, b"ok", b"a")
    assert made.opened == 1
    assert made.asked[0].startswith(b"POST /path HTTP/1.1\r\nHost: 127.0.0.1:")
    assert made.asked[0].endswith(b"\r\nX-A: 1\r\nContent-Length: 3\r\n\r\nabc")


async def test_a_status_of_trouble_is_an_answer_like_another() -> None:
    answer = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
    async with server(lambda made: answering(made, answer)) as made:
        assert (await pool(made).request("GET", "/")).status == 503


async def test_an_answer_may_come_in_pieces_and_in_chunks() -> None:
    def behave(made: Server) -> Behaviour:
        async def slowly(_: int, reader: Any, writer: Any) -> None:
            await made.request(reader)
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            for part in (head[:20], head[20:], b"2\r\nok\r\n", b"3\r\nay!\r\n0\r\n\r\n"):
                writer.write(part)
                await asyncio.sleep(0.005)

        return slowly

    async with server(behave) as made:
        assert (await pool(made).request("GET", "/")).body == b"okay!"


async def test_no_more_connections_are_opened_than_are_allowed() -> None:
    async with server(lambda made: answering(made, OK)) as made:
        client = pool(made, connections=2)
        await asyncio.gather(*(client.request("GET", "/") for _ in range(20)))
        await client.close()
    assert (made.opened, len(made.asked)) == (2, 20)


async def test_a_connection_that_closes_while_idle_costs_no_request() -> None:
    def behave(made: Server) -> Behaviour:
        async def once(_: int, reader: Any, writer: Any) -> None:
            await made.request(reader)
            writer.write(OK)

        return once

    async with server(behave) as made:
        client = pool(made)
        for _ in range(3):
            assert (await client.request("GET", "/")).status == 200


def closing_at_the_second(answered: bytes) -> Callable[[Server], Behaviour]:
    """The first connection ends when it is asked once more, having answered that much."""

    def behave(made: Server) -> Behaviour:
        async def serve(number: int, reader: Any, writer: Any) -> None:
            await made.request(reader)
            writer.write(OK)
            await made.request(reader)
            writer.write(OK if number else answered)

        return serve

    return behave


async def test_a_request_that_a_closing_connection_swallowed_goes_out_once_more() -> None:
    async with server(closing_at_the_second(b"")) as made:
        client = pool(made)
        await client.request("GET", "/")
        assert (await client.request("GET", "/")).body == b"ok"
        await client.close()
    assert (made.opened, len(made.asked)) == (2, 3)


async def test_a_request_whose_answer_broke_off_is_not_repeated() -> None:
    async with server(closing_at_the_second(OK[:30])) as made:
        client = pool(made)
        await client.request("GET", "/")
        with pytest.raises(Unavailable, match="connection was closed"):
            await client.request("GET", "/")
    assert len(made.asked) == 2


async def test_an_answer_that_comes_too_late_answers_nobody() -> None:
    def behave(made: Server) -> Behaviour:
        async def late(number: int, reader: Any, writer: Any) -> None:
            await made.request(reader)
            if number == 0:
                await asyncio.sleep(0.1)
                writer.write(OK.replace(b"ok", b"no"))
            await asyncio.sleep(0.1)
            writer.write(OK)

        return late

    async with server(behave) as made:
        client = pool(made, timeout_seconds=0.05)
        with pytest.raises(Unavailable, match=r"gave no answer in 0\.05 s"):
            await client.request("GET", "/")
        client = pool(made)
        assert (await client.request("GET", "/")).body == b"ok"


async def test_waiting_for_a_connection_counts_as_waiting() -> None:
    async with server(lambda made: answering(made, OK)) as made:
        client = pool(made, connections=1, timeout_seconds=0.05)
        async with client._free:  # somebody has the one connection
            with pytest.raises(Unavailable):
                await client.request("GET", "/")
        assert made.opened == 0
        await client.close()


async def test_a_caller_that_leaves_takes_its_connection_along() -> None:
    async with server(lambda made: answering(made, OK)) as made:
        client = pool(made, connections=1)
        left = asyncio.create_task(client.request("GET", "/"))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        assert (await client.request("GET", "/")).body == b"ok"
        await client.close()


async def test_what_is_no_http_is_no_answer() -> None:
    async with server(lambda made: answering(made, b"SSH-2.0\r\n")) as made:
        with pytest.raises(Unavailable, match="no HTTP answer"):
            await pool(made).request("GET", "/")


async def test_a_server_that_is_not_there_is_told_by_its_address() -> None:
    async with server(lambda made: answering(made, OK)) as made:
        pass
    with pytest.raises(Unavailable, match=made.url):
        await pool(made).request("GET", "/")
