"""Rows that fit go on with the declared types; the others are kept with their reasons."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mlops.errors import InputError
from pipelines.data.schema import COLUMNS, match_columns
from pipelines.data.validation import Checked, Mask, Rules, check

RULES = Rules(now=datetime(2025, 6, 1, tzinfo=UTC), currency="EUR", file_currency="EUR")
GOOD: dict[str, Any] = {
    "payment_id": "p1",
    "event_time": "2025-01-01T10:00:00Z",
    "customer_id": "c1",
    "terminal_id": "t1",
    "amount": "12.50",
    "is_fraud": "0",
}


def wall(text: str) -> datetime:
    """A time without a zone."""
    return datetime.fromisoformat(text)


def never(ids: pa.Array) -> Mask:
    return np.zeros(len(ids), dtype=bool)


def checked(*changes: dict[str, Any], rules: Rules = RULES) -> Checked:
    rows = [{**GOOD, **change} for change in changes]
    return checked_columns({name: [row[name] for row in rows] for name in rows[0]}, rules)


def checked_columns(columns: dict[str, Any], rules: Rules = RULES) -> Checked:
    batch = pa.RecordBatch.from_pydict(columns)
    names = match_columns(batch.schema.names)
    return check(batch, rules, columns=names, first_row=0, seen_twice=never)


def only_reason(change: dict[str, Any], rules: Rules = RULES) -> str:
    result = checked(change, rules=rules)
    assert result.good.num_rows == 0
    return str(result.bad.column("reasons")[0].as_py())


def test_a_good_row_gets_the_declared_types() -> None:
    good = checked({}).good
    assert good.schema.types == [c.type for c in COLUMNS]
    assert good.to_pylist()[0] == {
        "payment_id": "p1",
        "event_time": wall("2025-01-01T10:00"),
        "customer_id": "c1",
        "terminal_id": "t1",
        "amount": Decimal("12.50"),
        "currency": "EUR",
        "is_fraud": False,
        "fraud_scenario": None,
    }


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"payment_id": None}, "payment_id is missing"),
        ({"customer_id": " "}, "customer_id is missing"),
        ({"terminal_id": None}, "terminal_id is missing"),
        ({"event_time": None}, "event_time is missing"),
        ({"event_time": "yesterday"}, "event_time is no time"),
        ({"event_time": "2025-02-30T00:00:00Z"}, "event_time is no time"),
        ({"event_time": "2025-01-01 10:00:00"}, "event_time has no time zone"),
        ({"event_time": "2025-06-01T00:00:01Z"}, "event_time is in the future"),
        ({"amount": None}, "amount is missing"),
        ({"amount": "a lot"}, "amount is no number"),
        ({"amount": "-0.01"}, "amount is negative"),
        ({"amount": "1e17"}, "amount is too large"),
        ({"amount": "1.005"}, "amount has more than 2 decimals"),
        ({"is_fraud": None}, "is_fraud is missing"),
        ({"is_fraud": "maybe"}, "is_fraud is neither true nor false"),
    ],
)
def test_a_bad_row_is_kept_with_its_reason(change: dict[str, Any], reason: str) -> None:
    assert only_reason(change).startswith(reason)


def test_a_row_with_two_faults_names_both() -> None:
    assert only_reason({"amount": "-1", "customer_id": None}) == (
        "customer_id is missing; amount is negative"
    )


def test_a_bad_row_keeps_its_place_and_its_text() -> None:
    bad = checked({}, {"amount": "much"}).bad.to_pylist()
    assert bad == [{"row": 1, "reasons": "amount is no number", **GOOD, "amount": "much"}]


def test_reasons_are_counted() -> None:
    assert checked({"amount": "-1"}, {"amount": "-2"}, {}).reasons == {"amount is negative": 2}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_amount_that_is_no_finite_number_is_bad(value: float) -> None:
    result = checked_columns({k: [v] for k, v in {**GOOD, "amount": value}.items()})
    assert result.reasons == {"amount is no finite number": 1}


def test_binary_fractions_of_whole_cents_are_exact() -> None:
    amounts = [0.29, 1.1, 57.16, 123456789012.34]
    columns = {k: [v] * len(amounts) for k, v in GOOD.items()} | {"amount": amounts}
    assert checked_columns(columns).good.column("amount").to_pylist() == [
        Decimal(str(amount)) for amount in amounts
    ]


def test_a_naive_time_is_read_in_the_zone_that_was_named() -> None:
    rules = Rules(RULES.now, "EUR", file_currency="EUR", timezone="Asia/Seoul")
    good = checked({"event_time": "2025-01-01 10:00:00"}, rules=rules).good
    assert good.column("event_time")[0].as_py() == wall("2025-01-01T01:00")


def test_a_zoned_time_keeps_its_own_zone() -> None:
    rules = Rules(RULES.now, "EUR", file_currency="EUR", timezone="Asia/Seoul")
    good = checked({"event_time": "2025-01-01T10:00:00+02:00"}, rules=rules).good
    assert good.column("event_time")[0].as_py() == wall("2025-01-01T08:00")


def test_a_column_of_naive_timestamps_needs_a_zone() -> None:
    columns = {k: [v] for k, v in {**GOOD, "event_time": wall("2025-01-01")}.items()}
    with pytest.raises(InputError, match="--timezone"):
        checked_columns(columns)


def test_an_unknown_zone_is_named() -> None:
    with pytest.raises(InputError, match="'Mars/Base' is no time zone"):
        checked(
            {"event_time": "2025-01-01 10:00:00"}, rules=Rules(RULES.now, "EUR", "EUR", "Mars/Base")
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [("amount", [1.5]), ("customer_id", 1.5), ("event_time", 3), ("is_fraud", 0.5)],
)
def test_a_column_of_the_wrong_type_is_named(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"Column {name} holds|Column {name} "):
        checked_columns({k: [v] for k, v in {**GOOD, name: value}.items()})


def test_a_foreign_currency_is_bad() -> None:
    columns = {k: [v] for k, v in {**GOOD, "currency": "USD"}.items()}
    assert checked_columns(columns).reasons == {"currency is not EUR": 1}


def test_a_row_without_currency_needs_one_for_the_file() -> None:
    result = checked({}, rules=Rules(RULES.now, "EUR"))
    assert result.reasons == {"currency is missing (say which: --currency)": 1}


def test_the_handbook_s_names_and_whole_numbers_are_understood() -> None:
    good = checked_columns(
        {
            "TRANSACTION_ID": [7],
            "TX_DATETIME": pa.array([datetime(2025, 1, 1, tzinfo=UTC)], pa.timestamp("ns", "UTC")),
            "CUSTOMER_ID": [1],
            "TERMINAL_ID": [2],
            "TX_AMOUNT": [3.5],
            "TX_FRAUD": pa.array([1], pa.int8()),
            "TX_FRAUD_SCENARIO": pa.array([2], pa.int8()),
        }
    ).good
    row = good.to_pylist()[0]
    assert (row["payment_id"], row["is_fraud"], row["fraud_scenario"]) == ("7", True, 2)
