"""How card fraud detection is judged: the protocol of the Fraud Detection Handbook, chapter 3.

Labels arrive late, so the test leaves out the customers whose fraud was known by the morning of
the day; an investigator looks at the same number of cards every day and blocks what she finds.
Source: Le Borgne et al., "Reproducible Machine Learning for Credit Card Fraud Detection" (2022).
"""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

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
    if rows.empty:
        return 0.0
    customers, names = pd.factorize(rows["customer_id"], sort=True)
    days, _ = pd.factorize(rows["event_time"].dt.floor("D"), sort=True)
    cards = days * len(names) + customers
    order = np.argsort(cards, kind="stable")
    starts = np.flatnonzero(np.diff(cards[order], prepend=-1))
    highest = np.maximum.reduceat(scores[order], starts)
    is_fraud = np.maximum.reduceat(rows["is_fraud"].to_numpy(dtype=bool)[order], starts)
    day, customer = np.divmod(cards[order][starts], len(names))
    found = np.zeros(len(names), dtype=bool)
    precisions = []
    for start, end in pairwise([*np.flatnonzero(np.diff(day, prepend=-1)), len(day)]):
        open_ = np.arange(start, end)[~found[customer[start:end]]]
        chosen = open_[np.argsort(-highest[open_], kind="stable")[:top]]
        if len(chosen):
            precisions.append(float(is_fraud[chosen].mean()))
            found[customer[chosen[is_fraud[chosen]]]] = True
    return float(np.mean(precisions))
