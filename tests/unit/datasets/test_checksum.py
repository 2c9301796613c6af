"""A content checksum is that of the rows: not of pieces, files or what lies under a null."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipelines.datasets.checksum import ContentHash, content_sha256

_row = st.fixed_dictionaries(
    {
        "text": st.none() | st.text(max_size=4),
        "number": st.none() | st.floats(allow_nan=False),
        "whole": st.none() | st.integers(-(2**62), 2**62),
        "flag": st.none() | st.booleans(),
        "list": st.none() | st.lists(st.integers(0, 9), max_size=2),
    }
)
_rows = st.lists(_row, min_size=1, max_size=10)
SCHEMA = pa.schema(
    [
        ("text", pa.string()),
        ("number", pa.float64()),
        ("whole", pa.int64()),
        ("flag", pa.bool_()),
        ("list", pa.list_(pa.int64())),
    ]
)


def table(rows: list[Any]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def written(rows: list[Any]) -> list[str]:
    """Values in the columns' order, as texts: 0.0 == -0.0, but their bits differ."""
    return [repr([row[name] for name in SCHEMA.names]) for row in rows]


@given(_rows, st.integers(0, 10))
def test_the_pieces_in_which_rows_come_do_not_matter(rows: list[Any], cut: int) -> None:
    whole, hash_ = table(rows), ContentHash(SCHEMA)
    hash_.update(whole.slice(0, cut))
    hash_.update(whole.slice(cut))
    assert hash_.hexdigest() == content_sha256(whole)


@given(_rows, _rows)
def test_other_rows_have_another_checksum(one: list[Any], other: list[Any]) -> None:
    assume(written(one) != written(other))
    assert content_sha256(table(one)) != content_sha256(table(other))


def test_text_that_moves_between_rows_changes_it() -> None:
    one, other = (pa.table({"t": pa.array(t)}) for t in (["ab", "c"], ["a", "bc"]))
    assert content_sha256(one) != content_sha256(other)


def test_nothing_and_an_empty_text_are_not_the_same() -> None:
    one, other = (pa.table({"t": pa.array(t, pa.string())}) for t in ([None], [""]))
    assert content_sha256(one) != content_sha256(other)


def test_names_and_types_count() -> None:
    ones = [
        pa.table({"a": pa.array([1], pa.int64())}),
        pa.table({"b": pa.array([1], pa.int64())}),
        pa.table({"a": pa.array([1], pa.int32())}),
    ]
    assert len({content_sha256(one) for one in ones}) == 3


def test_what_lies_under_a_null_does_not_count() -> None:
    mask = np.array([False, True])
    one, other = (
        pa.table({"n": pa.array(np.array([1.0, hidden]), mask=mask)}) for hidden in (2.0, 3.0)
    )
    assert content_sha256(one) == content_sha256(other)


def test_rows_of_other_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="rows of"):
        ContentHash(SCHEMA).update(pa.table({"a": [1]}))
