"""By when a caller must have its answer: what it says, else what the model says, else a setting."""

from __future__ import annotations

import asyncio
import math
import time
from types import TracebackType
from typing import NamedTuple

from serving.errors import DeadlineExceeded, InvalidRequest

TIMEOUT = "X-Request-Timeout-Ms"
TIMEOUT_KEY = TIMEOUT.lower().encode()
"""As servers see it."""
MAX_TIMEOUT_MS = 60_000.0
TIMEOUT_SCHEMA = {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_TIMEOUT_MS}
_RESERVED = 0.05
"""The part of a timeout, of at most a tenth of a second, that is left for writing the answer."""


class Deadline(NamedTuple):
    """A moment of the monotonic clock at which the answer must have begun to leave."""

    at: float
    timeout_ms: float
    """What was allowed; for the message."""

    @classmethod
    def after(cls, timeout_ms: float, *, since: float) -> Deadline:
        """since: when the request came, by `time.monotonic`."""
        seconds = timeout_ms / 1000
        return cls(since + seconds - _RESERVED * min(seconds, 0.1), timeout_ms)

    def remaining(self) -> float:
        """Seconds, 0 when it is over."""
        return max(0.0, self.at - time.monotonic())

    def within(self, seconds: float | None) -> Deadline:
        """This moment, or one so many seconds from now where that is earlier."""
        if seconds is None:
            return self
        return Deadline(min(self.at, time.monotonic() + seconds), self.timeout_ms)

    def exceeded(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"There is no answer within {self.timeout_ms:g} ms.",
            remedy=f"Allow more time ({TIMEOUT}) or ask for less at once; a model may have a "
            "fallback.",
        )


class TimeLimit:
    """Around what a task may await for so many seconds: raises TimeoutError in its place then.

    As `asyncio.timeout`, whose coroutines and states cost a request more than its parsing. Left
    once, and without a way to move the moment.
    """

    __slots__ = ("_cancelling", "_expired", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._expired = False

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None, "only a task can be given a limit"
        self._task, self._cancelling = task, task.cancelling()
        self._timer = loop.call_later(self._seconds, self._expire)

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if not self._expired or self._task.uncancel() > self._cancelling:
            return  # in time, or somebody else ends the task
        if kind is asyncio.CancelledError:
            raise TimeoutError from error


def deadline_of(text: str | None, *, since: float) -> Deadline | None:
    """What the header asks for, where it is there. Raises InvalidRequest."""
    timeout_ms = read_timeout(text)
    return None if timeout_ms is None else Deadline.after(timeout_ms, since=since)


def read_timeout(text: str | None) -> float | None:
    """The caller's header in milliseconds. Raises InvalidRequest."""
    if text is None:
        return None
    try:
        timeout = float(text)
    except ValueError:
        timeout = math.nan
    if not 0 < timeout <= MAX_TIMEOUT_MS:
        raise InvalidRequest(
            f"{TIMEOUT} must be milliseconds, more than 0 and at most {MAX_TIMEOUT_MS:.0f}.",
            field=TIMEOUT,
        )
    return timeout
