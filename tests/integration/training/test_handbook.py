"""The Fraud Detection Handbook's protocol on its own payments, beside what it published."""

from __future__ import annotations

import os
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.fraud.evaluate import measure
from pipelines.fraud.preprocess import split
from pipelines.fraud.settings import DEFAULTS
from pipelines.fraud.train import fit
from pipelines.training.dataset import Matrix, to_matrix
from pipelines.training.graph import to_graph
from pipelines.training.metrics import largest_difference
from pipelines.training.native import native_scores
from pipelines.training.settings import with_overrides
from pipelines.training.steps.preprocess import Split

_FILE = Path(os.environ.get("MLOPS_SHARED_DATA", "../shared/data")).joinpath(
    "fraud_handbook", "transactions_raw.parquet"
)
pytestmark = [
    pytest.mark.skipif(
        not _FILE.exists(), reason=f"needs {_FILE}: set MLOPS_SHARED_DATA to the published data"
    ),
    pytest.mark.xdist_group("handbook-metrics"),
]
_NAMES = {
    "TRANSACTION_ID": "payment_id",
    "TX_DATETIME": "event_time",
    "CUSTOMER_ID": "customer_id",
    "TERMINAL_ID": "terminal_id",
    "TX_AMOUNT": "amount",
    "TX_FRAUD": "is_fraud",
}
_WINDOWS = with_overrides(DEFAULTS, {"test_end": "2018-08-15"}).windows(date(2018, 9, 1))


def _history(payments: pd.DataFrame, key: str, value: str, delay: int) -> dict[int, pd.DataFrame]:
    """Number and mean of the days before each day, by window: rows per key and day."""
    days = pd.date_range("2018-04-01", "2018-09-30", tz="UTC")
    daily = payments.groupby([key, payments["event_time"].dt.floor("D")])[value].agg(
        ["size", "sum"]
    )
    table: Any = daily.unstack(fill_value=0)
    table = table.reindex(columns=days, level=1, fill_value=0)
    found = {}
    for window in (1, 7, 30):
        totals = {}
        for what in ("size", "sum"):
            sums = table[what].T.rolling(window, min_periods=1).sum().shift(1 + delay).T
            totals[what] = sums.stack()
        frame = pd.DataFrame(totals)
        frame["mean"] = (frame["sum"] / frame["size"]).fillna(0.0)
        found[window] = frame
    return found


def _with_features(rows: pd.DataFrame, payments: pd.DataFrame) -> pd.DataFrame:
    """Daily snapshots by pandas, independent of the SQL that the platform builds them with."""
    found = rows.copy()
    for key, value, delay, count, mean in (
        ("customer_id", "amount", 0, "customer_count", "customer_mean_amount"),
        ("terminal_id", "is_fraud", 7, "terminal_count", "terminal_fraud_share"),
    ):
        for window, history in _history(payments, key, value, delay).items():
            index = pd.MultiIndex.from_arrays([rows[key], rows["event_time"].dt.floor("D")])
            values = history.reindex(index).fillna(0.0)
            found[f"{count}_{window}d"] = values["size"].to_numpy()
            found[f"{mean}_{window}d"] = values["mean"].to_numpy()
    usual = found["customer_mean_amount_30d"]
    found["amount_over_mean"] = (found["amount"] / usual.where(usual > 0)).fillna(0.0)
    found["is_night"] = (found["event_time"].dt.hour <= 6).astype(int)
    found["is_weekend"] = (found["event_time"].dt.weekday >= 5).astype(int)
    return found


@pytest.fixture(scope="module")
def payments() -> pd.DataFrame:
    rows = pd.read_parquet(_FILE, columns=list(_NAMES)).rename(columns=_NAMES)
    rows["event_time"] = pd.to_datetime(rows["event_time"], utc=True)
    rows["is_fraud"] = rows["is_fraud"].astype(bool)
    return rows


@pytest.fixture(scope="module")
def rows(payments: pd.DataFrame) -> Split:
    inside = payments["event_time"].between(
        _WINDOWS.train.start, _WINDOWS.test.end, inclusive="left"
    )
    chosen = split(payments[inside], _WINDOWS)
    seen = payments[payments["event_time"] < _WINDOWS.test.end]
    return Split(_with_features(chosen.train, seen), _with_features(chosen.test, seen))


def test_the_windows_hold_the_published_rows_and_frauds(rows: Split) -> None:
    assert (len(rows.train), int(rows.train["is_fraud"].sum())) == (67_240, 598)
    assert (len(rows.test), int(rows.test["is_fraud"].sum())) == (58_264, 385)
    assert _WINDOWS.test.start - _WINDOWS.train.end == timedelta(days=7)


def _matrices(rows: Split) -> tuple[Matrix, Matrix]:
    return to_matrix(rows.train, DEFAULTS.inputs), to_matrix(rows.test, DEFAULTS.inputs)


@pytest.mark.parametrize("algorithm", list(DEFAULTS.algorithms))
def test_every_algorithm_reaches_the_thresholds_and_exports_exactly(
    rows: Split, algorithm: str
) -> None:
    train, test = _matrices(rows)
    labels: Any = rows.train["is_fraud"].to_numpy(dtype=np.int64)
    model = fit(train, labels, algorithm=algorithm, hyperparameters={}, seed=DEFAULTS.seed)
    scores = native_scores(model, test)

    metrics = measure(rows.test, scores)

    short = {
        name: metrics[name] for name, low in DEFAULTS.thresholds.items() if metrics[name] < low
    }
    assert not short
    graph = to_graph(model, width=test.shape[1], name="fraud")
    assert largest_difference(graph.scores(test), scores) <= 1e-6
