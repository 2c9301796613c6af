"""Clients of a Redis: the passwords, TLS, time limits and pools of redis-py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.cluster import LoadBalancingStrategy
from redis.retry import Retry

from mlops.stores.redis.iam import IamCredentials
from mlops.stores.redis.target import RedisTarget


@dataclass(frozen=True)
class RedisLimits:
    """How long to wait for Redis, in seconds, and how many connections to hold."""

    connect_timeout: float = 1.0
    read_timeout: float = 1.0
    connections: int = 32


USUAL_LIMITS = RedisLimits()


class _Replies:
    """Takes many answers at once: redis-py's own way looks at the clock for each of them.

    An error that Redis answered is returned in place of the answer.
    """

    _parser: Any

    def read_replies(self, count: int) -> list[Any]:
        read = self._parser.read_response
        try:
            return [read(disable_decoding=True) for _ in range(count)]
        except BaseException:
            self.disconnect()  # type: ignore[attr-defined]  # of the connection
            raise


class _Connection(_Replies, redis.Connection):
    pass


class _TlsConnection(_Replies, redis.SSLConnection):
    pass


def read_error(connection: Any) -> Callable[[str], Exception]:
    """What makes errors of Redis' answers on this connection, as redis-py does.

    A replica that lost its primary answers nobody, like a server that loads: a lost connection.
    """

    def read(text: str) -> Exception:
        if text.startswith("MASTERDOWN"):
            return redis.ConnectionError(text)
        error: Exception = connection._parser.parse_error(text)
        return error

    return read


def connect(target: RedisTarget, *, limits: RedisLimits = USUAL_LIMITS) -> redis.Redis:
    """A blocking client of one server; it connects on first use."""
    pool = redis.BlockingConnectionPool(  # type: ignore[no-untyped-call]  # of redis-py
        connection_class=_TlsConnection if target.is_tls else _Connection,
        host=target.host,
        port=target.port,
        db=target.db,
        max_connections=limits.connections,
        timeout=limits.read_timeout,
        retry=Retry(NoBackoff(), 1, (redis.ConnectionError,)),
        **_options(target, limits),
    )
    return redis.Redis.from_pool(pool)


def connect_async(
    target: RedisTarget, *, limits: RedisLimits = USUAL_LIMITS
) -> redis.asyncio.Redis:
    """An asyncio client of one server; it connects on first use."""
    pool = redis.asyncio.BlockingConnectionPool(
        connection_class=redis.asyncio.SSLConnection if target.is_tls else redis.asyncio.Connection,
        host=target.host,
        port=target.port,
        db=target.db,
        max_connections=limits.connections,
        timeout=limits.read_timeout,
        retry=AsyncRetry(NoBackoff(), 1, (redis.ConnectionError,)),
        **_options(target, limits),
    )
    return redis.asyncio.Redis.from_pool(pool)


def connect_cluster(
    target: RedisTarget, *, limits: RedisLimits = USUAL_LIMITS
) -> redis.RedisCluster:
    """A blocking client of a cluster. It asks for the nodes at once, raising as redis-py does."""
    return redis.RedisCluster(
        host=target.host, port=target.port, ssl=target.is_tls, **_cluster_options(target, limits)
    )


def connect_cluster_async(
    target: RedisTarget, *, limits: RedisLimits = USUAL_LIMITS
) -> redis.asyncio.RedisCluster:
    """An asyncio client of a cluster; it asks for the nodes on first use."""
    return redis.asyncio.RedisCluster(
        host=target.host, port=target.port, ssl=target.is_tls, **_cluster_options(target, limits)
    )


def _cluster_options(target: RedisTarget, limits: RedisLimits) -> dict[str, Any]:
    spread = LoadBalancingStrategy.ROUND_ROBIN_REPLICAS if target.replica else None
    return _options(target, limits) | {
        "load_balancing_strategy": spread,
        "max_connections": limits.connections,
    }


def _options(target: RedisTarget, limits: RedisLimits) -> dict[str, Any]:
    options: dict[str, Any] = {
        "socket_connect_timeout": limits.connect_timeout,
        "socket_timeout": limits.read_timeout,
        "socket_keepalive": True,
        "protocol": 2,
    }
    if target.is_tls and target.ca_certs:
        options["ssl_ca_certs"] = target.ca_certs
    if target.iam is not None:
        assert target.username is not None
        options["credential_provider"] = IamCredentials(
            boto3.Session(), target.username, target.iam
        )
    else:
        options["username"], options["password"] = target.username, target.password
    return options
