"""One call as steps, without doing any of them: when to send, how long to wait, when to give up.

Both clients carry these steps out, each in its own way.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass

from serving.client.errors import ProxyError, TimedOut, Unavailable, error_of

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5


@dataclass(frozen=True)
class Send:
    """Send the request once; within `seconds` there must be an answer."""

    seconds: float


@dataclass(frozen=True)
class Pause:
    """Wait for so long."""

    seconds: float


@dataclass(frozen=True)
class Answer:
    """What came."""

    status: int
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes


@dataclass(frozen=True)
class Lost:
    """Nothing came: the connection could not be made, or broke."""

    cause: Exception


class Late(Lost):
    """Nothing came in time."""


Steps = Generator[Send | Pause, Answer | Lost | None, bytes]


def exchange(
    *,
    timeout: float,
    retries: int,
    now: Callable[[], float],
    spread: Callable[[], float] = random.random,
) -> Steps:
    """Send until there is an answer, at most `retries` times more, and return its body.

    Each answer to a `Send` is an `Answer` or `Lost`. Sends again after a lost connection, 503 and
    429, no earlier than Retry-After says, and only where the time left allows it. Everything that
    this client asks only reads, so that asking twice does no harm.
    Raises ProxyError.
    """
    end = now() + timeout
    for attempt in range(retries + 1):
        left = end - now()
        if left <= 0:
            raise _late(timeout)
        came = yield Send(left)
        if isinstance(came, Answer) and came.status == 200:
            return came.body
        error = _error(came, timeout)
        pause = _pause(error, attempt, spread())
        if attempt == retries or pause is None or now() + pause >= end:
            raise error
        yield Pause(pause)
    raise AssertionError("the last attempt returns or raises")


def _error(came: Answer | Lost | None, timeout: float) -> ProxyError:
    if isinstance(came, Answer):
        return error_of(came.status, came.headers, came.body)
    if isinstance(came, Late):
        return _late(timeout)
    cause = came.cause if came else None
    error = Unavailable(
        f"The proxy does not answer ({type(cause).__name__}: {cause}).",
        code="no_answer",
        remedy="Check the address; if it is right, try again later.",
    )
    error.__cause__ = cause
    return error


def _late(timeout: float) -> TimedOut:
    return TimedOut(
        f"The proxy gave no answer within {timeout:g} s.",
        code="no_answer_in_time",
        remedy="Give it more time, or fewer instances in one call.",
    )


def _pause(error: ProxyError, attempt: int, spread: float) -> float | None:
    """Before the next attempt; None where another would not help. Callers do not come in step."""
    if error.status not in (None, 429, 503) or isinstance(error, TimedOut):
        return None
    longest: float = min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE)
    return (error.retry_after or 0.0) + longest * (0.5 + spread / 2)
