"""What lies between the last run and now."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from mlops.errors import InputError, Refused
from pipelines.features.buildlog import Days, Piece
from pipelines.features.upsync.changes import Selection, select, timing_of
from pipelines.features.upsync.state import Position, Span
from tests.upsync_examples import at, make_view


def days(first: str, last: str) -> Days:
    return Days(first=date.fromisoformat(first), last=date.fromisoformat(last))


def piece(build: str, first: str, last: str) -> Piece:
    return Piece(build=build, generation=f"g-{build}", days=days(first, last))


ALL = (piece("b1", "2018-08-01", "2018-08-31"),)


def position(until: str = "2018-08-08", **changes: Any) -> Position:
    given: dict[str, Any] = {
        "run": "r0",
        "view": "spend",
        "span": Span(oldest=at("2018-08-05"), until=at(until)),
        "through": at("2018-08-08"),
        "created": at("2018-08-08T01:00:00"),
        "pieces": ALL,
        "finished": at("2018-08-08"),
    }
    return Position(**(given | changes))


def choose(
    now: str, known: Position | None = None, pieces: Any = ALL, *, full: bool = False, **view: Any
) -> Selection:
    timing = timing_of(make_view(**view))
    return select(timing, known, pieces, now=at(now), full=full)


def test_the_first_run_takes_everything_within_the_ttl() -> None:
    found = choose("2018-08-08T10:00:00")
    assert found.everything
    assert found.span == Span(oldest=at("2018-08-05T10:00:00"), until=at("2018-08-08T10:00:00"))


def test_a_publication_delay_holds_rows_back_but_not_the_end_of_their_ttl() -> None:
    found = choose("2018-08-08T05:00:00", tags={"publication_delay": "6h"})
    assert found.span == Span(oldest=at("2018-08-05T05:00:00"), until=at("2018-08-07T23:00:00"))


def test_a_view_without_a_ttl_is_loaded_from_the_beginning() -> None:
    assert choose("2018-08-08", ttl=timedelta(0)).span.oldest is None


def test_the_next_run_takes_what_was_published_since() -> None:
    found = choose("2018-08-09", position())
    assert not found.everything
    assert (found.published_after, found.days) == (at("2018-08-08"), ())


def test_at_the_same_moment_nothing_can_have_changed() -> None:
    assert choose("2018-08-08", position()).is_empty
    assert not choose("2018-08-08T00:00:01", position()).is_empty


def test_days_that_were_built_since_are_taken_whole() -> None:
    later = (*ALL, piece("b2", "2018-07-01", "2018-07-31"))
    known = position(pieces=(piece("b1", "2018-08-01", "2018-08-07"),))
    found = choose("2018-08-08", known, later)
    assert found.days == (days("2018-08-08", "2018-08-08"),), "July is beyond the ttl"
    assert found.gone is None


def test_a_rebuild_takes_its_days_and_looks_for_rows_that_are_gone() -> None:
    rebuilt = (
        piece("b1", "2018-08-01", "2018-08-05"),
        piece("b2", "2018-08-06", "2018-08-07"),
        piece("b1", "2018-08-08", "2018-08-31"),
    )
    found = choose("2018-08-08", position(), rebuilt)
    assert found.days == (days("2018-08-06", "2018-08-07"),)
    assert found.gone is not None
    assert (found.gone.days, found.gone.pieces, found.gone.after) == (found.days, ALL, None)
    assert found.reason == "its table was rebuilt"


def test_days_that_nobody_sees_any_more_are_looked_for_too() -> None:
    found = choose("2018-08-08", position(), (piece("b1", "2018-08-01", "2018-08-06"),))
    assert found.gone is not None
    assert found.gone.days == (days("2018-08-07", "2018-08-31"),)


def test_a_clock_that_went_back_is_refused_and_names_the_flag() -> None:
    with pytest.raises(Refused, match="upsync spend --full"):
        choose("2018-08-07", position())


def test_a_full_run_goes_back_and_looks_for_rows_of_the_future() -> None:
    found = choose("2018-08-06", position(), full=True)
    assert found.everything
    assert found.gone is not None
    assert found.gone.after == at("2018-08-06")
    outdated = Span(oldest=at("2018-07-31"), until=at("2018-08-08"))
    assert found.gone.before == outdated, "a ttl more than can be read"


def test_a_full_run_forward_looks_for_nothing_gone() -> None:
    assert choose("2018-08-09", position(), full=True).gone is None


def test_of_another_table_created_times_tell_with_a_look_back() -> None:
    found = choose("2018-08-09", position(pieces=None), None)
    assert found.created_from == at("2018-08-08T00:00:00"), "an hour before the latest seen"
    assert found.published_after == at("2018-08-08")


def test_the_look_back_is_the_view_s() -> None:
    tags = {"upsync_lookback": "2d"}
    found = choose("2018-08-09", position(pieces=None), None, tags=tags)
    assert found.created_from == at("2018-08-06T01:00:00")
    with pytest.raises(InputError, match="upsync_lookback is 'soon'"):
        choose("2018-08-09", tags={"upsync_lookback": "soon"})


def test_created_times_may_hide_a_change_at_the_same_moment() -> None:
    assert not choose("2018-08-08", position(pieces=None), None).is_empty


def test_without_created_times_event_times_tell_with_a_look_back() -> None:
    view = make_view()
    view.batch_source.created_timestamp_column = ""
    found = select(timing_of(view), position(pieces=None), None, now=at("2018-08-09"), full=False)
    assert (found.created_from, found.published_after) == (None, at("2018-08-07T23:00:00"))


def test_a_table_that_lags_is_read_on_from_its_newest_row() -> None:
    view = make_view()
    view.batch_source.created_timestamp_column = ""
    known = position(pieces=None, through=at("2018-08-06"))
    found = select(timing_of(view), known, None, now=at("2018-08-09"), full=False)
    assert found.published_after == at("2018-08-06")


def test_a_table_that_becomes_one_of_ours_is_read_by_its_times_once() -> None:
    found = choose("2018-08-09", position(pieces=None), ALL)
    assert (found.days, found.created_from) == ((), at("2018-08-08T00:00:00"))
