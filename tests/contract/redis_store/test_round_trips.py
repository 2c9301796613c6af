"""Reads on connections of our own: what redis-py's pool promises, they keep."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis

from infra.local.redis import RedisServer
from mlops.errors import Unavailable
from mlops.stores.redis.commands import Ask, Fields
from mlops.stores.redis.connecting import RedisLimits
from mlops.stores.redis.link import Link, open_link
from mlops.stores.redis.target import RedisTarget
from tests.redis_processes import client_of, restarted, running

FIELD = Fields((b"f",))


def ask(name: str) -> Ask:
    return name.encode(), FIELD


@pytest.fixture
def keys(client: redis.Redis, project: str) -> list[str]:
    """Each holds its own name."""
    names = [f"{project}:{n}" for n in range(200)]
    for name in names:
        client.hset(name, "f", name)
    return names


def connections(client: redis.Redis) -> int:
    info: Any = client.info("clients")
    return int(info["connected_clients"])


def test_reads_one_after_another_use_one_connection(
    client: redis.Redis, link: Link, keys: list[str]
) -> None:
    before = connections(client)
    for name in keys:
        assert link.fetch([ask(name)]) == [[name.encode()]]
    assert connections(client) == before + 1


def test_many_threads_get_their_own_answers_and_wait_for_a_connection(
    client: redis.Redis, target: RedisTarget, keys: list[str]
) -> None:
    before = connections(client)
    limits = RedisLimits(connections=3, read_timeout=20.0)
    with closing(open_link(target, limits=limits)) as link, ThreadPoolExecutor(12) as threads:

        def read(start: int) -> bool:
            names = keys[start : start + 1 + start % 40]
            return link.fetch([ask(n) for n in names]) == [[n.encode()] for n in names]

        assert all(threads.map(read, list(range(150)) * 4))
        assert connections(client) <= before + 3


def test_an_error_stands_in_place_of_its_answer_and_the_connection_goes_on(
    client: redis.Redis, link: Link, keys: list[str]
) -> None:
    client.set(f"{keys[0]}:text", "no hash")
    before = connections(client)
    for _ in range(2):
        first, error, last = link.fetch([ask(keys[0]), ask(f"{keys[0]}:text"), ask(keys[1])])
        assert (first, last) == ([keys[0].encode()], [keys[1].encode()])
        assert isinstance(error, redis.ResponseError)
    assert connections(client) == before + 1


def test_an_answer_larger_than_a_buffer_is_whole(
    client: redis.Redis, link: Link, project: str
) -> None:
    client.hset(project, "f", b"x" * 1_000_000)
    assert link.fetch([ask(project)] * 3) == [[b"x" * 1_000_000]] * 3


def test_a_forked_process_reads_on_connections_of_its_own(link: Link, keys: list[str]) -> None:
    link.fetch([ask(keys[0])])
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if link.fetch([ask(keys[1])]) == [[keys[1].encode()]] else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert link.fetch([ask(keys[2])]) == [[keys[2].encode()]]


def test_a_wrong_password_is_told_and_not_tried_again(target: RedisTarget) -> None:
    wrong = RedisTarget(target.host, target.port, password="wrong")  # it is
    with (
        closing(open_link(wrong)) as link,
        pytest.raises(Unavailable, match=r"(?i)password"),
    ):
        link.fetch([ask("a")])


def test_lost_connections_are_replaced_after_a_restart(tmp_path: Path) -> None:
    with running(tmp_path, appendfsync="always") as server:
        where = RedisTarget("127.0.0.1", server.port, password=server.password)
        with closing(open_link(where)) as link:
            link.command("HSET", "a", "f", "1")
            with ThreadPoolExecutor(8) as threads:
                barrier = threading.Barrier(8)
                list(threads.map(lambda _: (barrier.wait(), link.fetch([ask("a")])), range(8)))
            with restarted(server, tmp_path, after=0.0):
                pass
            for _ in range(10):
                assert link.fetch([ask("a")]) == [[b"1"]]


def test_an_answer_that_comes_too_late_is_not_the_next_ones(tmp_path: Path) -> None:
    with running(tmp_path) as server, client_of(server) as client:
        for name in "ab":
            client.hset(name, "f", name)
        limits = RedisLimits(read_timeout=0.2)
        where = RedisTarget("127.0.0.1", server.port, password=server.password)
        with closing(open_link(where, limits=limits)) as link:
            assert link.fetch([ask("a")]) == [[b"a"]]
            _signal(server, signal.SIGSTOP)
            try:
                with pytest.raises(Unavailable, match=r"no answer in 0\.2 s"):
                    link.fetch([ask("a")])
            finally:
                _signal(server, signal.SIGCONT)
            assert link.fetch([ask("b")]) == [[b"b"]]


def _signal(server: RedisServer, number: signal.Signals) -> None:
    assert server.process is not None
    server.process.send_signal(number)


Answers = list[bytes | Iterator[bytes]]


@pytest.fixture
def scripted() -> Iterator[tuple[Link, Answers]]:
    """A server that answers each request with the next of these, be it in pieces; b'' hangs up."""
    answers: Answers = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_answer, args=(connection, answers), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    port = listener.getsockname()[1]
    with closing(open_link(RedisTarget("127.0.0.1", port))) as link:
        yield link, answers
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def _answer(connection: socket.socket, answers: Answers) -> None:
    with connection:
        while asked := connection.recv(65536):
            if b"CLIENT" in asked:  # redis-py introduces itself
                connection.sendall(b"+OK\r\n" * asked.count(b"CLIENT"))
            elif answer := answers.pop(0):
                for piece in [answer] if isinstance(answer, bytes) else answer:
                    connection.sendall(piece)
            else:
                return


ONE = b"*1\r\n$1\r\n1\r\n"
TWO = b"*1\r\n$1\r\n2\r\n"


def test_what_is_said_unasked_is_nobodys_answer(scripted: tuple[Link, Answers]) -> None:
    link, answers = scripted
    answers += [ONE + TWO, TWO]
    with pytest.raises(Unavailable, match="more answers than questions"):
        link.fetch([ask("a")])
    assert link.fetch([ask("b")]) == [[b"2"]]


def test_a_read_whose_connection_is_lost_is_made_once_more(scripted: tuple[Link, Answers]) -> None:
    link, answers = scripted
    answers += [ONE, b"", TWO, b"", b""]
    assert link.fetch([ask("a")]) == [[b"1"]]
    assert link.fetch([ask("b")]) == [[b"2"]]
    with pytest.raises(Unavailable, match="closed"):
        link.fetch([ask("c")])


@pytest.mark.parametrize("text", [b"LOADING Redis is loading", b"MASTERDOWN Link with MASTER"])
def test_a_server_that_is_not_ready_is_no_answer(
    scripted: tuple[Link, Answers], text: bytes
) -> None:
    link, answers = scripted
    answers += [b"-" + text + b"\r\n"] * 2 + [ONE]
    with pytest.raises(Unavailable, match=r"does not answer"):
        link.fetch([ask("a")])
    assert link.fetch([ask("a")]) == [[b"1"]]


def test_an_answer_that_is_no_redis_is_unavailable(scripted: tuple[Link, Answers]) -> None:
    link, answers = scripted
    answers += [b"HTTP/1.1 400 Bad Request\r\n\r\n", ONE]
    with pytest.raises(Unavailable):
        link.fetch([ask("a")])
    assert link.fetch([ask("a")]) == [[b"1"]]


def test_what_is_taken_at_a_glance_is_not_parsed_and_the_connection_goes_on(
    scripted: tuple[Link, Answers],
) -> None:
    link, answers = scripted
    answers += [b"no answer at all", ONE]
    assert link.fetch([ask("a")], lambda answer: bytes(answer) == b"no answer at all") == []
    assert link.fetch([ask("b")]) == [[b"1"]]


def test_what_is_not_taken_is_parsed_and_only_what_comes_first_is_shown(
    scripted: tuple[Link, Answers],
) -> None:
    link, answers = scripted
    looked, seen = threading.Event(), list[bytes]()

    def pieces() -> Iterator[bytes]:
        yield ONE + TWO[:5]
        assert looked.wait(10)
        yield TWO[5:]

    def glance(answer: memoryview) -> bool:
        seen.append(bytes(answer))
        looked.set()
        return False

    answers.append(pieces())
    assert link.fetch([ask("a"), ask("b")], glance) == [[b"1"], [b"2"]]
    assert seen == [ONE + TWO[:5]]
