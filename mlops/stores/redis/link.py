"""The way to Redis: many commands in one round trip, a script that is loaded when it is missing.

Connections, with their passwords, TLS and time limits, are redis-py's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import redis
from redis.exceptions import (
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
)

from mlops.errors import Unavailable
from mlops.stores.redis.commands import Ask, Call, Command, pack_asks, pack_call
from mlops.stores.redis.connecting import USUAL_LIMITS, RedisLimits, connect, connect_cluster
from mlops.stores.redis.round_trips import Glance, RoundTrips
from mlops.stores.redis.script import Script
from mlops.stores.redis.target import RedisTarget

FAILURES = (RedisError, RedisClusterException, OSError)
"""What redis-py raises; an exception of its clusters is none of its others."""
_WINDOW = 16
"""Script calls that wait for their answer: while Redis works, the next are put together."""
_CLUSTER_WINDOW = 1000
_SCANNED = 1000
"""Keys that Redis looks at in one step of a scan; it serves others in between."""


def _nothing() -> None:
    """What there is to prepare by default."""


class Link(Protocol):
    """What the store needs of Redis. Each method raises Unavailable where it does not answer."""

    address: str
    """Host and port, for messages."""
    keys_per_call: int
    """How many keys one call of a script may have."""

    def fetch(self, asks: Sequence[Ask], glance: Glance | None = None) -> list[Any]:
        """Per ask the values, None where there is none; an error in place of an answer.

        Nothing where `glance` took the answers, which it is shown if they come as one.
        """

    def run(
        self, script: Script, calls: Iterable[Call], *, prepare: Callable[[], None] = _nothing
    ) -> Iterator[tuple[Call, Any]]:
        """Each call with its answer, as they come, while the next calls are taken.

        A call that failed on the way is sent again, so it must be safe to repeat. `prepare` is
        called where the connection was lost or Redis does not know the script: it may be another
        one, or have been started anew, perhaps with nothing.
        Raises Unavailable also where Redis is full or takes no writes.
        """

    def command(self, *args: Any) -> Any:
        """The answer to one command."""

    def everywhere(self, *args: Any) -> list[Any]:
        """The answers to one command of every server that takes writes."""

    def settle(self, milliseconds: int) -> None:
        """Return when a replica holds what was written, of each server that has any.

        Raises Unavailable also where none does within that time.
        """

    def batch(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to many commands, an error in place of an answer."""

    def scan(self, pattern: bytes) -> Iterator[bytes]:
        """The keys of a pattern, taken in small steps; one may come twice."""

    def close(self) -> None:
        """Let go of the connections."""


def open_link(target: RedisTarget, *, limits: RedisLimits = USUAL_LIMITS, retries: int = 3) -> Link:
    """The way to one Redis or to a cluster; nothing is connected before it is needed."""
    if target.is_cluster:
        client = _LateCluster(lambda: connect_cluster(target, limits=limits))
        return ClusterLink(client, target.address)
    replica = None
    if target.replica is not None:
        host, _, port = target.replica.rpartition(":")
        replica = connect(dataclasses.replace(target, host=host, port=int(port)), limits=limits)
    primary = connect(target, limits=limits)
    return DirectLink(primary, target.address, replica, retries=retries, limits=limits)


def unavailable(address: str, cause: BaseException) -> Unavailable:
    """What Redis' refusal or silence means, and what to do."""
    text = (str(cause) or type(cause).__name__).rstrip(".")
    if isinstance(cause, OutOfMemoryError) or "OOM command not allowed" in text:
        return Unavailable(
            f"Redis at {address} is full: {text}. Nothing more is written until it has memory; "
            "give it a larger node, or remove views that are not needed."
        )
    if isinstance(cause, ReadOnlyError) or "-READONLY" in text:
        return Unavailable(f"Redis at {address} takes no writes: {text}. Try again after failover.")
    return Unavailable(
        f"Redis at {address} does not answer: {text}. "
        "Check that it runs ('mlops local up' starts the local one) and that MLOPS_REDIS_URL and "
        "its password are right."
    )


