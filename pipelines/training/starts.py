"""What starts a model's workflow by itself, as its settings declare it. Pure."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

EACH_TIME, ONCE_A_DAY = "each_time", "once_a_day"
"""How often events of one kind start a run."""
_RATE = re.compile(r"rate\((?:1 (?:minute|hour|day)|(?!1 )[1-9]\d* (?:minutes|hours|days))\)")
_CRON = re.compile(r"cron\(\S+(?: \S+){5}\)")


def _expression(text: str) -> str:
    if _RATE.fullmatch(text):
        return text
    if not _CRON.fullmatch(text):
        raise ValueError(
            "a schedule is rate(1 day), rate(7 days) or cron(0 18 ? * SUN *), in UTC: minutes, "
            "hours, day of month, month, day of week, year"
        )
    day, weekday = (text[5:-1].split()[place] for place in (2, 4))
    if (day == "?") == (weekday == "?"):
        raise ValueError("of day of month and day of week, exactly one is '?'")
    return text


class Starts(BaseModel):
    """When a model's workflow starts without anybody's doing; nothing, unless it says so."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schedule: Annotated[str, AfterValidator(_expression)] | None = None
    """EventBridge's expression, in UTC."""
    new_data: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], ...] = ()
    """Tables: a run starts when rows of one of them came in, once a UTC day however often."""
    drift: bool = False
    """A run starts when drift is found, by the nightly check or 'mlops models drift'; once, however
    often the same drift is found."""
    drift_again: bool = False
    """With `drift`: the same drift starts a run on each UTC day on which it is found."""
    merge: bool = False
    """A run starts when Jenkins deployed code with which none has succeeded yet."""

    @model_validator(mode="after")
    def _once_each(self) -> Self:
        if len(set(self.new_data)) < len(self.new_data):
            raise ValueError("new_data names a table twice")
        if self.drift_again and not self.drift:
            raise ValueError("drift_again says nothing without drift")
        return self
