"""A circuit breaker: who does not answer is not asked by everyone again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from mlops.errors import Unavailable


@dataclass
class Breaker:
    """Opens after some failures in a row; then lets one attempt through after each pause."""

    name: str
    """Who is guarded, for the message."""
    failures: int = 5
    pause: float = 1.0
    """Seconds."""
    now: Callable[[], float] = time.monotonic
    _count: int = field(default=0, init=False)
    _again: float = field(default=0.0, init=False)
    """When the next attempt may be made."""

    @property
    def is_sound(self) -> bool:
        """Whether the last attempt got its answer, so that there is nothing to count."""
        return self._count == 0

    @property
    def is_open(self) -> bool:
        """Whether an attempt would be refused now."""
        return self._count >= self.failures and self.now() < self._again

    def guard(self) -> Attempt:
        """Around an attempt. Raises Unavailable at once while open; counts those of the attempt."""
        return Attempt(self)

    def enter(self) -> None:
        """Begin an attempt. Raises Unavailable while open, but for one attempt after each pause."""
        if self._count < self.failures:
            return
        now = self.now()
        if now < self._again:
            raise Unavailable(
                f"{self.name} did not answer {self._count} times in a row; it is asked again in "
                f"{self._again - now:.1f} s. Check that it runs."
            )
        self._again = now + self.pause

    def failed(self) -> None:
        """Count an attempt that got no answer."""
        self._count += 1
        self._again = self.now() + self.pause

    def succeeded(self) -> None:
        """There was an answer: forget what failed before it."""
        self._count = 0


class Attempt:
    """One attempt under a breaker."""

    __slots__ = ("_breaker",)

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker

    def __enter__(self) -> None:
        self._breaker.enter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._breaker.succeeded()
        elif isinstance(error, Unavailable):
            self._breaker.failed()
