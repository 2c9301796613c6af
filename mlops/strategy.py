"""How a new version takes over from the one before it, and what it must keep on its way."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Weight = Annotated[float, Field(gt=0, lt=1)]
Seconds = Annotated[float, Field(ge=0, le=30 * 86400)]


class _Settled(BaseModel):
    """As git has it; what a later release adds is ignored by this one."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Bounds(_Settled):
    """What a version on trial is held to, most of it beside the stable version's own figures."""

    failed_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    """By how much the share of its answers that fail may exceed the stable version's."""
    latency_ratio: Annotated[float, Field(ge=1)] = 1.5
    """How many times the stable version's 95th percentile its own may be,"""
    latency_slack_ms: Annotated[float, Field(ge=0)] = 5.0
    """and so many milliseconds more."""
    latency_ms: Annotated[float, Field(gt=0)] | None = None
    """Above which its 95th percentile may not be, whatever the stable version's is: a version that
    is slow enough slows the one beside it, and their ratio stays."""
    score_shift: Annotated[float, Field(gt=0, le=1)] = 0.15
    """By how much the distribution of its scores may differ from its manifest's reference
    (Kolmogorov-Smirnov), beyond the stable version's from its own: what moves both is the
    traffic's doing."""
    min_answers: Annotated[int, Field(ge=0)] = 500
    """Fewer allow no verdict on latency and scores, and no step forward."""
    load_seconds: Seconds = 120.0
    """After which a version that no proxy could serve yet is taken back."""


class Strategy(_Settled):
    """First a shadow, then a canary in steps, then stable; all at once where it names neither."""

    shadow_seconds: Annotated[float, Field(gt=0, le=30 * 86400)] | None = None
    """How long it scores what others answer, before it answers anyone."""
    shadow_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    steps: tuple[Weight, ...] = ()
    """The shares of the traffic that it answers, one after the other."""
    bake_seconds: Seconds = 600.0
    """How long each step lasts at least."""
    key: str | None = None
    """The id that always meets the same version, as a canary's."""
    bounds: Bounds = Bounds()

    @model_validator(mode="after")
    def _rising(self) -> Strategy:
        if any(one >= other for one, other in pairwise(self.steps)):
            raise ValueError("steps must rise: a canary that shrinks would change whom it answers")
        return self

    @property
    def is_gradual(self) -> bool:
        return self.shadow_seconds is not None or bool(self.steps)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What it goes through before it is stable, in order."""
        canary = tuple(Stage(weight=weight, seconds=self.bake_seconds) for weight in self.steps)
        if self.shadow_seconds is None:
            return canary
        return (Stage(weight=None, seconds=self.shadow_seconds), *canary)


class Stage(_Settled):
    """One part of the way; a shadow has no weight."""

    weight: Weight | None
    seconds: float


ALL_AT_ONCE = Strategy()
