"""Snapshots hold what a look at every single payment would have counted, and nothing of the day.

The SQL that Athena runs is run here, by the local Athena's translator, and compared with loops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipelines.features.tables import (
    CUSTOMER_SPEND,
    SEEN_DAYS,
    TABLES,
    TERMINAL_RISK,
    WINDOWS,
    FeatureTable,
    snapshot_sql,
)
from tests.athena_engine import DATABASE, MemoryAthena

START = datetime(2025, 1, 1, tzinfo=UTC)
TYPES = {
    "payment_id": "string",
    "event_time": "timestamp",
    "customer_id": "string",
    "terminal_id": "string",
    "amount": "decimal(18,2)",
    "is_fraud": "boolean",
    "day": "string",
}
ENGINE = MemoryAthena()


@dataclass(frozen=True)
class Payment:
    minute: int
    """Minutes after START; midnights are likely."""
    customer: str
    terminal: str
    cents: int
    fraud: bool

    @property
    def time(self) -> datetime:
        return START + timedelta(minutes=self.minute)


@st.composite
def payment(draw: st.DrawFn) -> Payment:
    day = draw(st.integers(0, 80))
    minute = draw(st.sampled_from([0, 1, 719, 1439]))
    return Payment(
        day * 1440 + minute,
        draw(st.sampled_from("ab")),
        draw(st.sampled_from("xy")),
        draw(st.integers(0, 30_000)),
        draw(st.booleans()),
    )


def snapshots(
    table: FeatureTable, payments: Sequence[Payment], first: date, last: date
) -> dict[tuple[str, str], dict[str, Any]]:
    rows = pa.table(
        {
            "payment_id": [str(n) for n in range(len(payments))],
            "event_time": pa.array([p.time.replace(tzinfo=None) for p in payments]),
            "customer_id": [p.customer for p in payments],
            "terminal_id": [p.terminal for p in payments],
            "amount": pa.array([Decimal(p.cents) / 100 for p in payments], pa.decimal128(18, 2)),
            "is_fraud": [p.fraud for p in payments],
            "day": [f"{p.time:%Y-%m-%d}" for p in payments],
        }
    )
    ENGINE.add("payments", rows, TYPES)
    sql = snapshot_sql(table, first, last, created="2025-06-01 00:00:00.000", database=DATABASE)
    return {(row[table.key], row["day"]): row for row in ENGINE.query(sql).to_pylist()}


def by_hand(
    table: FeatureTable, payments: Sequence[Payment], entity: str, day: date
) -> dict[str, float] | None:
    """The same features, by looking at every payment; None where there is no row."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    own = [p for p in payments if entity == (p.customer if table.key[0] == "c" else p.terminal)]
    if not any(midnight - timedelta(days=SEEN_DAYS) <= p.time < midnight for p in own):
        return None
    features: dict[str, float] = {}
    for days in WINDOWS:
        end = midnight - timedelta(days=table.delay_days)
        seen = [p for p in own if end - timedelta(days=days) <= p.time < end]
        total = sum(p.cents / 100 if table is CUSTOMER_SPEND else p.fraud for p in seen)
        features[table.count.format(days=days)] = len(seen)
        features[table.ratio.format(days=days)] = total / len(seen) if seen else 0.0
    return features


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(payments=st.lists(payment(), min_size=1, max_size=40), first=st.integers(1, 60))
@example(payments=[Payment(1440 * 30, "a", "x", 100, True)], first=30)
@example(payments=[Payment(1440 * 30 - 1, "a", "x", 100, True)], first=30)
def test_windows_equal_a_look_at_every_payment(
    table: FeatureTable, payments: list[Payment], first: int
) -> None:
    days = [START.date() + timedelta(days=first + n) for n in range(22)]
    found = snapshots(table, payments, days[0], days[-1])
    expected = {
        (entity, str(day)): features
        for entity in ("a", "b", "x", "y")
        for day in days
        if (features := by_hand(table, payments, entity, day)) is not None
    }
    assert found.keys() == expected.keys()
    for at, features in expected.items():
        assert {name: found[at][name] for name in features} == pytest.approx(features, abs=1e-9)


def one(cents: int, *, day: int, fraud: bool = False, minute: int = 0) -> Payment:
    return Payment(day * 1440 + minute, "a", "x", cents, fraud)


def test_a_snapshot_sees_nothing_at_or_after_its_midnight() -> None:
    payments = [one(100, day=9, minute=1439), one(900, day=10)]
    row = snapshots(CUSTOMER_SPEND, payments, date(2025, 1, 11), date(2025, 1, 11))[
        "a", "2025-01-11"
    ]
    assert (row["customer_count_1d"], row["customer_mean_amount_1d"]) == (1, 1.0)


def test_a_label_is_seen_seven_days_late() -> None:
    payments = [one(100, day=0, fraud=True)]
    rows = snapshots(TERMINAL_RISK, payments, date(2025, 1, 2), date(2025, 1, 10))
    shares = {day: row["terminal_fraud_share_1d"] for (_, day), row in rows.items()}
    assert {day for day, share in shares.items() if share} == {"2025-01-09"}


def test_an_entity_is_forgotten_after_a_year() -> None:
    payments = [one(100, day=0)]
    rows = snapshots(CUSTOMER_SPEND, payments, date(2025, 12, 28), date(2026, 1, 5))
    assert max(day for _, day in rows) == "2026-01-01"


def test_means_of_money_do_not_depend_on_the_order_of_adding() -> None:
    payments = [one(cents, day=3, minute=n) for n, cents in enumerate([10, 20, 30] * 100)]
    days = date(2025, 1, 5), date(2025, 1, 5)
    forward = snapshots(CUSTOMER_SPEND, payments, *days)["a", "2025-01-05"]
    backward = snapshots(CUSTOMER_SPEND, payments[::-1], *days)["a", "2025-01-05"]
    assert forward == backward
    assert forward["customer_mean_amount_7d"] == 0.2


def test_a_row_holds_from_midnight_and_says_when_it_was_made() -> None:
    days = date(2025, 1, 5), date(2025, 1, 5)
    row = snapshots(CUSTOMER_SPEND, [one(100, day=3)], *days)["a", "2025-01-05"]
    assert list(row) == [*(c.name for c in CUSTOMER_SPEND.schema), "day"]
    assert f"{row['event_time']:%Y-%m-%d %H:%M:%S.%f}" == "2025-01-05 00:00:00.000000"
    assert f"{row['created']:%Y-%m-%d}" == "2025-06-01"
