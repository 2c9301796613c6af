"""The platform's one clock: the system's, or a fixed one for replaying the past."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from mlops.errors import InputError


class Clock(Protocol):
    def now(self) -> datetime:
        """The present, timezone-aware, UTC."""


@dataclass(frozen=True)
class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True)
class FixedClock:
    """A clock that stands at one instant, so that data of the past can be replayed."""

    instant: datetime

    def now(self) -> datetime:
        return self.instant


def parse_instant(text: str) -> datetime:
    """Read an ISO 8601 date or time as an aware UTC instant; a bare date is its 00:00 UTC.

    Raises InputError when the text is no time, or a time of day without a zone.
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as exc:
        raise InputError(
            f"'{text}' is not a time. Use ISO 8601, for example 2018-08-08 or 2018-08-08T06:00:00Z."
        ) from exc
    if instant.tzinfo is not None:
        return instant.astimezone(UTC)
    if len(text) > len("2018-08-08"):
        raise InputError(f"'{text}' has no time zone. Add one, for example '{text}Z' for UTC.")
    return instant.replace(tzinfo=UTC)


def parse_clock(text: str) -> Clock:
    """'system', or an instant at which the clock stands still."""
    return SystemClock() if text == "system" else FixedClock(parse_instant(text))
