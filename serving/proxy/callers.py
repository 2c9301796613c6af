"""Callers: who asks, what they may have, and how often."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from serving.errors import NotAllowed, RateLimited

PREDICT, READ, PUSH, PII = "predict", "read", "push", "pii"
PERMISSION = r"^(predict|pii|(predict|read|push):[^\s:]{1,128})$"
"""'predict:MODEL', 'read:SERVICE', 'push:SOURCE', each also with '*' for all of them; 'pii', to
see features that are personal data. 'predict' alone is 'predict:*'."""

_REMEDY = "Ask for a key that may; operators make one with 'mlops serve create-key --help'."


@dataclass(frozen=True, slots=True)
class Rate:
    """How often a caller may ask, over long, and at once after a pause."""

    per_second: float
    burst: int


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, known by name, with all that it may."""

    name: str
    permissions: frozenset[str]
    rate: Rate | None = None

    def require_model(self, model: str) -> None:
        """Raises NotAllowed unless it may have predictions of this model."""
        self._require(PREDICT, model)

    def require_service(self, service: str) -> None:
        """Raises NotAllowed unless it may read this feature service."""
        self._require(READ, service)

    def may_read(self, service: str) -> bool:
        """Whether it may read this feature service."""
        return not {f"{READ}:{service}", f"{READ}:*"}.isdisjoint(self.permissions)

    def require_push(self, source: str) -> None:
        """Raises NotAllowed unless it may write rows of this push source."""
        self._require(PUSH, source)

    def require_pii(self, personal: Iterable[str]) -> None:
        """Raises NotAllowed where there are personal features among these that it may not see.

        personal: names of the features to be shown that are tagged so (`FeaturePlan.personal`).
        """
        if PII in self.permissions:
            return
        if names := sorted(personal):
            raise NotAllowed(
                f"'{self.name}' may not see personal data: {', '.join(names)}.",
                caller=self.name,
                asked=PII,
                remedy=f"Leave these features out. {_REMEDY}",
            )

    def _require(self, kind: str, what: str) -> None:
        mine = self.permissions
        if f"{kind}:{what}" not in mine and f"{kind}:*" not in mine:
            asked = f"{kind}:{what}"
            raise NotAllowed(
                f"'{self.name}' may not '{asked[:150]}'.",
                caller=self.name,
                asked=asked,
                remedy=_REMEDY,
            )


class RateLimits:
    """A token bucket for each caller, in this process alone: two processes admit twice as much.

    Kept as one number per caller, the time at which its bucket would be full again (the generic
    cell rate algorithm, ITU-T I.371).
    """

    def __init__(
        self, default: Rate | None = None, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        """default: for callers without a rate of their own; None lets them ask at will."""
        self._default, self._now = default, now
        self._full_at: dict[str, float] = {}

    def take(self, caller: Caller) -> None:
        """Count one request. Raises RateLimited, and counts nothing, where none is left."""
        rate = caller.rate or self._default
        if rate is None:
            return
        now, one = self._now(), 1 / rate.per_second
        full_at = max(self._full_at.get(caller.name, now), now)
        wait = full_at - now - (rate.burst - 1) * one
        if wait > 1e-9:
            raise _limited(caller, rate, math.ceil(wait))
        self._full_at[caller.name] = full_at + one

    def keep(self, names: Iterable[str]) -> None:
        """Forget all others."""
        kept = set(names)
        self._full_at = {name: at for name, at in self._full_at.items() if name in kept}


def _limited(caller: Caller, rate: Rate, seconds: int) -> RateLimited:
    return RateLimited(
        f"'{caller.name}' asks more often than {rate.per_second:g} times a second "
        f"({rate.burst} at once).",
        caller=caller.name,
        retry_after=seconds,
        remedy="Wait as long as Retry-After says, or send more instances in one request.",
    )
