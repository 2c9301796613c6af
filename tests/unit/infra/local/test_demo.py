"""What the demo decides, without anything running."""

from __future__ import annotations

from datetime import date

from infra.local.demo import choose_name
from infra.local.published import HANDBOOK, choose_days


def test_a_run_that_failed_is_tried_again_under_another_name() -> None:
    assert choose_name("demo-1", failed=set()) == "demo-1"
    assert choose_name("demo-1", failed={"demo-1"}) == "demo-1-2"
    assert choose_name("demo-1", failed={"demo-1", "demo-1-2", "other"}) == "demo-1-3"


def test_the_handbooks_payments_are_played_on_its_own_days() -> None:
    days = choose_days(HANDBOOK.rows, date(2018, 4, 1), date(2018, 9, 30))
    assert (days.test_end, days.published) == (date(2018, 8, 15), HANDBOOK)


def test_other_payments_are_played_on_their_last_days() -> None:
    days = choose_days(1000, date(2018, 4, 1), date(2018, 9, 30))
    assert (days.test_end, days.published) == (date(2018, 10, 1), None)
    assert f"{days.scored:%Y-%m-%dT%H:%M%z}" == "2018-09-30T00:00+0000"
