"""What models do with their rows before they are split and after features came to them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mlops.athena import Athena
from mlops.errors import InputError
from mlops.manifest import ModelInput, Window
from pipelines.training.settings import Windows


def labelled_rows(athena: Athena, sql: str, *, key: str) -> pd.DataFrame:
    """A query's rows in a fixed order, with `event_time` in UTC. key: what tells rows apart."""
    rows: pd.DataFrame = athena.table(sql).to_pandas()
    rows["event_time"] = pd.to_datetime(rows["event_time"], utc=True)
    return rows.sort_values(["event_time", key], ignore_index=True)


def within(rows: pd.DataFrame, window: Window) -> pd.DataFrame:
    """The rows whose `event_time` lies in the window."""
    found: pd.DataFrame = rows[
        rows["event_time"].between(window.start, window.end, inclusive="left")
    ]
    return found


def by_time(rows: pd.DataFrame, windows: Windows) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and test rows; what lies in the gap between is left out."""
    return within(rows, windows.train), within(rows, windows.test)


def require_known(
    rows: pd.DataFrame, inputs: Sequence[ModelInput], *, most: float, noun: str, remedy: str
) -> None:
    """Raises InputError when more than a share `most` of the rows lack a view's features.

    Then its table must be missing days. remedy: how to get them, with '{view}' to be filled in.
    """
    views = {c.source.partition(":")[0]: c.name for c in inputs if c.origin == "feature"}
    for view, column in views.items():
        missing = rows["event_time"][rows[column].isna()]
        if len(missing) > most * len(rows):
            raise InputError(
                f"{len(missing)} of {len(rows)} {noun} have no '{view}' features, the first at "
                f"{missing.min():%Y-%m-%d}, the last at {missing.max():%Y-%m-%d}. "
                f"{remedy.format(view=view)}"
            )
