"""The way to Redis with a watch on it: every round trip is counted and timed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from mlops.errors import Unavailable
from mlops.stores.online import Tell
from mlops.stores.redis.async_link import AsyncLink
from mlops.stores.redis.commands import Ask
from mlops.stores.redis.shared import Recognize
from serving.proxy.metrics import ProxyMetrics


class TimedLink:
    """A link as it was, and what Prometheus sees of it."""

    def __init__(self, link: AsyncLink, metrics: ProxyMetrics) -> None:
        self.address = link.address
        self._link = link
        self._metrics = metrics

    async def fetch(self, asks: Sequence[Ask], recognize: Recognize | None = None) -> Any:
        started, failed = time.perf_counter(), False
        try:
            return await self._link.fetch(asks, recognize)
        except Unavailable:
            failed = True
            raise
        finally:
            seconds = time.perf_counter() - started
            self._metrics.observe_redis(seconds, len(asks), failed=failed)

    def start(
        self, packed: bytes, count: int, tell: Tell, recognize: Recognize | None = None
    ) -> bool:
        started = time.perf_counter()

        def timed(answers: Any, error: Exception | None) -> None:
            seconds = time.perf_counter() - started
            self._metrics.observe_redis(seconds, count, failed=error is not None)
            tell(answers, error)

        return self._link.start(packed, count, timed, recognize)

    async def command(self, *args: Any) -> Any:
        return await self._link.command(*args)

    async def close(self) -> None:
        await self._link.close()
