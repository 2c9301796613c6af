"""What a record says of a column is what is in it, and nothing personal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mlops.manifest import QUANTILES
from pipelines.datasets.statistics import (
    Statistics,
    column_statistics,
    describe,
)

_floats = st.floats(-1e6, 1e6, width=32) | st.just(float("nan"))


def column(values: Sequence[object], kind: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, kind)])


@given(arrays.arrays(np.float32, st.integers(1, 50), elements=_floats))
def test_a_distribution_describes_the_values_that_are_there(values: np.ndarray) -> None:
    found, present = describe(values), values[~np.isnan(values)].astype(float)

    assert found.missing == pytest.approx(np.isnan(values).mean())
    if len(present):
        expected = [np.sort(present)[0], np.sort(present)[-1]]
        assert [found.quantiles[0], found.quantiles[-1]] == pytest.approx(expected)
        assert found.mean == pytest.approx(present.sum() / len(present), abs=1e-6)
    assert len(found.quantiles) == len(QUANTILES)


def test_numbers_have_a_distribution_of_those_that_are_there() -> None:
    found = column_statistics(column([1.0, None, 3.0, 3.0]))
    assert found.distribution is not None
    assert (found.missing, found.distinct) == (1, 2)
    assert found.distribution.mean == pytest.approx(7 / 3)
    assert found.distribution.missing == 0.25


def test_infinities_are_counted_and_left_out_of_the_distribution() -> None:
    found = column_statistics(column([1.0, float("inf"), float("-inf")]))
    assert found.distribution is not None
    assert (found.infinite, found.distribution.quantiles[-1]) == (2, 1.0)
    assert Statistics.model_validate_json(found.model_dump_json()) == found


def test_labels_have_a_share_and_counts() -> None:
    found = column_statistics(column([True, False, False, None]))
    assert found.distribution is not None
    assert found.distribution.mean == pytest.approx(1 / 3)
    assert [(f.value, f.rows) for f in found.top] == [(False, 2)]
    assert Statistics.model_validate_json(found.model_dump_json()) == found


def test_texts_have_their_most_frequent_values() -> None:
    found = column_statistics(column(["b", "a", "b", "a", "c", None]))
    assert [(f.value, f.rows) for f in found.top] == [("a", 2), ("b", 2)]
    assert (found.distinct, found.missing, found.distribution) == (3, 1, None)


def test_names_have_no_frequent_values() -> None:
    names = [f"p{n}" for n in range(1_500)]
    assert column_statistics(column([*names, "p1"])).top == ()
    repeated = column_statistics(column([*names, *names, "p1"]))
    assert (repeated.top[0].value, repeated.top[0].rows) == ("p1", 3)


def test_personal_data_is_counted_and_not_quoted() -> None:
    found = column_statistics(column(["c1", "c1", "c2"]), pii=True)
    assert (found.distinct, found.top) == (2, ())


def test_times_have_a_first_and_a_last() -> None:
    times = [datetime(2025, 3, 2, tzinfo=UTC), None, datetime(2025, 3, 1, tzinfo=UTC)]
    found = column_statistics(column(times, pa.timestamp("us", tz="UTC")))
    assert (found.first, found.last) == (times[2], times[0])


def test_a_column_of_nothing_is_all_missing() -> None:
    found = column_statistics(column([None, None], pa.float64()))
    assert found.distribution is not None
    assert (found.missing, found.distinct, found.distribution.missing) == (2, 0, 1.0)
