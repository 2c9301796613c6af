"""The preprocess job of the loan default model: loans, split by when they were applied for."""

from __future__ import annotations

import pandas as pd

from mlops.athena import Athena
from pipelines.credit.settings import DEFAULTS
from pipelines.training.rows import by_time, labelled_rows, require_known
from pipelines.training.settings import Windows
from pipelines.training.steps.preprocess import Rows, Split, main

MAX_UNKNOWN = 0.2
"""Share of loans whose borrower or zip code may be unknown; above, a table is not loaded."""


def load(athena: Athena, windows: Windows) -> pd.DataFrame:
    """Loans from the first day of training to the last of the test, in a fixed order."""
    sql = f"""
SELECT loan_id, event_timestamp AS event_time, dob_ssn, zipcode, person_age, person_income,
  person_home_ownership, person_emp_length, loan_intent, loan_amnt, loan_int_rate,
  loan_status AS defaulted
FROM loans
WHERE event_timestamp >= TIMESTAMP '{windows.train.start:%Y-%m-%d}'
  AND event_timestamp < TIMESTAMP '{windows.test.end:%Y-%m-%d}'
"""  # noqa: S608  # dates of our own
    return labelled_rows(athena, sql, key="loan_id")


def split(loans: pd.DataFrame, windows: Windows) -> Split:
    return Split(*by_time(loans, windows))


def complete(rows: pd.DataFrame) -> pd.DataFrame:
    """Unknown stays unknown, unless it is true of so many that a table must be missing."""
    require_known(
        rows,
        DEFAULTS.inputs,
        most=MAX_UNKNOWN,
        noun="loans",
        remedy="Load the table of that view: 'mlops data load'.",
    )
    return rows


if __name__ == "__main__":
    main(Rows(load=load, split=split, complete=complete, label="defaulted"))
