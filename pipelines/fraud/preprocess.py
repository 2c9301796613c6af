"""The preprocess job of the fraud model: payments, split by the handbook's protocol."""

from __future__ import annotations

import pandas as pd

from mlops.athena import Athena
from mlops.errors import InputError
from pipelines.data.schema import TABLE
from pipelines.fraud.protocol import drop_known_compromised
from pipelines.fraud.settings import DEFAULTS
from pipelines.training.settings import Windows
from pipelines.training.steps.preprocess import Rows, Split, main

MAX_WITHOUT_HISTORY = 0.05
"""Share of payments whose customer or terminal may be new; above, the tables are not built."""
_FEATURES = [column.name for column in DEFAULTS.inputs if column.origin == "feature"]


def load(athena: Athena, windows: Windows) -> pd.DataFrame:
    """Payments from the first day of training to the last of the test, in a fixed order."""
    sql = f"""
SELECT payment_id, event_time, customer_id, terminal_id, CAST(amount AS double) AS amount, is_fraud
FROM {TABLE}
WHERE "day" >= '{windows.train.start:%Y-%m-%d}' AND "day" < '{windows.test.end:%Y-%m-%d}'
"""  # noqa: S608  # dates of our own
    rows: pd.DataFrame = athena.table(sql).to_pandas()
    rows["event_time"] = pd.to_datetime(rows["event_time"], utc=True)
    return rows.sort_values(["event_time", "payment_id"], ignore_index=True)


def split(payments: pd.DataFrame, windows: Windows) -> Split:
    """By time, with the test free of customers whose fraud was known by then."""
    times = payments["event_time"]
    train = payments[times.between(windows.train.start, windows.train.end, inclusive="left")]
    test = payments[times.between(windows.test.start, windows.test.end, inclusive="left")]
    return Split(train, drop_known_compromised(test, payments[payments["is_fraud"]], windows))


def complete(rows: pd.DataFrame) -> pd.DataFrame:
    """A customer or terminal without a snapshot had no payments: its windows are empty, so 0.

    Raises InputError when that is true of so many that the tables must be missing days.
    """
    for table, column in (("customer_spend", _FEATURES[0]), ("terminal_risk", _FEATURES[-1])):
        missing = rows["event_time"][rows[column].isna()]
        if len(missing) > MAX_WITHOUT_HISTORY * len(rows):
            raise InputError(
                f"{len(missing)} of {len(rows)} payments have no '{table}' features, the first at "
                f"{missing.min():%Y-%m-%d}, the last at {missing.max():%Y-%m-%d}. "
                f"Run 'mlops features build {table}' over these days."
            )
    return rows.fillna(dict.fromkeys(_FEATURES, 0.0))


if __name__ == "__main__":
    main(Rows(load=load, split=split, complete=complete, label="is_fraud"))