@dataclass
class _ClientLink:
    """What one server and a cluster are asked alike."""

    client: Any
    address: str

    def command(self, *args: Any) -> Any:
        try:
            return self.client.execute_command(*args)
        except FAILURES as exc:
            raise unavailable(self.address, exc) from exc

    def batch(self, commands: Sequence[Command]) -> list[Any]:
        try:
            pipe = self.client.pipeline(transaction=False)
            for command in commands:
                pipe.execute_command(*command)
            return list(pipe.execute(raise_on_error=False))
        except FAILURES as exc:
            raise unavailable(self.address, exc) from exc

    def _settle(self, server: redis.Redis, milliseconds: int) -> None:
        try:
            info: Any = server.info("replication")
            if not int(info["connected_slaves"]):
                return
            # WAIT waits for what stood before its connection's last command, whoever wrote it.
            pipe: Any = server.pipeline(transaction=False)
            pipe.ping()
            pipe.execute_command("WAIT", 1, milliseconds)
            taken = int(pipe.execute()[1])
        except FAILURES as exc:
            raise unavailable(self.address, exc) from exc
        if taken < 1:
            raise Unavailable(
                f"Redis at {self.address} has {info['connected_slaves']} replicas, and none of "
                f"them took what was written within {milliseconds / 1000:g} s. Look at their "
                "replication lag."
            )

    def close(self) -> None:
        self.client.close()


@dataclass
class DirectLink(_ClientLink):
    """One Redis, not in cluster mode."""

    replica: redis.Redis | None = None
    """Read from first; from the primary where it does not answer."""
    retries: int = 3
    pause: float = 0.1
    """Seconds before the first retry; it doubles."""
    keys_per_call: int = 1 << 30
    limits: RedisLimits = USUAL_LIMITS
    _reads: RoundTrips = field(init=False)
    _replica_reads: RoundTrips | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._reads = _round_trips(self.client, self.limits)
        if self.replica is not None:
            self._replica_reads = _round_trips(self.replica, self.limits)

    def fetch(self, asks: Sequence[Ask], glance: Glance | None = None) -> list[Any]:
        packed = pack_asks(asks)
        if self._replica_reads is not None:
            with contextlib.suppress(*FAILURES):
                return _fetch(self._replica_reads, packed, len(asks), glance)
        try:
            return _fetch(self._reads, packed, len(asks), glance)
        except FAILURES as exc:
            raise unavailable(self.address, exc) from exc

    def run(
        self, script: Script, calls: Iterable[Call], *, prepare: Callable[[], None] = _nothing
    ) -> Iterator[tuple[Call, Any]]:
        source, unanswered, failures = iter(calls), deque[Call](), 0
        while True:
            try:
                for done in self._stream(script, source, unanswered, prepare):
                    failures = 0
                    yield done
            except FAILURES as exc:
                self._wait(exc, failures)
                failures += 1
                prepare()
            else:
                return

    def command(self, *args: Any) -> Any:
        for failures in itertools.count():
            try:
                return self.client.execute_command(*args)
            except FAILURES as exc:
                self._wait(exc, failures)
        raise AssertionError

    def everywhere(self, *args: Any) -> list[Any]:
        return [self.command(*args)]

    def settle(self, milliseconds: int) -> None:
        self._settle(self.client, milliseconds)

    def scan(self, pattern: bytes) -> Iterator[bytes]:
        cursor = 0
        while True:
            cursor, keys = self.command("SCAN", cursor, "MATCH", pattern, "COUNT", _SCANNED)
            yield from keys
            if int(cursor) == 0:
                return

    def _wait(self, cause: BaseException, failures: int) -> None:
        """Before another attempt, where one may help. Raises Unavailable where none is left."""
        is_lost = isinstance(cause, (redis.ConnectionError, redis.TimeoutError, OSError))
        if failures >= self.retries or not is_lost or isinstance(cause, redis.AuthenticationError):
            raise unavailable(self.address, cause) from cause
        time.sleep(self.pause * 2**failures)

    def _stream(
        self,
        script: Script,
        source: Iterator[Call],
        unanswered: deque[Call],
        prepare: Callable[[], None],
    ) -> Iterator[tuple[Call, Any]]:
        """Send what is left, a window ahead of the answers; what fails stays in `unanswered`."""
        pool = self.client.connection_pool
        connection: Any = pool.get_connection()
        try:
            for waiting in unanswered:
                connection.send_packed_command([pack_call(script, waiting)])
            is_open = True
            while unanswered or is_open:
                call = next(source, None) if is_open and len(unanswered) < _WINDOW else None
                if call is not None:
                    unanswered.append(call)
                    connection.send_packed_command([pack_call(script, call)])
                    continue
                is_open = is_open and len(unanswered) >= _WINDOW
                if unanswered:
                    yield _settle(connection, script, unanswered, prepare)
        finally:
            if unanswered:
                connection.disconnect()
            pool.release(connection)

    def close(self) -> None:
        self._reads.close()
        if self.replica is not None and self._replica_reads is not None:
            self._replica_reads.close()
            self.replica.close()
        super().close()


