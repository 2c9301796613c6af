"""The way to Redis: many commands in one round trip, a script that is loaded when it is missing.

Commands are put together as bytes here: a redis-py pipeline takes as long for that as Redis does
for the answer. Connections, with their passwords, TLS and time limits, are redis-py's.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import redis
from redis.exceptions import (
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from mlops.errors import Unavailable
from mlops.stores.redis.script import Script

_WINDOW = 16
"""Script calls that wait for their answer: while Redis works, the next are put together."""


@dataclass(frozen=True)
class Fields:
    """The fields that are read of a key, put together once."""

    names: tuple[bytes, ...]

    @cached_property
    def head(self) -> bytes:
        return b"*%d\r\n$5\r\nHMGET\r\n" % (len(self.names) + 2)

    @cached_property
    def tail(self) -> bytes:
        return b"".join([_argument(name) for name in self.names])


Ask = tuple[bytes, Fields]
"""A key, and what to read of it."""


@dataclass(frozen=True)
class Call:
    """One call of a script; `about` is for whoever gets the answer."""

    keys: Sequence[bytes]
    args: Sequence[bytes]
    about: Any = None


class Link(Protocol):
    """What the store needs of Redis."""

    address: str
    """Host and port, for messages."""

    def fetch(self, asks: Sequence[Ask]) -> list[Any]:
        """Per ask the values, None where there is none; an error in place of an answer.

        Raises Unavailable where Redis does not answer at all.
        """

    def run(self, script: Script, calls: Iterable[Call]) -> Iterator[tuple[Call, Any]]:
        """Each call with its answer, as they come. A call that failed on the way is sent again,
        so it must be safe to repeat.

        Raises Unavailable where Redis does not answer, is full, or takes no writes.
        """

    def command(self, *args: Any) -> Any:
        """The answer to one command. Raises Unavailable."""

    def close(self) -> None:
        """Let go of the connections."""


def unavailable(address: str, cause: BaseException) -> Unavailable:
    """What Redis' refusal or silence means, and what to do."""
    text = str(cause) or type(cause).__name__
    if isinstance(cause, OutOfMemoryError) or "OOM command not allowed" in text:
        return Unavailable(
            f"Redis at {address} is full: {text}. Nothing more is written until it has memory; "
            "give it a larger node, or remove views that are not needed."
        )
    if isinstance(cause, ReadOnlyError) or "-READONLY" in text:
        return Unavailable(f"Redis at {address} takes no writes: {text}. Try again after failover.")
    return Unavailable(
        f"Redis at {address} does not answer: {text}. "
        "Check that it runs and that MLOPS_REDIS_URL and its password are right."
    )


@dataclass
class DirectLink:
    """One Redis, not in cluster mode."""

    client: redis.Redis
    address: str
    retries: int = 3
    pause: float = 0.1
    """Seconds before the first retry; it doubles."""

    def fetch(self, asks: Sequence[Ask]) -> list[Any]:
        packed = b"".join(
            [
                b"%b$%d\r\n%b\r\n%b" % (fields.head, len(key), key, fields.tail)
                for key, fields in asks
            ]
        )
        try:
            return self._exchange(packed, len(asks))
        except (RedisError, OSError) as exc:
            raise unavailable(self.address, exc) from exc

    def _exchange(self, packed: bytes, count: int) -> list[Any]:
        """One round trip; once more, on another connection, where the first was lost."""
        try:
            return self._once(packed, count)
        except (redis.AuthenticationError, redis.TimeoutError):
            raise
        except (redis.ConnectionError, OSError):
            return self._once(packed, count)

    def _once(self, packed: bytes, count: int) -> list[Any]:
        pool = self.client.connection_pool
        connection: Any = pool.get_connection()
        try:
            connection.send_packed_command([packed])
            return [_read(connection) for _ in range(count)]
        except BaseException:
            connection.disconnect()
            raise
        finally:
            pool.release(connection)

    def run(self, script: Script, calls: Iterable[Call]) -> Iterator[tuple[Call, Any]]:
        source, unanswered, failures = iter(calls), deque[Call](), 0
        while True:
            try:
                for done in self._stream(script, source, unanswered):
                    failures = 0
                    yield done
            except (redis.ConnectionError, redis.TimeoutError, OSError) as exc:
                failures += 1
                if failures > self.retries or isinstance(exc, redis.AuthenticationError):
                    raise unavailable(self.address, exc) from exc
                time.sleep(self.pause * 2 ** (failures - 1))
            except RedisError as exc:
                raise unavailable(self.address, exc) from exc
            else:
                return

    def _stream(
        self, script: Script, source: Iterator[Call], unanswered: deque[Call]
    ) -> Iterator[tuple[Call, Any]]:
        """Send what is left, a window ahead of the answers; what fails stays in `unanswered`."""
        pool = self.client.connection_pool
        connection: Any = pool.get_connection()
        try:
            for waiting in unanswered:
                connection.send_packed_command([pack_call(script, waiting)])
            is_open = True
            while unanswered or is_open:
                if is_open and len(unanswered) < _WINDOW:
                    call = next(source, None)
                    is_open = call is not None
                    if call is not None:
                        unanswered.append(call)
                        connection.send_packed_command([pack_call(script, call)])
                    continue
                yield self._settle(connection, script, unanswered)
        finally:
            if unanswered:
                connection.disconnect()
            pool.release(connection)

    def _settle(self, connection: Any, script: Script, unanswered: deque[Call]) -> tuple[Call, Any]:
        answer = _read(connection)
        if isinstance(answer, NoScriptError):
            # Those behind it have failed as well, or do no harm when they are sent again.
            for _ in range(len(unanswered) - 1):
                _read(connection)
            connection.send_command("SCRIPT", "LOAD", script.text)
            connection.read_response()
            for call in unanswered:
                connection.send_packed_command([pack_call(script, call)])
            answer = _read(connection)
        if isinstance(answer, Exception):
            raise answer
        return unanswered.popleft(), answer

    def command(self, *args: Any) -> Any:
        try:
            client: Any = self.client
            return client.execute_command(*args)
        except (RedisError, OSError) as exc:
            raise unavailable(self.address, exc) from exc

    def close(self) -> None:
        self.client.close()


def _read(connection: Any) -> Any:
    """One answer; an error that Redis answered is returned, one of the connection raised."""
    try:
        return connection.read_response(disable_decoding=True)
    except ResponseError as exc:
        return exc


def pack_call(script: Script, call: Call) -> bytes:
    """EVALSHA as it goes over the wire."""
    count = 3 + len(call.keys) + len(call.args)
    head = b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n" % (count, script.sha)
    arguments = [b"%d" % len(call.keys), *call.keys, *call.args]
    return head + b"".join([b"$%d\r\n%b\r\n" % (len(item), item) for item in arguments])


def _argument(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)
