"""The way to Redis for those who must not block: reading, and little else."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import redis.asyncio
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError

from mlops.stores.redis.connecting import (
    USUAL_LIMITS,
    RedisLimits,
    connect_async,
    connect_cluster_async,
)
from mlops.stores.redis.link import FAILURES, Ask, pack_asks, unavailable
from mlops.stores.redis.target import RedisTarget


class AsyncLink(Protocol):
    """What reading needs of Redis. Each method raises Unavailable where it does not answer."""

    address: str
    """Host and port, for messages."""

    async def fetch(self, asks: Sequence[Ask]) -> list[Any]:
        """Per ask the values, None where there is none; an error in place of an answer."""

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
    return AsyncDirectLink(connect_async(target, limits=limits), target.address, replica)


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
    """One Redis, not in cluster mode."""

    replica: redis.asyncio.Redis | None = None
    """Read from first; from the primary where it does not answer."""

    async def fetch(self, asks: Sequence[Ask]) -> list[Any]:
        packed = pack_asks(asks)
        if self.replica is not None:
            with contextlib.suppress(*FAILURES):
                return await _exchange(self.replica, packed, len(asks))
        try:
            return await _exchange(self.client, packed, len(asks))
        except FAILURES as exc:
            raise unavailable(self.address, exc) from exc

    async def close(self) -> None:
        await super().close()
        if self.replica is not None:
            await self.replica.aclose()


async def _exchange(client: redis.asyncio.Redis, packed: bytes, count: int) -> list[Any]:
    """One round trip; once more, on another connection, where the first was lost."""
    try:
        return await _once(client, packed, count)
    except AuthenticationError:
        raise
    except (RedisConnectionError, OSError):
        return await _once(client, packed, count)


async def _once(client: redis.asyncio.Redis, packed: bytes, count: int) -> list[Any]:
    pool: Any = client.connection_pool
    connection = await pool.get_connection()
    try:
        await connection.send_packed_command([packed])
        return list(await connection.read_replies(count))
    finally:
        await pool.release(connection)


@dataclass
class AsyncClusterLink(_AsyncClientLink):
    """A Redis in cluster mode: redis-py knows the nodes, and follows keys that move."""

    async def fetch(self, asks: Sequence[Ask]) -> list[Any]:
        try:
            pipe = self.client.pipeline()
            for key, fields in asks:
                pipe.execute_command("HMGET", key, *fields.names)
            return list(await pipe.execute(raise_on_error=False))
        except FAILURES as exc:
            raise unavailable(self.address, exc) from exc
