from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from mlops.errors import InputError
from pipelines.fraud.preprocess import complete, load, split
from pipelines.fraud.settings import DEFAULTS
from pipelines.training.settings import with_overrides

_WINDOWS = with_overrides(DEFAULTS, {"test_end": "2018-08-15"}).windows(date(2018, 9, 1))


class _Athena:
    """Answers with rows in no order, as UNLOAD does, and keeps what it was asked."""

    asked = ""

    def table(self, sql: str) -> pa.Table:
        self.asked = sql
        times = pd.to_datetime(["2018-08-09 10:00", "2018-07-25 00:00", "2018-07-25 00:00"])
        return pa.table({"payment_id": ["3", "2", "1"], "event_time": times.to_numpy()})


def test_payments_are_asked_for_by_their_days_and_come_in_a_fixed_order() -> None:
    athena: Any = _Athena()

    rows = load(athena, _WINDOWS)

    assert "\"day\" >= '2018-07-25' AND \"day\" < '2018-08-15'" in athena.asked
    assert rows["payment_id"].tolist() == ["1", "2", "3"]
    assert str(rows["event_time"].dt.tz) == "UTC"


def _payments(*rows: tuple[str, str, bool]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "customer_id": [customer for customer, _, _ in rows],
            "event_time": pd.to_datetime([time for _, time, _ in rows], utc=True),
            "is_fraud": [fraud for _, _, fraud in rows],
        }
    )


def test_the_split_leaves_out_the_gap_and_the_customers_known_to_be_compromised() -> None:
    payments = _payments(
        ("trained", "2018-07-25T00:00:00", True),
        ("trained", "2018-07-31T23:59:59", False),
        ("gap", "2018-08-01T00:00:00", True),
        ("trained", "2018-08-08T00:00:00", False),
        ("gap", "2018-08-08T12:00:00", False),
        ("gap", "2018-08-09T00:00:00", False),
        ("late", "2018-08-14T23:59:59", True),
        ("late", "2018-08-15T00:00:00", True),
    )

    found = split(payments, _WINDOWS)

    assert found.train.index.tolist() == [0, 1]
    assert found.test.index.tolist() == [4, 6]


def _joined(rows: int, *, missing: int) -> pd.DataFrame:
    names = [column.name for column in DEFAULTS.inputs]
    frame = pd.DataFrame(dict.fromkeys(names, 1.0), index=range(rows))
    frame.loc[: missing - 1, [n for n in names if n.startswith("customer_")]] = None
    return frame.assign(event_time=pd.to_datetime("2018-08-08", utc=True))


def test_a_customer_without_history_has_empty_windows() -> None:
    rows = complete(_joined(100, missing=2))

    assert rows["customer_count_7d"].tolist()[:3] == [0.0, 0.0, 1.0]


def test_many_without_history_mean_that_days_are_not_built() -> None:
    with pytest.raises(
        InputError, match=r"6 of 100 payments have no 'customer_spend'.*mlops features build"
    ):
        complete(_joined(100, missing=6))
