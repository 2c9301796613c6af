"""What a redis-py client is asked alike, be it of one server or of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisClusterException, RedisError

from mlops.errors import Unavailable
from mlops.stores.redis.commands import Command

FAILURES = (RedisError, RedisClusterException, OSError)
"""What redis-py raises; an exception of its clusters is none of its others."""

SCANNED = 1000
"""Keys that Redis looks at in one step of a scan; it serves others in between."""


def nothing() -> None:
    """What there is to prepare by default."""


def unavailable(address: str, cause: BaseException) -> Unavailable:
    """What Redis' refusal or silence means, and what to do."""
    text = (str(cause) or type(cause).__name__).rstrip(".")
    if isinstance(cause, OutOfMemoryError) or "OOM command not allowed" in text:
        return Unavailable(
            f"Redis at {address} is full: {text}. Nothing more is written until it has memory; "
            "give it a larger node, or remove views that are not needed."
        )
    if isinstance(cause, ReadOnlyError) or "-READONLY" in text:
        return Unavailable(f"Redis at {address} takes no writes: {text}. Try again after failover.")
    return Unavailable(
        f"Redis at {address} does not answer: {text}. "
        "Check that it runs ('mlops local up' starts the local one) and that MLOPS_REDIS_URL and "
        "its password are right."
    )


@dataclass
class ClientLink:
    """Commands and batches. Each method raises Unavailable where Redis does not answer."""

    client: Any
    address: str

    def command(self, *args: Any) -> Any:
        try:
            return self.client.execute_command(*args)
        except FAILURES as exc:
            raise unavailable(self.address, exc) from exc

    def batch(self, commands: Sequence[Command]) -> list[Any]:
        try:
            pipe = self.client.pipeline(transaction=False)
            for command in commands:
                pipe.execute_command(*command)
            return list(pipe.execute(raise_on_error=False))
        except FAILURES as exc:
            raise unavailable(self.address, exc) from exc

    def settle_server(self, server: redis.Redis, milliseconds: int) -> None:
        try:
            info: Any = server.info("replication")
            if not int(info["connected_slaves"]):
                return
            # WAIT waits for what stood before its connection's last command, whoever wrote it.
            pipe: Any = server.pipeline(transaction=False)
            pipe.ping()
            pipe.execute_command("WAIT", 1, milliseconds)
            taken = int(pipe.execute()[1])
        except FAILURES as exc:
            raise unavailable(self.address, exc) from exc
        if taken < 1:
            raise Unavailable(
                f"Redis at {self.address} has {info['connected_slaves']} replicas, and none of "
                f"them took what was written within {milliseconds / 1000:g} s. Look at their "
                "replication lag."
            )

    def close(self) -> None:
        self.client.close()
