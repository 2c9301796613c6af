"""The same drift is told once: while its version, its columns and its window go on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mlops.bus import MemoryBus
from mlops.errors import Unavailable
from mlops.objects import MemoryDocuments
from mlops.registry.drift.desk import read_seen, tell_drift
from mlops.registry.drift.measure import Check, Moved
from mlops.registry.drift.seen import Seen

FIRST = datetime(2025, 5, 1, 2, 30, tzinfo=UTC)
NIGHT, WEEK = timedelta(days=1), timedelta(days=7)


def night(number: int) -> datetime:
    return FIRST + number * NIGHT


def told(*nights: int, version: int = 3, columns: tuple[str, ...] = ("spent",)) -> Seen:
    """What is known after the drift was found in these nights."""
    seen = Seen()
    for number in nights:
        now = night(number)
        seen = seen.adding("fraud", version, columns, since=now - WEEK, now=now)
    return seen


def is_known(seen: Seen, number: int, *columns: str, version: int = 3) -> bool:
    return seen.knows("fraud", version, columns or ("spent",), since=night(number) - WEEK)


def test_what_is_found_night_after_night_is_known_as_long_as_it_lasts() -> None:
    seen = told(*range(30))
    assert is_known(seen, 30)
    assert (seen.drifts[0].first, seen.drifts[0].last) == (night(0), night(29))


def test_a_check_that_found_none_in_between_does_not_make_it_new() -> None:
    assert is_known(told(0), 5)


def test_when_the_window_holds_nothing_of_it_any_more_it_is_new() -> None:
    assert not is_known(told(0), 8)


def test_another_column_is_new_and_known_columns_alone_are_not() -> None:
    seen = told(0, columns=("spent",))
    assert not is_known(seen, 1, "spent", "seen")
    both = seen.adding("fraud", 3, ("seen",), since=night(1) - WEEK, now=night(1))
    assert is_known(both, 2, "spent", "seen")


def test_the_next_version_drifts_for_itself_and_the_one_before_stays_known() -> None:
    seen = told(0).adding("fraud", 4, ("spent",), since=night(1) - WEEK, now=night(1))
    assert is_known(seen, 2, version=4)
    assert is_known(seen, 2, version=3)
    assert not is_known(seen, 2, version=5)


def test_what_no_check_can_see_any_more_is_forgotten() -> None:
    later = night(100)
    seen = told(0).adding("credit", 1, ("income",), since=later - WEEK, now=later)
    assert [drift.model for drift in seen.drifts] == ["credit"]


def check() -> tuple[Check, list[Moved]]:
    moved = Moved(name="spent", view="v", rows=900, distance=0.5, missing=0.0, missing_before=0.0)
    since = FIRST - WEEK
    return Check(model="fraud", version=3, since=since, columns=(moved,)), [moved]


def test_it_is_told_with_whether_it_was_told_before() -> None:
    bus, documents = MemoryBus(), MemoryDocuments()
    first, second = (tell_drift(bus, documents, *check(), now=FIRST) for _ in range(2))
    assert (first, second) == (False, True)
    assert [fact["again"] for _, _, fact in bus.told] == [False, True]


def test_what_could_not_be_told_is_not_noted() -> None:
    class Refusing:
        def put(self, *_: object) -> None:
            raise Unavailable("no bus")

    documents = MemoryDocuments()
    with pytest.raises(Unavailable):
        tell_drift(Refusing(), documents, *check(), now=FIRST)
    assert read_seen(documents) == Seen()
