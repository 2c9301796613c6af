"""The build log knows what is missing, what is current, and what came too late."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.errors import Conflict
from mlops.objects import MemoryDocuments
from pipelines.data.ledger import Import, Ledger
from pipelines.features.buildlog import (
    MAX_DAYS,
    Build,
    BuildLog,
    Days,
    in_chunks,
    load_log,
    save_log,
)

DAY = date(2025, 1, 1)
YEAR = timedelta(days=365)


def days(first: int, last: int) -> Days:
    return Days(first=DAY + timedelta(days=first), last=DAY + timedelta(days=last))


def build(first: int, last: int, generation: str = "g0001", payments: int = 0) -> Build:
    return Build(
        id=f"{generation}-{first}",
        generation=generation,
        days=days(first, last),
        created=datetime(2025, 6, 1, tzinfo=UTC),
        built_by="arn:someone",
        payments=payments,
    )


def log(*builds: Build) -> BuildLog:
    return BuildLog(table="t").with_builds(builds)


def current(of: BuildLog) -> list[tuple[str, int, int]]:
    return [(c.generation, (c.days.first - DAY).days, (c.days.last - DAY).days) for c in of.current]


def test_an_empty_log_lacks_everything() -> None:
    assert BuildLog(table="t").missing(days(0, 9)) == [days(0, 9)]


def test_only_what_was_never_built_is_missing() -> None:
    assert log(build(3, 5)).missing(days(0, 9)) == [days(0, 2), days(6, 9)]


def test_neighbours_of_one_generation_are_one_range() -> None:
    assert current(log(build(0, 3), build(4, 6))) == [("g0001", 0, 6)]


def test_a_rebuild_of_some_days_is_current_on_these_days_only() -> None:
    rebuilt = log(build(0, 9), build(4, 5, "g0002"))
    assert current(rebuilt) == [("g0001", 0, 3), ("g0002", 4, 5), ("g0001", 6, 9)]


def test_a_new_generation_has_a_number_of_its_own() -> None:
    rebuilt = log(build(0, 9), build(4, 5, "g0002"))
    assert rebuilt.next_generation == "g0003"
    assert rebuilt.last_generation == "g0001"


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10)), min_size=1, max_size=8))
def test_the_last_build_of_a_day_is_current(spans: list[tuple[int, int]]) -> None:
    builds = [build(a, a + n, f"g{i:04d}") for i, (a, n) in enumerate(spans)]
    expected = {day: b.generation for b in builds for day in b.days}
    found = [(day, c.generation) for c in log(*builds).current for day in c.days]
    assert dict(found) == expected
    assert len(found) == len(expected), "no day is in two ranges"


@given(st.integers(0, 400), st.integers(0, 400))
def test_chunks_are_the_same_days_in_pieces_that_athena_takes(first: int, length: int) -> None:
    gap = days(first, first + length)
    chunks = in_chunks([gap])
    assert [day for chunk in chunks for day in chunk] == list(gap)
    assert max(len(chunk) for chunk in chunks) <= MAX_DAYS


def brought(commit: int, day: int, *, until: int | None = None) -> Import:
    return Import(
        id=f"{commit:08d}-x",
        sha256=f"{commit}",
        file="f",
        rows=1,
        days=(str(DAY + timedelta(days=day)),),
        created=datetime(2025, 6, 1, tzinfo=UTC),
        retracted_in=until,
    )


def ledger(*imports: Import, commits: int = 2) -> Ledger:
    return Ledger(commits=commits, published=commits, imports=imports)


def test_payments_that_arrive_late_make_the_days_after_them_stale() -> None:
    built = log(build(1, 9, payments=1))
    late = ledger(brought(1, 0), brought(2, 4))
    assert built.stale_from(late, lookback=YEAR) == DAY + timedelta(days=5)


def test_payments_that_are_retracted_make_the_days_after_them_stale() -> None:
    built = log(build(1, 9, payments=1))
    corrected = ledger(brought(1, 0), brought(1, 6, until=2))
    assert built.stale_from(corrected, lookback=YEAR) == DAY + timedelta(days=7)


def test_payments_that_came_and_went_make_nothing_stale() -> None:
    built = log(build(1, 9, payments=1))
    mistaken = ledger(brought(1, 0), brought(2, 4, until=3), commits=3)
    assert built.stale_from(mistaken, lookback=YEAR) is None


def test_payments_that_readers_do_not_see_yet_make_nothing_stale() -> None:
    built = log(build(1, 9, payments=1))
    noted = ledger(brought(1, 0), brought(2, 4)).model_copy(update={"published": 1})
    assert built.stale_from(noted, lookback=YEAR) is None


def test_payments_of_new_days_make_nothing_stale() -> None:
    built = log(build(1, 9, payments=1))
    assert built.stale_from(ledger(brought(1, 0), brought(2, 9)), lookback=YEAR) is None


def test_a_rebuild_heals_stale_days() -> None:
    built = log(build(1, 9, payments=1), build(5, 9, "g0002", payments=2))
    late = ledger(brought(1, 0), brought(2, 4))
    assert built.stale_from(late, lookback=YEAR) is None


def test_the_log_is_replaced_only_if_nobody_did_meanwhile() -> None:
    documents = MemoryDocuments()
    save_log(documents, log(build(0, 1)), replacing=None)
    mine, document = load_log(documents, "t")
    save_log(documents, mine.with_builds([build(2, 3)]), replacing=document)
    with pytest.raises(Conflict):
        save_log(documents, mine.with_builds([build(2, 5)]), replacing=document)


def test_a_log_as_of_a_past_moment_shows_what_was_current_then() -> None:
    later = build(2, 4, "g0002").model_copy(update={"created": datetime(2025, 7, 1, tzinfo=UTC)})
    log = BuildLog(table="t").with_builds([build(0, 9)]).with_builds([later])
    assert [c.generation for c in log.current] == ["g0001", "g0002", "g0001"]
    then = log.as_of(datetime(2025, 6, 30, tzinfo=UTC))
    assert [(c.generation, c.days) for c in then.current] == [("g0001", days(0, 9))]
    assert log.as_of(datetime(2025, 5, 1, tzinfo=UTC)).current == ()
    assert log.as_of(datetime(2025, 8, 1, tzinfo=UTC)).current == log.current
