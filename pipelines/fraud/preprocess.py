"""The preprocess job of the fraud model: payments, split by the handbook's protocol."""

from __future__ import annotations

import pandas as pd

from mlops.athena import Athena
from pipelines.data.schema import TABLE
from pipelines.fraud.protocol import drop_known_compromised
from pipelines.fraud.settings import DEFAULTS
from pipelines.training.rows import by_time, labelled_rows, require_known
from pipelines.training.settings import Windows
from pipelines.training.steps.preprocess import Rows, Split, main

MAX_WITHOUT_HISTORY = 0.05
"""Share of payments whose customer or terminal may be new; above, the tables are not built."""


def load(athena: Athena, windows: Windows) -> pd.DataFrame:
    """Payments from the first day of training to the last of the test, in a fixed order."""
    sql = f"""
SELECT payment_id, event_time, customer_id, terminal_id, CAST(amount AS double) AS amount, is_fraud
FROM {TABLE}
WHERE "day" >= '{windows.train.start:%Y-%m-%d}' AND "day" < '{windows.test.end:%Y-%m-%d}'
"""  # noqa: S608  # dates of our own
    return labelled_rows(athena, sql, key="payment_id")


def split(payments: pd.DataFrame, windows: Windows) -> Split:
    """By time, with the test free of customers whose fraud was known by then."""
    train, test = by_time(payments, windows)
    return Split(train, drop_known_compromised(test, payments[payments["is_fraud"]], windows))


def complete(rows: pd.DataFrame) -> pd.DataFrame:
    """A customer or terminal without a snapshot had no payments: its windows are empty, so 0.

    Raises InputError when that is true of so many that the tables must be missing days.
    """
    require_known(
        rows,
        DEFAULTS.inputs,
        most=MAX_WITHOUT_HISTORY,
        noun="payments",
        remedy="Run 'mlops features build {view}' over these days.",
    )
    features = [column.name for column in DEFAULTS.inputs if column.origin == "feature"]
    return rows.fillna(dict.fromkeys(features, 0.0))


if __name__ == "__main__":
    main(Rows(load=load, split=split, complete=complete, label="is_fraud"))
