"""The way to Redis for those who must not block: reading, and little else."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import redis.asyncio
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError

from mlops.stores.online import Tell
from mlops.stores.redis.client_link import FAILURES, unavailable
from mlops.stores.redis.commands import Ask, pack_asks
from mlops.stores.redis.connecting import (
    USUAL_LIMITS,
    RedisLimits,
    connect_async,
    connect_cluster_async,
)
from mlops.stores.redis.shared import Recognize, SharedConnection
from mlops.stores.redis.target import RedisTarget


class AsyncLink(Protocol):
    """What reading needs of Redis. Each method raises Unavailable where it does not answer."""

    address: str
    """Host and port, for messages."""

    async def fetch(self, asks: Sequence[Ask], recognize: Recognize | None = None) -> Any:
        """Per ask the values, None where there is none; an error in place of an answer.

        Or what `recognize` says of all of them, where the link shows them to it.
        """

    def start(
        self, packed: bytes, count: int, tell: Tell, recognize: Recognize | None = None
    ) -> bool:
        """Ask for the same now; False where there is no open connection to ask on.

        packed: `count` asks as they go over the wire. The error that is told is whatever redis-py
        raises: `fetch` would try again.
        """

    async def command(self, *args: Any) -> Any:
        """The answer to one command."""

    async def close(self) -> None:
        """Let go of the connections."""


def open_async_link(target: RedisTarget, *, limits: RedisLimits = USUAL_LIMITS) -> AsyncLink:
    """The way to one Redis or to a cluster; nothing is connected before it is needed."""
    if target.is_cluster:
        return AsyncClusterLink(connect_cluster_async(target, limits=limits), target.address)
    replica = None
    if target.replica is not None:
        host, _, port = target.replica.rpartition(":")
        there = dataclasses.replace(target, host=host, port=int(port))
        replica = connect_async(there, limits=limits)
    return AsyncDirectLink(
        connect_async(target, limits=limits),
        target.address,
        replica,
        timeout=limits.read_timeout,
    )


@dataclass
class _AsyncClientLink:
    client: Any
    address: str

    async def command(self, *args: Any) -> Any:
        try:
            return await self.client.execute_command(*args)
        except FAILURES as exc:
            raise unavailable(self.address, exc) from exc

    async def close(self) -> None:
        await self.client.aclose()


@dataclass
class AsyncDirectLink(_AsyncClientLink):
    """One Redis, not in cluster mode. Reads that begin together share a round trip."""

    replica: redis.asyncio.Redis | None = None
    """Read from first; from the primary where it does not answer."""
    timeout: float = USUAL_LIMITS.read_timeout
    reads: SharedConnection = field(init=False)
    _replica_reads: SharedConnection | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.reads = SharedConnection(self.client, timeout=self.timeout)
        if self.replica is not None:
            self._replica_reads = SharedConnection(self.replica, timeout=self.timeout)

    async def fetch(self, asks: Sequence[Ask], recognize: Recognize | None = None) -> Any:
        packed, count = pack_asks(asks), len(asks)
        if self._replica_reads is not None:
            with contextlib.suppress(*FAILURES):
                return await _exchange(self._replica_reads, packed, count, recognize)
        try:
            return await _exchange(self.reads, packed, count, recognize)
        except FAILURES as exc:
            raise unavailable(self.address, exc) from exc

    def start(
        self, packed: bytes, count: int, tell: Tell, recognize: Recognize | None = None
    ) -> bool:
        return (self._replica_reads or self.reads).start(packed, count, tell, recognize)

    async def close(self) -> None:
        self.reads.close()
        if self.replica is not None and self._replica_reads is not None:
            self._replica_reads.close()
            await self.replica.aclose()
        await super().close()
        await asyncio.sleep(0)  # a transport lets go of its socket in the loop's next turn


async def _exchange(
    reads: SharedConnection, packed: bytes, count: int, recognize: Recognize | None
) -> Any:
    """One round trip; once more, on another connection, where the first was lost."""
    try:
        return await reads.fetch(packed, count, recognize)
    except AuthenticationError:
        raise
    except (RedisConnectionError, OSError):
        return await reads.fetch(packed, count, recognize)


class _Reading(NamedTuple):
    """What one caller asks for."""

    asks: Sequence[Ask]
    done: asyncio.Future[list[Any]]


def _leave(readings: Sequence[_Reading]) -> None:
    """Nobody answers these any more; those that were answered are not touched."""
    for one in readings:
        one.done.cancel()


@dataclass
class AsyncClusterLink(_AsyncClientLink):
    """A Redis in cluster mode: redis-py knows the nodes, and follows keys that move.

    Reads that begin together share a pipeline, which is one round trip to each of its nodes.
    """

    _waiting: list[_Reading] = field(init=False, default_factory=list)
    _sent: set[asyncio.Task[None]] = field(init=False, default_factory=set)

    async def fetch(self, asks: Sequence[Ask], recognize: Recognize | None = None) -> list[Any]:
        """Nothing is recognized: redis-py parses."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._send)
        reading = _Reading(asks, loop.create_future())
        self._waiting.append(reading)
        return await reading.done

    def start(
        self, packed: bytes, count: int, tell: Tell, recognize: Recognize | None = None
    ) -> bool:
        """redis-py finds the nodes, and waits meanwhile."""
        return False

    async def close(self) -> None:
        for task in tuple(self._sent):
            task.cancel()
        _leave(self._waiting)
        await super().close()

    def _send(self) -> None:
        together, self._waiting = self._waiting, []
        if not together:
            return
        task = asyncio.get_running_loop().create_task(self._answer(together))
        self._sent.add(task)
        task.add_done_callback(self._sent.discard)
        task.add_done_callback(lambda _: _leave(together))

    async def _answer(self, together: Sequence[_Reading]) -> None:
        try:
            found = await self._read([ask for one in together for ask in one.asks])
            for one in together:
                if not one.done.done():  # else its caller left
                    one.done.set_result(found[: len(one.asks)])
                found = found[len(one.asks) :]
        except Exception as exc:  # noqa: BLE001 — it is raised to each of the callers
            for one in together:
                if not one.done.done():
                    one.done.set_exception(exc)

    async def _read(self, asks: Sequence[Ask]) -> list[Any]:
        try:
            pipe = self.client.pipeline()
            for key, fields in asks:
                pipe.execute_command("HMGET", key, *fields.names)
            return list(await pipe.execute(raise_on_error=False))
        except FAILURES as exc:
            raise unavailable(self.address, exc) from exc
