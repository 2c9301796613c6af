"""A redis-server for the tests of the online store; each test has a project of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import redis

from infra.local import redis as local_redis
from infra.local.redis import RedisServer
from mlops.stores.redis.link import DirectLink

_COUNTER = itertools.count()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    folder = tmp_path_factory.mktemp("redis")
    running = local_redis.start(folder, log=folder / "log")
    yield running
    running.stop()


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis(port=redis_server.port, password=redis_server.password, protocol=2) as found:
        yield found


@pytest.fixture
def link(client: redis.Redis, redis_server: RedisServer) -> DirectLink:
    return DirectLink(client, f"127.0.0.1:{redis_server.port}")


@pytest.fixture
def project() -> str:
    return f"shop{next(_COUNTER)}"
