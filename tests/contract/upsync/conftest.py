"""A warehouse of its own and a connection to the local AWS's Redis, for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.local.redis import read_password
from mlops.stores.redis.link import DirectLink, open_link
from mlops.stores.redis.target import RedisTarget
from tests.feast_athena import Warehouse

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws


@pytest.fixture
def link(local_aws: LocalAws) -> Iterator[DirectLink]:
    password = read_password(local_aws.state.redis)
    opened = open_link(RedisTarget("127.0.0.1", local_aws.redis_port, password=password))
    assert isinstance(opened, DirectLink)
    yield opened
    opened.close()


@pytest.fixture
def warehouse(local_aws: LocalAws, tmp_path: Path) -> Warehouse:
    return Warehouse(local_aws, tmp_path)
