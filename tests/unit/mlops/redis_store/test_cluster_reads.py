"""Reads of a cluster that begin together are one pipeline, and each caller gets its own answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from mlops.errors import Unavailable
from mlops.stores.redis.async_link import AsyncClusterLink
from mlops.stores.redis.commands import Ask, Fields

FIELDS = Fields((b"f",))


@dataclass
class Cluster:
    """Answers each key with itself; remembers what went out together."""

    sent: list[list[bytes]] = field(default_factory=list)
    problem: Exception | None = None
    began: asyncio.Event = field(default_factory=asyncio.Event)

    def pipeline(self) -> Pipeline:
        return Pipeline(self)

    async def aclose(self) -> None:
        pass


@dataclass
class Pipeline:
    cluster: Cluster
    keys: list[bytes] = field(default_factory=list)

    def execute_command(self, _command: str, key: bytes, *_: Any) -> None:
        self.keys.append(key)

    async def execute(self, *, raise_on_error: bool) -> list[Any]:
        assert not raise_on_error
        self.cluster.sent.append(self.keys)
        self.cluster.began.set()
        await asyncio.sleep(0)
        if self.cluster.problem is not None:
            raise self.cluster.problem
        return [[key] for key in self.keys]


def asks(*keys: bytes) -> list[Ask]:
    return [(key, FIELDS) for key in keys]


async def test_reads_that_begin_together_are_one_pipeline() -> None:
    cluster = Cluster()
    link = AsyncClusterLink(cluster, "cluster")
    found = await asyncio.gather(*(link.fetch(asks(*keys)) for keys in ([b"a"], [b"b", b"c"], [])))
    assert list(found) == [[[b"a"]], [[b"b"], [b"c"]], []]
    assert cluster.sent == [[b"a", b"b", b"c"]]


async def test_a_read_that_comes_meanwhile_does_not_wait_for_them() -> None:
    cluster = Cluster()
    link = AsyncClusterLink(cluster, "cluster")
    first = asyncio.create_task(link.fetch(asks(b"a")))
    await cluster.began.wait()
    assert await link.fetch(asks(b"b")) == [[b"b"]]
    assert await first == [[b"a"]]
    assert cluster.sent == [[b"a"], [b"b"]]


async def test_a_cluster_that_does_not_answer_is_unavailable_to_each() -> None:
    link = AsyncClusterLink(Cluster(problem=RedisConnectionError("gone")), "cluster")
    reads = [link.fetch(asks(key)) for key in (b"a", b"b")]
    found = await asyncio.gather(*reads, return_exceptions=True)
    assert [type(one) for one in found] == [Unavailable, Unavailable]


async def test_a_caller_that_leaves_takes_nobody_with_it() -> None:
    link = AsyncClusterLink(Cluster(), "cluster")
    leaving, staying = (asyncio.create_task(link.fetch(asks(key))) for key in (b"a", b"b"))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == [[b"b"]]
    assert leaving.cancelled()


@pytest.mark.parametrize("turns", [1, 2, 3], ids=["waits", "is about to be sent", "is sent"])
async def test_closing_ends_what_is_under_way(turns: int) -> None:
    link = AsyncClusterLink(Cluster(), "cluster")
    reading = asyncio.create_task(link.fetch(asks(b"a")))
    for _ in range(turns):
        await asyncio.sleep(0)
    await link.close()
    with pytest.raises(asyncio.CancelledError):
        await reading
