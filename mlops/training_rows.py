"""Training rows without Feast: what the offline store is asked, and what becomes of its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mlops.plan import FeaturePlan, Transformation

FEAST_TIME = "event_timestamp"
"""The name under which Feast looks for an entity row's time."""
ROW = "entity_row"
"""The entity row's ordinal, in what the offline store is asked and answers."""
NUMBERS = frozenset({"Float64", "Float32", "Int64", "Int32"})
"""Feast's types that a training row holds as float64, as a model sees them."""


def entity_keys(plan: FeaturePlan, entity_df: pd.DataFrame, times: pd.Series) -> pd.DataFrame:
    """All of the entity rows that leaves this process: ordinals, times, and join keys as text."""
    rows = pd.DataFrame({ROW: np.arange(len(entity_df)), FEAST_TIME: times.array})
    for entity in plan.entities:
        rows[entity.name] = entity_df[entity.name].astype("string").astype(object).array
    return rows


def add_on_demand(
    plan: FeaturePlan,
    result: pd.DataFrame,
    transformations: Mapping[str, Transformation],
    replacing: Mapping[str, pd.Series],
) -> None:
    """Compute the on-demand features of rows that have everything else, and add them.

    replacing: columns to compute with in place of the rows' own, as times in UTC.
    """
    for planned in plan.transformations:
        inputs = {name: _values(replacing.get(name, result[name])) for name in planned.inputs}
        outputs = transformations[planned.name](inputs)
        for field in planned.outputs:
            result[field.name] = pd.array(outputs[field.name], dtype=_dtype(field.dtype))


def _values(column: pd.Series) -> list[Any]:
    """Python values, None where there is none; times as aware datetimes."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return list(pd.DatetimeIndex(column).to_pydatetime())
    return [None if pd.isna(value) else value for value in column.tolist()]


def _dtype(feast_type: str) -> Any:
    return np.dtype("float64") if feast_type in NUMBERS else np.dtype("object")
