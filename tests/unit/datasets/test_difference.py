"""What changed from one dataset to another, counted by key and measured by column."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipelines.datasets.difference import category_psi, ks_distance, numeric_psi
from tests.unit.datasets.examples import START, Place, payments


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def build(place: Place, rows: pd.DataFrame) -> str:
    return place.datasets.build("train", service="spend_v1", entities=rows, force=True).reference


def test_the_same_rows_do_not_differ(place: Place) -> None:
    one, other = build(place, payments(30)), build(place, payments(30))
    found = place.datasets.diff(one, other)
    assert (found.identical, found.added, found.removed) == (True, 0, 0)
    assert (found.columns, found.shifts) == ((), ())


def test_a_rebuilt_table_shows_as_changed_values_and_another_generation(place: Place) -> None:
    one = build(place, payments(60))
    place.features.generation = "g0002"
    found = place.datasets.diff(one, build(place, payments(60)))

    changed = {shift.column: shift.changed for shift in found.shifts}
    known = int((payments(60)["customer_id"].str[1:].str.isdigit()).sum())
    assert (found.added, found.removed) == (0, 0)
    assert changed["mean"] == known
    assert changed["count"] == changed["amount"] == 0
    assert found.shifts[0].column in {"mean", "over"}, "the largest shift comes first"
    facts = {pair.what: (pair.first, pair.second) for pair in found.facts}
    assert facts["generations of spend"] == ("g0001", "g0002")


def test_columns_that_came_went_or_changed_are_named(place: Place) -> None:
    one = build(place, payments(10).assign(old=1, kept=1))
    found = place.datasets.diff(one, build(place, payments(10).assign(new=1, kept="1")))
    pairs = {pair.what: (pair.first, pair.second) for pair in found.columns}
    assert pairs == {"old": ("int64", None), "new": (None, "int64"), "kept": ("int64", "string")}


_keys = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["c1", "c2"])), min_size=1, max_size=8
)


@settings(
    max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(_keys, _keys)
def test_rows_are_added_and_removed_as_a_bag_of_keys_says(
    tmp_path: Path, one: list[Any], other: list[Any]
) -> None:
    place = Place(tmp_path)
    first, second = (build(place, _rows(keys)) for keys in (one, other))
    found = place.datasets.diff(first, second)
    assert found.removed == sum((Counter(one) - Counter(other)).values())
    assert found.added == sum((Counter(other) - Counter(one)).values())


def _rows(keys: list[Any]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "event_time": [START.replace(hour=hour) for hour, _ in keys],
            "customer_id": [customer for _, customer in keys],
            "amount": 1.0,
        }
    )


_values = arrays.arrays(np.float64, st.integers(1, 30), elements=st.floats(-9, 9))


@given(_values)
def test_a_distribution_has_not_moved_from_itself(values: np.ndarray) -> None:
    assert numeric_psi(values, values) == pytest.approx(0)
    assert ks_distance(values, values) == 0


@given(_values, _values)
def test_distances_are_what_their_definitions_say(one: np.ndarray, other: np.ndarray) -> None:
    points = np.concatenate([one, other])
    by_hand = max(abs((one <= x).mean() - (other <= x).mean()) for x in points)
    assert ks_distance(one, other) == pytest.approx(by_hand)
    assert ks_distance(other, one) == pytest.approx(by_hand)
    psi = numeric_psi(one, other)
    assert psi is not None
    assert psi >= 0


def test_a_population_apart_is_as_far_as_it_gets() -> None:
    one, other = np.arange(100.0), np.arange(100.0) + 1000
    psi = numeric_psi(one, other)
    assert ks_distance(one, other) == 1.0
    assert psi is not None
    assert psi > 0.25


def test_the_index_of_known_shares_is_the_textbook_s() -> None:
    one = pd.Series(["a"] * 50 + ["b"] * 50)
    other = pd.Series(["a"] * 80 + ["b"] * 20)
    wanted = 0.3 * np.log(0.8 / 0.5) + (-0.3) * np.log(0.2 / 0.5)
    assert category_psi(one, other) == pytest.approx(wanted)


def test_nothing_has_no_distance() -> None:
    empty = np.array([])
    assert ks_distance(empty, np.array([1.0])) is None
    assert numeric_psi(np.array([1.0]), empty) is None
    assert category_psi(pd.Series([], dtype=object), pd.Series(["a"])) is None
