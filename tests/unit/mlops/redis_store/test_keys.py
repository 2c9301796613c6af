"""Two entities never share a key, and no project's or view's keys begin like another's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.errors import InputError, Refused
from mlops.stores.redis.arrow import row_keys
from mlops.stores.redis.keys import EntityKeys, entity_keys, key_prefix, scan_pattern
from tests.online_rows import fields

NAMES = st.text(min_size=1, max_size=8)
pytestmark = pytest.mark.hypothesis


def customer(**types: str) -> EntityKeys:
    return entity_keys("shop", fields(**(types or {"customer_id": "String"})))


def test_a_key_can_be_read() -> None:
    assert customer().key({"customer_id": "c-1"}) == b"fs:shop:customer_id:c-1"


def test_keys_that_join_to_the_same_text_differ() -> None:
    pair = customer(a="String", b="String")
    assert pair.key({"a": "1", "b": "23"}) != pair.key({"a": "12", "b": "3"})


@given(st.tuples(NAMES, NAMES), st.tuples(NAMES, NAMES))
def test_the_keys_of_two_projects_or_join_keys_never_begin_alike(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    first, second = key_prefix(one[0], [one[1]]), key_prefix(other[0], [other[1]])
    assert first.startswith(second) == (one == other)


@given(st.lists(st.tuples(st.text(), st.integers(-(2**63), 2**63 - 1), st.binary()), unique=True))
def test_every_composite_key_is_its_own_and_says_its_values(
    entities: list[tuple[str, int, bytes]],
) -> None:
    keys = customer(name="String", number="Int64", raw="Bytes")
    made = [keys.key(dict(zip(("name", "number", "raw"), e, strict=True))) for e in entities]
    assert len(set(made)) == len(entities)
    assert [keys.values(key) for key in made] == entities


@given(st.lists(st.tuples(st.text(), st.integers(-(2**31), 2**31 - 1)), min_size=1))
def test_columns_give_the_keys_that_rows_give(rows: list[tuple[str, int]]) -> None:
    keys = customer(name="String", number="Int32")
    columns = {"name": pa.array([r[0] for r in rows]), "number": pa.array([r[1] for r in rows])}
    wanted = [keys.key({"name": name, "number": number}) for name, number in rows]
    assert row_keys(keys, pa.record_batch(columns)) == wanted


def test_join_keys_may_come_in_any_order() -> None:
    one, other = customer(a="String", b="Int64"), customer(b="Int64", a="String")
    assert one == other


def test_an_id_that_is_retyped_to_a_wider_number_keeps_its_key() -> None:
    row = {"n": 7}
    assert customer(n="Int32").key(row) == customer(n="Int64").key(row)


def test_times_are_known_by_their_seconds() -> None:
    keys = customer(at="UnixTimestamp")
    at = datetime(2018, 8, 8, tzinfo=UTC)
    batch = pa.record_batch({"at": pa.array([at], pa.timestamp("us", "UTC"))})
    assert row_keys(keys, batch) == [b"fs:shop:at:1533686400"]


def test_a_row_without_a_value_has_no_key() -> None:
    assert row_keys(customer(), pa.record_batch({"customer_id": ["a", None]}))[1] is None


@pytest.mark.parametrize("value", [5, None, b"x", 1.5, True])
def test_a_value_of_another_type_is_refused_with_the_join_keys_name(value: Any) -> None:
    with pytest.raises(InputError, match=r"'customer_id' must be text"):
        customer().key({"customer_id": value})


@pytest.mark.parametrize("value", [True, 2**31, "5"])
def test_a_number_beyond_its_type_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match=r"'n' must be a whole number of 32 bits"):
        customer(n="Int32").key({"n": value})


@pytest.mark.parametrize(
    "column", [pa.array([1]), pa.array([b"x"]), pa.array([1.0]), pa.array([None], pa.null())]
)
def test_a_column_of_another_type_is_refused_with_the_join_keys_name(column: Any) -> None:
    with pytest.raises(InputError, match="'customer_id' must be text"):
        row_keys(customer(), pa.record_batch({"customer_id": column}))


def test_a_column_of_numbers_beyond_the_type_is_refused() -> None:
    with pytest.raises(InputError, match="'n' is Int32"):
        row_keys(customer(n="Int32"), pa.record_batch({"n": [1, 2**31]}))


def test_a_missing_join_key_is_named() -> None:
    with pytest.raises(InputError, match="'customer_id'"):
        customer().key({"other": "x"})
    with pytest.raises(InputError, match="'customer_id'"):
        row_keys(customer(), pa.record_batch({"other": ["x"]}))


def test_a_type_that_cannot_be_a_key_is_refused() -> None:
    with pytest.raises(Refused, match=r"score \(Float64\)"):
        customer(score="Float64")


def test_a_pattern_takes_its_text_as_it_is() -> None:
    assert scan_pattern(b"fs:a*[b]?:") == rb"fs:a\*\[b\]\?:*"


def test_a_foreign_key_says_no_values() -> None:
    with pytest.raises(ValueError, match="does not begin"):
        customer().values(b"fs:shop2:customer_id:x")
    with pytest.raises(ValueError, match="length"):
        customer(a="String", b="String").values(b"fs:shop:a,b:x")
