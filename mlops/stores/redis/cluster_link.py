"""The way to a Redis in cluster mode."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import redis
from redis.exceptions import NoScriptError

from mlops.stores.redis.client_link import (
    FAILURES,
    SCANNED,
    ClientLink,
    nothing,
    unavailable,
)
from mlops.stores.redis.commands import Ask, Call
from mlops.stores.redis.round_trips import Glance
from mlops.stores.redis.script import Script

_WINDOW = 1000
"""Script calls that go out together."""


class LateCluster:
    """A client of a cluster that asks for its nodes when it is first used."""

    def __init__(self, connect: Callable[[], redis.RedisCluster]) -> None:
        self._connect = connect

    @cached_property
    def _client(self) -> redis.RedisCluster:
        return self._connect()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def close(self) -> None:
        if "_client" in self.__dict__:
            self._client.close()


@dataclass
class ClusterLink(ClientLink):
    """A Redis in cluster mode: redis-py knows the nodes, and follows keys that move."""

    keys_per_call: int = 1
    """Two entities hardly ever share a slot."""

    def everywhere(self, *args: Any) -> list[Any]:
        try:
            nodes = sorted(self.client.get_primaries(), key=lambda node: str(node.name))
            return [self.client.execute_command(*args, target_nodes=node) for node in nodes]
        except FAILURES as exc:
            raise unavailable(self.address, exc) from exc

    def settle(self, milliseconds: int) -> None:
        try:
            servers = [self.client.get_redis_connection(n) for n in self.client.get_primaries()]
        except FAILURES as exc:
            raise unavailable(self.address, exc) from exc
        for server in servers:
            self.settle_server(server, milliseconds)

    def scan(self, pattern: bytes) -> Iterator[bytes]:
        try:
            yield from self.client.scan_iter(match=pattern, count=SCANNED)
        except FAILURES as exc:
            raise unavailable(self.address, exc) from exc

    def fetch(self, asks: Sequence[Ask], glance: Glance | None = None) -> list[Any]:
        return self.batch([("HMGET", key, *of.names) for key, of in asks])

    def run(
        self, script: Script, calls: Iterable[Call], *, prepare: Callable[[], None] = nothing
    ) -> Iterator[tuple[Call, Any]]:
        source = iter(calls)
        while some := list(itertools.islice(source, _WINDOW)):
            yield from zip(some, self._call(script, some, prepare), strict=True)

    def _call(
        self, script: Script, calls: Sequence[Call], prepare: Callable[[], None]
    ) -> list[Any]:
        commands = [("EVALSHA", script.sha, len(c.keys), *c.keys, *c.args) for c in calls]
        answers = self.batch(commands)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            self._load(script)
            prepare()
            answers = self.batch(commands)
        for answer in answers:
            if isinstance(answer, Exception):
                raise unavailable(self.address, answer) from answer
        return answers

    def _load(self, script: Script) -> None:
        try:
            self.client.script_load(script.text)
        except FAILURES as exc:
            raise unavailable(self.address, exc) from exc
