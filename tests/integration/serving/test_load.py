"""The load that benchmarks put on servers."""

from __future__ import annotations

import socketserver
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest

from tests.benchmarks.load import Request, closed_loop, open_loop

ASKED = [Request("/a", b"{}"), Request("/b", b"{}")]
PARTS = (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe", b"llo")
REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}"
Answer = Callable[[str, Callable[[bytes], object]], None]
"""Of a path, and of what sends."""


@contextmanager
def serving(answer: Answer) -> Iterator[int]:
    """The port of a server that answers so."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline():
                while self.rfile.readline() != b"\r\n":
                    pass
                self.rfile.read(2)
                answer(line.split()[1].decode(), self.request.sendall)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A handler that ends its connection raises."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def in_parts(_: str, send: Callable[[bytes], object]) -> None:
    for part in PARTS:
        send(part)
        time.sleep(0.001)


def test_an_answer_in_parts_is_one_answer() -> None:
    with serving(in_parts) as port:
        load = closed_loop(port, ASKED, connections=2, seconds=0.1)
    assert load.requests == len(load.latencies) > 2
    assert not load.errors


def test_answers_other_than_200_are_counted_as_errors_and_not_as_rate() -> None:
    def answer(path: str, send: Callable[[bytes], object]) -> None:
        send(REFUSAL if path == "/b" else b"".join(PARTS))

    with serving(answer) as port:
        load = open_loop(port, ASKED, rate=400, seconds=0.1)
    assert (load.requests, load.errors) == (40, 20)
    assert load.rate == pytest.approx(20 / load.seconds)


def test_waiting_for_a_server_that_stands_still_counts_for_each_request_that_came_meanwhile() -> (
    None
):
    pauses = iter([0, 0.2])  # the first is of the request that warms the connection

    def answer(_: str, send: Callable[[bytes], object]) -> None:
        time.sleep(next(pauses, 0))
        send(b"".join(PARTS))

    with serving(answer) as port:
        load = open_loop(port, ASKED, rate=200, connections=1, seconds=0.2)
    assert load.requests == 40
    assert load.percentile(50) > 0.05


def test_the_load_tells_what_it_takes_itself() -> None:
    with serving(in_parts) as port:
        load = closed_loop(port, ASKED, connections=1, seconds=0.05)
    assert 0 < load.own_cost < load.seconds


def test_a_connection_that_is_let_go_ends_the_run() -> None:
    def leave(_: str, send: Callable[[bytes], object]) -> None:
        raise ConnectionAbortedError

    with serving(leave) as port, pytest.raises(ConnectionError, match="closed a connection"):
        closed_loop(port, ASKED, seconds=0.05)


def test_an_answer_without_a_length_ends_the_run() -> None:
    def chunked(_: str, send: Callable[[bytes], object]) -> None:
        send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")

    with serving(chunked) as port, pytest.raises(ConnectionError, match="no Content-Length"):
        closed_loop(port, ASKED, seconds=0.05)
