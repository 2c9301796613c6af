"""The way to Redis with a watch on it: every round trip is counted and timed."""

from __future__ import annotations

import time
from asyncio import Future
from collections.abc import Sequence
from functools import partial
from typing import Any

from mlops.errors import Unavailable
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

    async def fetch(self, asks: Sequence[Ask], recognize: Recognize | None = None) -> list[Any]:
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
        self, asks: Sequence[Ask], recognize: Recognize | None = None
    ) -> Future[list[Any]] | None:
        answers = self._link.start(asks, recognize)
        if answers is not None:
            answers.add_done_callback(partial(self._observe, time.perf_counter(), len(asks)))
        return answers

    def _observe(self, started: float, keys: int, answers: Future[list[Any]]) -> None:
        if not answers.cancelled():
            failed = answers.exception() is not None
            self._metrics.observe_redis(time.perf_counter() - started, keys, failed=failed)

    async def command(self, *args: Any) -> Any:
        return await self._link.command(*args)

    async def close(self) -> None:
        await self._link.close()
