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
from typing import Any, Protocol

import redis
from redis.exceptions import NoScriptError

from mlops.stores.redis.client_link import (
    FAILURES,
    SCANNED,
    ClientLink,
    nothing,
    unavailable,
)
from mlops.stores.redis.cluster_link import ClusterLink, LateCluster
from mlops.stores.redis.commands import Ask, Call, Command, pack_asks, pack_call
from mlops.stores.redis.connecting import USUAL_LIMITS, RedisLimits, connect, connect_cluster
from mlops.stores.redis.round_trips import Glance, RoundTrips
from mlops.stores.redis.script import Script
from mlops.stores.redis.target import RedisTarget

_WINDOW = 16
"""Script calls that wait for their answer: while Redis works, the next are put together."""


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
        self, script: Script, calls: Iterable[Call], *, prepare: Callable[[], None] = nothing
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
        client = LateCluster(lambda: connect_cluster(target, limits=limits))
        return ClusterLink(client, target.address)
    replica = None
    if target.replica is not None:
        host, _, port = target.replica.rpartition(":")
        replica = connect(dataclasses.replace(target, host=host, port=int(port)), limits=limits)
    primary = connect(target, limits=limits)
    return DirectLink(primary, target.address, replica, retries=retries, limits=limits)


@dataclass
class DirectLink(ClientLink):
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
        self, script: Script, calls: Iterable[Call], *, prepare: Callable[[], None] = nothing
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
        self.settle_server(self.client, milliseconds)

    def scan(self, pattern: bytes) -> Iterator[bytes]:
        cursor = 0
        while True:
            cursor, keys = self.command("SCAN", cursor, "MATCH", pattern, "COUNT", SCANNED)
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