def _round_trips(client: redis.Redis, limits: RedisLimits) -> RoundTrips:
    return RoundTrips(client, connections=limits.connections, timeout=limits.read_timeout)


def _fetch(reads: RoundTrips, packed: bytes, count: int, glance: Glance | None) -> list[Any]:
    """One round trip; once more, on another connection, where the first was lost."""
    try:
        return reads.fetch(packed, count, glance)
    except (redis.AuthenticationError, redis.TimeoutError):
        raise
    except (redis.ConnectionError, OSError):
        return reads.fetch(packed, count, glance)


def _settle(
    connection: Any, script: Script, unanswered: deque[Call], prepare: Callable[[], None]
) -> tuple[Call, Any]:
    (answer,) = connection.read_replies(1)
    if isinstance(answer, NoScriptError):
        # Those behind it have failed as well, or do no harm when they are sent again.
        connection.read_replies(len(unanswered) - 1)
        connection.send_command("SCRIPT", "LOAD", script.text)
        connection.read_response()
        prepare()
        for call in unanswered:
            connection.send_packed_command([pack_call(script, call)])
        (answer,) = connection.read_replies(1)
    if isinstance(answer, Exception):
        raise answer
    return unanswered.popleft(), answer


class _LateCluster:
    """A client of a cluster that asks for its nodes when it is first used."""

    def __init__(self, connect: Callable[[], redis.RedisCluster]) -> None:
        self._connect = connect

    @cached_property
    def _client(self) -> redis.RedisCluster:
        return self._connect()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def close(self) -> None:
        if "_client" in self.__dict__:
            self._client.close()


@dataclass
class ClusterLink(_ClientLink):
    """A Redis in cluster mode: redis-py knows the nodes, and follows keys that move."""

    keys_per_call: int = 1
    """Two entities hardly ever share a slot."""

    def everywhere(self, *args: Any) -> list[Any]:
        try:
            nodes = sorted(self.client.get_primaries(), key=lambda node: str(node.name))
            return [self.client.execute_command(*args, target_nodes=node) for node in nodes]
        except FAILURES as exc:
            raise unavailable(self.address, exc) from exc

    def settle(self, milliseconds: int) -> None:
        try:
            servers = [self.client.get_redis_connection(n) for n in self.client.get_primaries()]
        except FAILURES as exc:
            raise unavailable(self.address, exc) from exc
        for server in servers:
            self._settle(server, milliseconds)

    def scan(self, pattern: bytes) -> Iterator[bytes]:
        try:
            yield from self.client.scan_iter(match=pattern, count=_SCANNED)
        except FAILURES as exc:
            raise unavailable(self.address, exc) from exc

    def fetch(self, asks: Sequence[Ask], glance: Glance | None = None) -> list[Any]:
        return self.batch([("HMGET", key, *of.names) for key, of in asks])

    def run(
        self, script: Script, calls: Iterable[Call], *, prepare: Callable[[], None] = _nothing
    ) -> Iterator[tuple[Call, Any]]:
        source = iter(calls)
        while some := list(itertools.islice(source, _CLUSTER_WINDOW)):
            yield from zip(some, self._call(script, some, prepare), strict=True)

    def _call(
        self, script: Script, calls: Sequence[Call], prepare: Callable[[], None]
    ) -> list[Any]:
        commands = [("EVALSHA", script.sha, len(c.keys), *c.keys, *c.args) for c in calls]
        answers = self.batch(commands)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            self._load(script)
            prepare()
            answers = self.batch(commands)
        for answer in answers:
            if isinstance(answer, Exception):
                raise unavailable(self.address, answer) from answer
        return answers

    def _load(self, script: Script) -> None:
        try:
            self.client.script_load(script.text)
        except FAILURES as exc:
            raise unavailable(self.address, exc) from exc
