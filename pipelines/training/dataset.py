"""A training set: rows with labels and features, and the matrix that a model sees of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from mlops.errors import InputError
from mlops.manifest import ModelInput

ROWS = "rows.parquet"
DATASET = "dataset.json"

Matrix = NDArray[np.float32]


class DatasetCard(BaseModel):
    """From what a training set was made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    """'name@version' of the dataset that holds its rows."""
    feature_service: str
    plan_sha256: str
    data_snapshot: str
    train_rows: int
    train_positives: int
    test_rows: int
    test_positives: int
    inputs_sha256: str = ""
    """Of the model's inputs: which columns it sees of the rows, and what a missing value is."""


def write_rows(rows: pd.DataFrame, folder: Path) -> None:
    rows.to_parquet(folder / ROWS, index=False)


def read_rows(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / ROWS)


def rows_sha256(rows: pd.DataFrame) -> str:
    """The same columns and values, in the same order, give the same hash."""
    values = pd.util.hash_pandas_object(rows, index=False).to_numpy()
    return hashlib.sha256(",".join(rows.columns).encode() + values.tobytes()).hexdigest()


def to_matrix(rows: pd.DataFrame, inputs: Sequence[ModelInput]) -> Matrix:
    """The model's columns in its order, as serving would fill them: float32 [n, len(inputs)].

    Raises InputError when a column is missing, or a value that serving would refuse to do without.
    """
    absent = [column.name for column in inputs if column.name not in rows]
    if absent:
        raise InputError(
            f"The training set has no column {', '.join(absent)}. Add it to the feature service, "
            "apply, and run again."
        )
    columns = [_column(rows[column.name], column) for column in inputs]
    return np.column_stack(columns).astype(np.float32)


def _column(values: pd.Series[float], column: ModelInput) -> NDArray[np.float64]:
    filled = values.astype("float64")
    if column.on_missing == "default":
        filled = filled.fillna(column.default)
    elif column.on_missing == "refuse" and (missing := int(filled.isna().sum())):
        raise InputError(
            f"{missing} of {len(filled)} rows have no '{column.name}', which serving refuses to do "
            "without. Fill it in preprocess, or give the input a default."
        )
    return np.asarray(filled, dtype=np.float64)
