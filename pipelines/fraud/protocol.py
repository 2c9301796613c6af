"""How card fraud detection is judged: the protocol of the Fraud Detection Handbook, chapter 3.

Labels arrive late, so the test leaves out the customers whose fraud was known by the morning of
the day; an investigator looks at the same number of cards every day and blocks what she finds.
Source: Le Borgne et al., "Reproducible Machine Learning for Credit Card Fraud Detection" (2022).
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd

from pipelines.training.settings import Windows


def drop_known_compromised(
    rows: pd.DataFrame, frauds: pd.DataFrame, windows: Windows
) -> pd.DataFrame:
    """Leave out each test day's customers whose fraud was known at its 00:00 UTC.

    rows: test payments with customer_id and event_time (UTC). frauds: customer_id and event_time
    of every fraud since the training window began. A fraud is known when it lies in the training
    window, or when it is older than the label delay at the start of the day.
    """
    counted = frauds.loc[frauds["event_time"] >= windows.train.start]
    first = counted.groupby("customer_id")["event_time"].min()
    delay = timedelta(days=windows.delay_days)
    known_until = (rows["event_time"].dt.floor("D") - delay).clip(lower=windows.train.end)
    known = rows["customer_id"].map(first) < known_until
    kept: pd.DataFrame = rows.loc[~known]
    return kept


def card_precision(
    rows: pd.DataFrame, scores: np.ndarray[tuple[int], np.dtype[np.float64]], *, top: int = 100
) -> float:
    """Share of frauds among the `top` customers of each day, by their highest score; day's mean.

    rows: customer_id, event_time (UTC) and is_fraud, beside n scores. A customer who was found is
    blocked: their payments of later days no longer count. Ties go to the lower customer id.
    """
    found: set[str] = set()
    precisions = []
    scored = rows.assign(score=scores, day=rows["event_time"].dt.floor("D"))
    for _, day in scored.groupby("day", sort=True):
        cards = _cards(day.loc[~day["customer_id"].isin(found)]).head(top)
        if len(cards):
            precisions.append(float(cards["is_fraud"].mean()))
            found |= set(cards.index[cards["is_fraud"] > 0])
    return float(np.mean(precisions)) if precisions else 0.0


def _cards(payments: pd.DataFrame) -> pd.DataFrame:
    """One row per customer, the most suspicious first."""
    cards = payments.groupby("customer_id").agg(
        score=("score", "max"), is_fraud=("is_fraud", "max")
    )
    return cards.sort_values("score", ascending=False, kind="stable")
