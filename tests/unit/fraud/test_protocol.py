from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.fraud.protocol import card_precision, drop_known_compromised
from pipelines.fraud.settings import DEFAULTS
from pipelines.training.settings import Windows

_START = datetime(2018, 7, 1, tzinfo=UTC)
_PAYMENT = st.tuples(st.integers(0, 6), st.integers(0, 30 * 24 - 1), st.booleans())


def _windows(train: int, delay: int, test: int) -> Windows:
    settings = DEFAULTS.model_copy(
        update={
            "train_days": train,
            "delay_days": delay,
            "test_days": test,
            "test_end": date(2018, 7, 1) + timedelta(days=train + delay + test),
        }
    )
    return settings.windows(date(2018, 7, 1))


def _payments(drawn: list[tuple[int, int, bool]]) -> pd.DataFrame:
    times = pd.to_datetime([_START + timedelta(hours=h) for _, h, _ in drawn], utc=True)
    return pd.DataFrame(
        {
            "customer_id": [f"c{c}" for c, _, _ in drawn],
            "event_time": times,
            "is_fraud": [fraud for _, _, fraud in drawn],
        }
    )


@given(st.lists(_PAYMENT, min_size=1, max_size=60), st.integers(1, 7), st.integers(1, 7))
def test_a_customer_counts_until_the_morning_on_which_a_fraud_of_theirs_is_known(
    drawn: list[tuple[int, int, bool]], train: int, delay: int
) -> None:
    windows, payments = _windows(train, delay, 7), _payments(drawn)
    inside = payments["event_time"].between(windows.test.start, windows.test.end, inclusive="left")

    kept = drop_known_compromised(payments[inside], payments[payments["is_fraud"]], windows)

    expected = []
    for index, row in payments[inside].iterrows():
        morning = row["event_time"].floor("D")
        known = [
            other["event_time"]
            for _, other in payments.iterrows()
            if other["is_fraud"]
            and other["customer_id"] == row["customer_id"]
            and (
                windows.train.start <= other["event_time"] < windows.train.end
                or windows.train.start <= other["event_time"] < morning - timedelta(days=delay)
            )
        ]
        if not known:
            expected.append(index)
    assert list(kept.index) == expected


def _brute_force(rows: pd.DataFrame, scores: list[float], top: int) -> float:
    found: set[str] = set()
    precisions = []
    days = [time.date() for time in rows["event_time"]]
    for day in sorted(set(days)):
        best: dict[str, float] = {}
        fraud: dict[str, bool] = {}
        for at, customer, is_fraud, score in zip(
            days, rows["customer_id"], rows["is_fraud"], scores, strict=True
        ):
            if at == day and customer not in found:
                best[customer] = max(score, best.get(customer, -1.0))
                fraud[customer] = is_fraud or fraud.get(customer, False)
        chosen = sorted(best, key=lambda c: (-best[c], c))[:top]
        if chosen:
            precisions.append(sum(fraud[c] for c in chosen) / len(chosen))
            found |= {c for c in chosen if fraud[c]}
    return float(np.mean(precisions)) if precisions else 0.0


@given(st.lists(st.tuples(_PAYMENT, st.integers(0, 4)), min_size=1, max_size=60), st.integers(1, 4))
def test_card_precision_is_the_mean_of_the_days_with_found_customers_blocked(
    drawn: list[tuple[tuple[int, int, bool], int]], top: int
) -> None:
    rows, scores = _payments([payment for payment, _ in drawn]), [s / 4 for _, s in drawn]

    found = card_precision(rows, np.array(scores), top=top)

    assert found == pytest.approx(_brute_force(rows, scores, top))


def test_card_precision_of_no_payments_is_zero() -> None:
    assert card_precision(_payments([]), np.empty(0), top=100) == 0.0
