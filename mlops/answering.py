"""How long callers of a model wait, and what they get where it cannot score in time."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Timeout = Annotated[float, Field(gt=0, le=60_000)]
"""Milliseconds."""
Score = Annotated[float, Field(allow_inf_nan=False)]


class Answering(BaseModel):
    """A model's manifest says it, and the deployment document where operations know better."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    timeout_ms: Timeout | None = None
    """From the request's first byte to its answer, where the caller does not say."""
    fallback_score: Score | None = None
    """The score of an instance whose own is not to be had in time; None answers an error."""

    def over(self, other: Answering | None) -> Answering:
        """This one, and the other where this one says nothing."""
        if other is None:
            return self
        return Answering(
            timeout_ms=_first(self.timeout_ms, other.timeout_ms),
            fallback_score=_first(self.fallback_score, other.fallback_score),
        )


def _first(one: float | None, other: float | None) -> float | None:
    return other if one is None else one
