"""A redis-server for the tests of the online store; each test has a project of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import redis

from infra.local import redis as local_redis
from infra.local.redis import RedisServer
from mlops.stores.redis.link import Link, open_link
from mlops.stores.redis.target import RedisTarget, parse_target

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
def target(redis_server: RedisServer) -> RedisTarget:
    return parse_target(redis_server.url, redis_server.password)


@pytest.fixture
def link(target: RedisTarget) -> Iterator[Link]:
    opened = open_link(target)
    yield opened
    opened.close()


@pytest.fixture
def project() -> str:
    return f"shop{next(_COUNTER)}"
