"""The ledger says what is current, what was, and what changed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from mlops.errors import Conflict, NotFound, Refused
from mlops.objects import MemoryDocuments
from pipelines.data import ledger as module
from pipelines.data.ledger import Arrival, Import, Ledger, load_ledger, save_ledger
from pipelines.data.payments import Visible

NOW = datetime(2025, 6, 1, tzinfo=UTC)


def held(content: str) -> Arrival:
    return Arrival(sha256=content, size=1)


def add(
    ledger: Ledger, name: str, content: str, *, days: int = 0, day: str = "2025-01-01"
) -> Ledger:
    """The ledger after a file came, some days after NOW."""
    arrivals = {name: held(content)}
    now = NOW + timedelta(days=days)
    one = Import(
        id=ledger.next_id(content), sha256=content, file=name, rows=1, days=(day,), created=now
    )
    new = [] if ledger.holding(content) else [one]
    return ledger.with_commit(new, ledger.released_by(arrivals), now=now, arrivals=arrivals)


def current(ledger: Ledger) -> list[str]:
    return [one.sha256 for one in ledger.current]


def test_a_content_is_current_as_long_as_a_name_holds_it() -> None:
    ledger = add(add(add(Ledger(), "a", "x"), "b", "x"), "a", "y")
    assert current(ledger) == ["x", "y"]
    assert current(add(ledger, "b", "y")) == ["y"]


def test_names_may_swap_their_contents() -> None:
    ledger = add(add(Ledger(), "a", "x"), "b", "y")
    arrivals = {"a": held("y"), "b": held("x")}
    assert ledger.released_by(arrivals) == ()


def test_a_commit_that_changes_no_import_has_no_number() -> None:
    ledger = add(Ledger(), "a", "x")
    assert add(ledger, "b", "x").commits == ledger.commits == 1


def test_what_was_worked_out_for_one_ledger_is_not_kept_by_the_next() -> None:
    ledger = add(Ledger(), "a", "x")
    assert (current(ledger), ledger.holding("y")) == (["x"], None)
    later = add(ledger, "b", "y")
    assert current(later) == ["x", "y"]
    assert later.holding("y") is not None


def test_readers_see_a_commit_and_what_was_not_retracted_by_then() -> None:
    ledger = add(add(Ledger(), "a", "x"), "a", "y")
    first, second = (one.id for one in ledger.imports)
    assert ledger.shown(1) == Visible(1)
    assert ledger.shown() == Visible(2, frozenset({first}))
    assert (first in ledger.shown(1), second in ledger.shown(1)) == (True, False)
    assert (first in ledger.shown(), second in ledger.shown()) == (False, True)


def test_the_past_is_seen_by_the_clock() -> None:
    ledger = add(add(Ledger(), "a", "x"), "a", "y", days=2)
    assert ledger.shown_as_of(NOW + timedelta(days=1)) == Visible(1)
    assert ledger.shown_as_of(NOW + timedelta(days=2)) == ledger.shown()
    assert ledger.shown_as_of(NOW - timedelta(days=1)) == Visible(0)


def test_a_past_whose_rows_are_swept_is_refused() -> None:
    ledger = add(add(Ledger(), "a", "x"), "a", "y", days=2)
    swept = ledger.imports[0].model_copy(update={"swept": True})
    ledger = ledger.replaced(imports=(swept, *ledger.imports[1:]))
    with pytest.raises(NotFound, match="retention has ended"):
        ledger.shown_as_of(NOW)
    assert ledger.shown() == Visible(2), "its partitions are gone: nothing to leave out"


def test_the_view_is_a_condition_on_import_ids() -> None:
    assert Visible().condition == "false"
    assert Visible(7).condition == "import_id < '00000008'"
    assert Visible(7, frozenset({"b", "a"})).condition == (
        "import_id < '00000008' AND import_id NOT IN ('a', 'b')"
    )


def test_days_have_changed_where_rows_came_or_went() -> None:
    ledger = add(Ledger(), "a", "x", day="2025-01-01")
    ledger = add(ledger, "b", "y", day="2025-01-02")
    ledger = add(ledger, "a", "z", day="2025-01-03").as_published()
    assert ledger.days_changed_after(0) == {date(2025, 1, 2), date(2025, 1, 3)}
    assert ledger.days_changed_after(2) == {date(2025, 1, 1), date(2025, 1, 3)}
    assert ledger.days_changed_after(3) == set()
    assert ledger.days == [date(2025, 1, 2), date(2025, 1, 3)]


def test_more_retracted_imports_than_a_view_can_name_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_HIDDEN", 1)
    ledger = add(add(Ledger(), "a", "x"), "a", "y")
    with pytest.raises(Refused, match="mlops data sweep"):
        add(ledger, "a", "z")


def test_a_ledger_is_read_as_it_was_written() -> None:
    documents = MemoryDocuments()
    ledger = add(add(Ledger(), "a", "x"), "a", "y", days=1).as_published()
    save_ledger(documents, ledger, replacing=None)
    assert load_ledger(documents)[0] == ledger


def test_the_ledger_is_replaced_only_if_nobody_did_meanwhile() -> None:
    documents = MemoryDocuments()
    save_ledger(documents, add(Ledger(), "a", "x"), replacing=None)
    ledger, document = load_ledger(documents)
    save_ledger(documents, add(ledger, "b", "y"), replacing=document)
    with pytest.raises(Conflict):
        save_ledger(documents, add(ledger, "c", "z"), replacing=document)
    with pytest.raises(Conflict):
        save_ledger(documents, Ledger(), replacing=None)
