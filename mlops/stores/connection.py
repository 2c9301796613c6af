"""Connections to Redis, built from the settings in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from mlops.settings import Settings

_RETRIES = 1
"""A pooled connection that the server closed is noticed on use: once more, on a new one."""


@dataclass(frozen=True)
class RedisLimits:
    """How long to wait for Redis, in seconds, and how many connections to hold."""

    connect_timeout: float = 1.0
    read_timeout: float = 1.0
    connections: int = 32


def redis_address(settings: Settings) -> str:
    """'host:port' for messages: never the user or the password."""
    url = urlsplit(settings.require_redis_url())
    return f"{url.hostname}:{url.port or 6379}"


def connect_redis(
    settings: Settings, password: str, *, limits: RedisLimits = RedisLimits()
) -> redis.Redis:
    """A blocking client; it connects on first use. `rediss://` checks the certificate."""
    pool = redis.BlockingConnectionPool.from_url(
        settings.require_redis_url(),
        **_options(password, limits),
        retry=Retry(NoBackoff(), _RETRIES, (RedisConnectionError,)),
    )
    return redis.Redis.from_pool(pool)


def connect_redis_async(
    settings: Settings, password: str, *, limits: RedisLimits = RedisLimits()
) -> redis.asyncio.Redis:
    """An asyncio client; it connects on first use. `rediss://` checks the certificate."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        settings.require_redis_url(),
        **_options(password, limits),
        retry=AsyncRetry(NoBackoff(), _RETRIES, (RedisConnectionError,)),
    )
    return redis.asyncio.Redis.from_pool(pool)


def _options(password: str, limits: RedisLimits) -> dict[str, Any]:
    return {
        "password": password or None,
        "socket_connect_timeout": limits.connect_timeout,
        "socket_timeout": limits.read_timeout,
        "timeout": limits.read_timeout,
        "max_connections": limits.connections,
        "protocol": 2,
    }
