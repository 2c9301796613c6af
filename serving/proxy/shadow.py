"""A shadow scores what others answer: after the answer, in bounded number, and heard by nobody."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass, field

from mlops.errors import MlopsError
from serving.proxy.admission import Admission

log = logging.getLogger("serving.shadow")

Score = Callable[[], Awaitable[None]]
"""Scores one request by the shadow and compares it."""
Observe = Callable[[str], None]
"""Called with 'scored', 'dropped', or the code of what failed."""


@dataclass
class Shadows:
    """The shadows' runs under way in one process."""

    most: int
    seconds: float
    """How long one run may take."""
    admission: Admission
    _running: set[asyncio.Task[None]] = field(default_factory=set)
    _due: dict[str, float] = field(default_factory=dict)
    """Per endpoint, what is left over of its share: 1 is a request that the shadow sees."""

    def offer(self, endpoint: str, share: float, score: Score, observe: Observe) -> None:
        """Run it some time after now, or drop it; never waits and never raises."""
        due = self._due.get(endpoint, 0.0) + share
        self._due[endpoint] = due - 1 if due >= 1 else due
        if due < 1:
            return
        if len(self._running) >= self.most or self.admission.is_busy:
            observe("dropped")
            return
        # The request's own context ends with its answer, and its trace with it.
        run = self._run(endpoint, score, observe)
        task = asyncio.get_running_loop().create_task(run, context=Context())
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """End what runs."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _run(self, endpoint: str, score: Score, observe: Observe) -> None:
        try:
            async with asyncio.timeout(self.seconds):
                await score()
        except TimeoutError:
            observe("deadline_exceeded")
        except MlopsError as exc:
            observe(exc.code)
        except Exception:  # a shadow harms nobody
            log.exception("shadow failed unexpectedly", extra={"endpoint": endpoint})
            observe("internal")
        else:
            observe("scored")
