"""What lies between the last run and now: pure, by the clock, the last run and the builds.

Where the table is one that we build, its builds tell on which days rows may differ, exactly. Of
another table the created times tell, with a look-back for rows that came late; without created
times, the event times.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from mlops.errors import Refused
from mlops.stores.athena.views import duration_tag, publication_delay
from pipelines.features.buildlog import Days, Piece
from pipelines.features.upsync.state import Position, Span

LOOKBACK_TAG = "upsync_lookback"
_LOOKBACK = timedelta(hours=1)


@dataclass(frozen=True)
class Timing:
    """When rows of a view can be read online."""

    view: str
    ttl: timedelta | None
    delay: timedelta
    lookback: timedelta
    """How late a row may come, after the time that it bears."""
    has_created: bool

    def span(self, now: datetime) -> Span:
        """The event times that are published by now, and not outdated."""
        moment = now.astimezone(UTC)
        return Span(oldest=moment - self.ttl if self.ttl else None, until=moment - self.delay)


@dataclass(frozen=True)
class Selection:
    """Which rows a run loads; a row is loaded where any of the conditions holds, or there is none.

    days: on which rows may differ. published_after, created_from: what is new by its times.
    """

    span: Span
    reason: str
    full: bool = False
    everything: bool = False
    days: tuple[Days, ...] = ()
    published_after: datetime | None = None
    created_from: datetime | None = None
    gone: Gone | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing can differ, without asking."""
        return (
            not self.everything
            and not self.days
            and self.created_from is None
            and not (self.published_after is not None and self.published_after < self.span.until)
        )


@dataclass(frozen=True)
class Gone:
    """Rows that may stand online and hold no more."""

    before: Span
    pieces: tuple[Piece, ...] | None
    """What readers saw before."""
    days: tuple[Days, ...]
    """Days whose rows were replaced."""
    after: datetime | None
    """Rows with a later event time are not published any more."""


def timing_of(view: Any) -> Timing:
    """Raises InputError for a tag that is no duration."""
    lookback = duration_tag(view, LOOKBACK_TAG) if LOOKBACK_TAG in view.tags else _LOOKBACK
    return Timing(
        view=view.name,
        ttl=view.ttl or None,
        delay=publication_delay(view),
        lookback=lookback,
        has_created=bool(view.batch_source.created_timestamp_column),
    )


def select(
    timing: Timing,
    known: Position | None,
    pieces: tuple[Piece, ...] | None,
    *,
    now: datetime,
    full: bool,
) -> Selection:
    """Raises Refused when the clock stands before the last run's and the run is not full."""
    span = timing.span(now)
    if known is None:
        return Selection(span, "everything within the ttl: first run", full=full, everything=True)
    back = span.until < known.span.until
    if back and not full:
        raise Refused(
            f"The clock allows rows up to {span.until:%Y-%m-%d %H:%M:%S}, but '{timing.view}' was "
            f"loaded up to {known.span.until:%Y-%m-%d %H:%M:%S}. To go back, run 'mlops features "
            f"upsync {timing.view} --full'."
        )
    replaced = replaced_days(known.pieces or (), pieces or ())
    gone = _gone(timing, known, span, replaced, back=back)
    if full:
        return Selection(
            span, "everything within the ttl, as asked", full=True, everything=True, gone=gone
        )
    if pieces is not None and known.pieces is not None:
        days = changed_days(known.pieces, pieces, span)
        reason = "its table was rebuilt" if replaced else "since the last run"
        return Selection(span, reason, days=days, published_after=known.span.until, gone=gone)
    return _by_times(timing, known, span)


def _by_times(timing: Timing, known: Position, span: Span) -> Selection:
    """Of a table whose builds nobody tells."""
    if not timing.has_created:
        late = known.span.until - timing.lookback
        after = min(known.through or late, late)
        return Selection(span, "since the last run, by event time", published_after=after)
    created = (known.created - timing.lookback) if known.created else None
    if created is None:
        return Selection(span, "everything: no row was created before", everything=True)
    return Selection(
        span,
        "since the last run, by created time",
        published_after=known.span.until,
        created_from=created,
    )


def _gone(
    timing: Timing, known: Position, span: Span, replaced: tuple[Days, ...], *, back: bool
) -> Gone | None:
    """Outdated rows still stand online, and a clock that goes back makes them readable again."""
    if not replaced and not back:
        return None
    oldest = None
    if timing.ttl and span.oldest and known.span.oldest:
        oldest = min(span.oldest, known.span.oldest) - timing.ttl
    return Gone(
        before=Span(oldest=oldest, until=known.span.until),
        pieces=known.pieces,
        days=replaced,
        after=span.until if back else None,
    )


def changed_days(before: Sequence[Piece], after: Sequence[Piece], span: Span) -> tuple[Days, ...]:
    """Days within the span that another build wrote than before, or that none had written."""
    first = span.oldest.date() if span.oldest else date.min
    readable = Days(first=first, last=span.until.date())
    within = (days.within(readable) for days in replaced_days(after, before))
    return tuple(days for days in within if days is not None)


def replaced_days(before: Sequence[Piece], after: Sequence[Piece]) -> tuple[Days, ...]:
    """Days that a build wrote before, and does not any more: another one did, or none."""
    found: list[Days] = []
    for old in before:
        same = [piece.days for piece in after if piece.build == old.build]
        found += _without(old.days, same)
    return tuple(found)


def _without(days: Days, others: Iterable[Days]) -> list[Days]:
    left = [days]
    for other in others:
        left = [rest for piece in left for rest in piece.without(other)]
    return left
