"""Rows that do not fit a table are refused whole, with every fault, counts and examples."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.errors import InputError
from mlops.stores.athena.fitting import Rule, Target, field_rule, fit

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
TARGET = Target(
    title="table db.spend",
    columns={
        "customer_id": "string",
        "event_time": "timestamp",
        "created": "timestamp",
        "n": "int",
        "share": "double",
        "word": "string",
        "day": "string",
    },
    keys=("customer_id",),
    event_time="event_time",
    created="created",
    day="day",
    partitions=("day",),
    rules={
        "n": Rule(required=True, minimum=0),
        "share": Rule(maximum=1),
        "word": Rule(values=("a", "b")),
    },
    latest=NOON + timedelta(minutes=5),
)
GOOD: dict[str, Any] = {
    "customer_id": "c1",
    "event_time": NOON,
    "created": NOON,
    "n": 1,
    "share": 0.5,
    "word": "a",
}


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows))


def test_rows_that_fit_get_the_table_s_columns_order_and_types() -> None:
    found = fit(table(dict(reversed(GOOD.items()))), TARGET)
    assert found.column_names == list(TARGET.columns)
    assert found.schema.field("n").type == pa.int32()
    assert found["day"].to_pylist() == ["2024-01-01"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"customer_id": None}, "'customer_id' is null in 1 rows (customer_id None, event_time"),
        ({"event_time": None}, "'event_time' is null in 1 rows"),
        ({"created": None}, "'created' is null in 1 rows"),
        ({"n": None}, "'n' is null in 1 rows"),
        ({"n": -1}, "'n' is below 0 in 1 rows (customer_id c1, event_time 2024-01-01 12:00:00"),
        ({"share": 1.5}, "'share' is above 1 in 1 rows"),
        ({"share": float("nan")}, "'share' is not finite in 1 rows"),
        ({"share": float("-inf")}, "'share' is not finite in 1 rows"),
        ({"word": "c"}, "'word' is none of a, b in 1 rows"),
        ({"created": NOON + timedelta(minutes=6)}, "'created' is after 2024-01-01 12:05:00 UTC"),
        ({"event_time": NOON + timedelta(days=2)}, "'event_time' is after 2024-01-01 12:05:00 UTC"),
        ({"day": "2024-01-02"}, "'day' is not the UTC day of 'event_time' in 1 rows"),
        ({"day": None}, "'day' is null in 1 rows"),
        ({"n": 2**40}, "'n' does not fit int (Integer value 1099511627776 not in range"),
        ({"n": "many"}, "'n' does not fit int"),
        ({"event_time": "yesterday"}, "'event_time' does not fit timestamp"),
    ],
)
def test_a_row_that_does_not_fit_is_told_by_column_rule_and_example(
    wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError) as refused:
        fit(table(GOOD | wrong), TARGET)
    assert words in str(refused.value)
    assert "none was written" in str(refused.value)


def test_all_faults_are_told_at_once_with_how_many_rows_they_are_about() -> None:
    rows = [GOOD, *(GOOD | {"customer_id": f"c{i}", "n": -i, "share": 2.0} for i in range(1, 6))]
    with pytest.raises(InputError) as refused:
        fit(table(*rows), TARGET)
    text = str(refused.value)
    assert "'n' is below 0 in 5 rows" in text
    assert "'share' is above 1 in 5 rows" in text
    assert text.count("customer_id c") == 6, "three examples of each"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"n": ...}, "missing n, unknown nothing"),
        ({"extra": 1}, "missing nothing, unknown extra"),
        ({"event_time": ...}, "missing event_time, unknown nothing"),
    ],
)
def test_columns_that_lack_or_are_too_many_are_named(rows: dict[str, Any], words: str) -> None:
    given_ = {name: value for name, value in (GOOD | rows).items() if value is not ...}
    with pytest.raises(InputError, match=words):
        fit(table(given_), TARGET)


def test_missing_values_fit_where_nothing_asks_for_them() -> None:
    found = fit(table(GOOD | {"share": None, "word": None}), TARGET)
    assert found["share"].to_pylist() == [None]


def test_no_rows_fit() -> None:
    schema = fit(table(GOOD), TARGET).schema
    assert fit(schema.empty_table(), TARGET).num_rows == 0


def test_a_day_is_that_of_utc_whatever_the_zone_of_the_rows() -> None:
    seoul = timezone(timedelta(hours=9))
    early = datetime(2024, 1, 2, 8, tzinfo=seoul)
    at = pa.array([early], pa.timestamp("us", tz="Asia/Seoul"))
    rows = table(GOOD)
    rows = rows.set_column(rows.column_names.index("event_time"), "event_time", at)
    assert fit(rows, replace(TARGET, latest=None))["day"].to_pylist() == ["2024-01-01"]


def test_a_day_may_be_a_date() -> None:
    columns = {**TARGET.columns, "day": "date"}
    assert fit(table(GOOD), replace(TARGET, columns=columns))["day"].to_pylist() == [
        date(2024, 1, 1)
    ]


def test_any_time_fits_where_none_is_too_late() -> None:
    rows = table(GOOD | {"event_time": NOON + timedelta(days=999)})
    assert fit(rows, replace(TARGET, latest=None)).num_rows == 1


def test_feast_s_name_of_a_column_is_turned_back_into_the_table_s() -> None:
    rows = table(GOOD).rename_columns({"n": "payments"})
    assert fit(rows, replace(TARGET, renamed={"payments": "n"}))["n"].to_pylist() == [1]


@pytest.mark.parametrize(
    ("hive", "value", "fits"),
    [
        ("tinyint", 127, True),
        ("tinyint", 128, False),
        ("smallint", 40_000, False),
        ("decimal(5,2)", Decimal("123.45"), True),
        ("decimal(5,2)", Decimal("1234.5"), False),
        ("decimal(5,2)", "words", False),
        ("date", date(2024, 1, 1), True),
        ("date", "2024-13-01", False),
        ("boolean", "maybe", False),
        ("bigint", 1.5, False),
    ],
)
def test_what_a_type_cannot_hold_does_not_fit_it(hive: str, value: Any, fits: bool) -> None:
    target = replace(TARGET, columns={**TARGET.columns, "v": hive})
    rows = table(GOOD | {"v": value})
    if fits:
        assert fit(rows, target)["v"].to_pylist() == [value]
        return
    with pytest.raises(InputError, match="'v' does not fit"):
        fit(rows, target)


@pytest.mark.parametrize(
    ("hive", "rule"), [("string", Rule(minimum=0)), ("int", Rule(values=("1",)))]
)
def test_a_rule_that_the_type_cannot_have_is_refused(hive: str, rule: Rule) -> None:
    target = replace(TARGET, columns={**TARGET.columns, "v": hive}, rules={"v": rule})
    with pytest.raises(InputError, match="'min' and 'max' go with numbers"):
        fit(table(GOOD | {"v": 1}), target)


values = st.fixed_dictionaries(
    {
        "n": st.sampled_from([None, -1, 0, 5]),
        "share": st.sampled_from([None, 0.0, 1.0, 1.1, float("inf")]),
        "word": st.sampled_from([None, "a", "c"]),
        "created": st.sampled_from([None, NOON, TARGET.latest, NOON + timedelta(hours=1)]),
    }
)


def fits_by_hand(row: dict[str, Any]) -> bool:
    share, created = row["share"], row["created"]
    return (
        row["n"] is not None
        and row["n"] >= 0
        and (share is None or share <= 1)
        and row["word"] != "c"
        and created is not None
        and created <= TARGET.latest
    )


@given(st.lists(values, min_size=1, max_size=6))
def test_rows_are_refused_just_when_one_does_not_fit_by_hand(rows: list[dict[str, Any]]) -> None:
    given_ = [GOOD | row for row in rows]
    if all(map(fits_by_hand, given_)):
        assert fit(table(*given_), TARGET).num_rows == len(rows)
        return
    with pytest.raises(InputError):
        fit(table(*given_), TARGET)


@pytest.mark.parametrize(
    ("tags", "rule"),
    [
        ({}, Rule()),
        ({"pii": "true"}, Rule()),
        ({"required": "True", "min": "0", "max": "0.5"}, Rule(True, 0, 0.5)),
        ({"values": "a, b"}, Rule(values=("a", "b"))),
    ],
)
def test_a_field_s_tags_are_its_rule(tags: dict[str, str], rule: Rule) -> None:
    assert field_rule(tags, title="Field 'a'") == rule


@pytest.mark.parametrize("tags", [{"required": "maybe"}, {"min": "none"}, {"max": "nan"}])
def test_a_tag_that_says_nothing_is_named(tags: dict[str, str]) -> None:
    [name] = tags
    with pytest.raises(InputError, match=f"Field 'a': tag '{name}' is '{tags[name]}'"):
        field_rule(tags, title="Field 'a'")
