"""Times are aware and UTC, or refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mlops.clock import SystemClock, parse_instant
from mlops.errors import InputError


def test_a_bare_date_is_its_midnight_utc() -> None:
    assert parse_instant("2018-08-08") == datetime(2018, 8, 8, tzinfo=UTC)


def test_another_zone_is_converted() -> None:
    assert parse_instant("2018-08-08T09:00:00+09:00") == datetime(2018, 8, 8, tzinfo=UTC)


@pytest.mark.parametrize("text", ["yesterday", "2018-13-01", "2018-08-08T09:00:00", ""])
def test_what_is_no_instant_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(InputError, match=r"Use ISO 8601|Add one"):
        parse_instant(text)


def test_the_system_clock_is_aware() -> None:
    assert SystemClock().now().utcoffset() is not None
