"""Real redis-servers for the tests: a cluster of three, a replica, one that is full."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import redis

from infra.local import redis as local_redis
from infra.local.redis import RedisServer

_SLOTS = 16384
_RESTARTED: list[RedisServer] = []
"""Their processes are waited for when the server that they replaced is."""
_PASSWORD = "the same for all: ,'\"@/"


@contextmanager
def running(folder: Path, **options: object) -> Iterator[RedisServer]:
    """A server with these settings ('_' for '-'); it ends, and what replaced it."""
    settings = {name.replace("_", "-"): value for name, value in options.items()}
    server = local_redis.start(folder, log=folder / "log", options=settings)
    try:
        yield server
    finally:
        for one in (*_RESTARTED, server):
            one.stop()
        _RESTARTED.clear()


@contextmanager
def restarted(server: RedisServer, folder: Path, *, after: float) -> Iterator[None]:
    """Kill the server now, and start it again on its folder after some seconds."""
    assert server.process is not None
    server.process.kill()
    server.process.wait()

    def start() -> None:
        _RESTARTED.append(local_redis.start(folder, log=folder / "log"))

    again = threading.Timer(after, start)
    again.start()
    try:
        yield
    finally:
        again.join()


def client_of(server: RedisServer) -> redis.Redis:
    return redis.Redis(port=server.port, password=server.password, protocol=2)


@contextmanager
def cluster(folder: Path, *, count: int = 3) -> Iterator[list[RedisServer]]:
    """Nodes that share the slots and know each other."""
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(
                running(_prepared(folder / str(n)), cluster_enabled="yes", appendonly="no")
            )
            for n in range(count)
        ]
        _join(nodes)
        yield nodes


def _prepared(folder: Path) -> Path:
    """A folder with the common password, and a port whose cluster port (10,000 above) exists."""
    folder.mkdir(parents=True)
    (folder / "password").write_text(_PASSWORD.replace('"', ""))
    while (port := local_redis.free_port()) > 55_000:
        pass
    (folder / "port").write_text(str(port))
    return folder


def _join(nodes: list[RedisServer]) -> None:
    clients: list[Any] = [client_of(node) for node in nodes]
    step = -(-_SLOTS // len(nodes))
    for place, client in enumerate(clients):
        slots = range(place * step, min((place + 1) * step, _SLOTS))
        client.execute_command("CLUSTER", "ADDSLOTS", *slots)
        client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
    deadline = time.monotonic() + 60
    while not all(_is_whole(client, len(nodes)) for client in clients):
        assert time.monotonic() < deadline, "the cluster does not come together"
        time.sleep(0.05)
    for client in clients:
        client.close()


def _is_whole(client: Any, count: int) -> bool:
    info = client.execute_command("CLUSTER INFO")
    text = (
        info
        if isinstance(info, dict)
        else dict(line.split(":") for line in info.decode().split() if ":" in line)
    )
    return bool(text["cluster_state"] == "ok" and int(text["cluster_known_nodes"]) == count)
