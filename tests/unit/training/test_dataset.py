from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlops.errors import InputError
from mlops.manifest import ModelInput
from pipelines.training.dataset import to_matrix


def _input(name: str, on_missing: str = "refuse", default: float | None = None) -> ModelInput:
    return ModelInput.model_validate(
        {
            "name": name,
            "origin": "feature",
            "source": f"v:{name}",
            "on_missing": on_missing,
            "default": default,
        }
    )


def test_the_matrix_has_the_inputs_order_and_float32() -> None:
    rows = pd.DataFrame({"a": [1, 2], "b": [0.1, 0.2], "other": ["x", "y"]})

    matrix = to_matrix(rows, [_input("b"), _input("a")])

    assert matrix.dtype == np.float32
    assert matrix.tolist() == [[np.float32(0.1), 1.0], [np.float32(0.2), 2.0]]


def test_missing_values_are_filled_as_serving_does() -> None:
    rows = pd.DataFrame({"a": [None, 2.0], "b": [None, 3.0]})

    matrix = to_matrix(rows, [_input("a", "default", 7.0), _input("b", "null")])

    assert matrix[0][0] == 7.0
    assert np.isnan(matrix[0][1])


def test_a_missing_value_that_serving_refuses_is_refused_here_too() -> None:
    with pytest.raises(InputError, match="1 of 2 rows have no 'a'"):
        to_matrix(pd.DataFrame({"a": [None, 2.0]}), [_input("a")])


def test_columns_that_are_missing_are_all_named() -> None:
    with pytest.raises(InputError, match="no column a, b"):
        to_matrix(pd.DataFrame({"c": [1.0]}), [_input("a"), _input("b"), _input("c")])
