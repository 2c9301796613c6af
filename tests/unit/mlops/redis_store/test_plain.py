"""Plain rows are read without a look at each value, and what is read is the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.stores.online import FeatureStatus
from mlops.stores.redis.decoding import ViewColumns, ViewDecoder
from mlops.stores.redis.encoding import pack_rows, pack_tombstones, values_cells
from mlops.stores.redis.plain import FEW
from mlops.stores.redis.schema import HEADER, Schema, build_schema
from tests.online_rows import VALUES, fields

NOW = 1_533_686_400_000_000
COUNTS = [1, 2, FEW - 1, FEW, 40]
TYPES = {"a": "Float64", "b": "Float64", "flag": "Bool", "n": "Int64", "i": "Int32", "s": "Float32"}
SCHEMA = build_schema("v", fields(**TYPES))

pytestmark = pytest.mark.hypothesis


def pack(schema: Schema, columns: list[list[Any]], event: int = NOW) -> list[Any]:
    cells = [values_cells(c, values) for c, values in zip(schema.columns, columns, strict=True)]
    times = np.full(len(columns[0]), event)
    return list(pack_rows(schema, cells, times, times + 1))


def good(count: int) -> list[Any]:
    values = {"Float64": 1.5, "Bool": True, "Int64": -(2**60), "Int32": 7, "Float32": 0.25}
    return pack(SCHEMA, [[values[dtype]] * count for dtype in TYPES.values()])


def decoder(schema: Schema = SCHEMA, **wanted: str) -> ViewDecoder:
    return ViewDecoder(tuple(fields(**wanted or TYPES)), {schema.tag: schema})


def listed(found: ViewColumns) -> tuple[Any, ...]:
    values = [v.tolist() if isinstance(v, np.ndarray) else v for v in found.values]
    return found.features, list(found.statuses), [int(e) for e in found.events], values


@st.composite
def numbers(draw: st.DrawFn) -> tuple[dict[str, str], list[list[Any]]]:
    kinds = ["Bool", "Int32", "Int64", "Float32", "Float64"]
    types = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=8))
    count = draw(st.sampled_from(COUNTS))
    columns = [draw(st.lists(VALUES[t], min_size=count, max_size=count)) for t in types]
    return {f"f{place}": dtype for place, dtype in enumerate(types)}, columns


@given(numbers(), st.data())
def test_plain_rows_are_read_as_the_careful_way_reads_them(
    table: tuple[dict[str, str], list[list[Any]]], data: st.DataObject
) -> None:
    types, columns = table
    schema = build_schema("v", fields(**types))
    chosen = data.draw(st.lists(st.sampled_from(sorted(types)), min_size=1, unique=True))
    reading, rows = decoder(schema, **{name: types[name] for name in chosen}), pack(schema, columns)
    found = reading.decode_plain(rows, NOW)
    if found is not None:
        assert listed(found) == listed(reading.decode(rows, NOW))


@pytest.mark.parametrize("count", COUNTS)
def test_numbers_of_both_floating_types_come_in_the_order_in_which_they_are_wanted(
    count: int,
) -> None:
    schema = build_schema("v", fields(a="Float64", b="Float32", c="Float64"))
    rows = pack(schema, [[1.0] * count, [2.0] * count, [3.0] * count])
    found = decoder(schema, a="Float64", b="Float32", c="Float64").decode_plain(rows, NOW)
    assert found is not None
    assert listed(found)[3] == [[1.0] * count, [2.0] * count, [3.0] * count]


@pytest.mark.parametrize("count", COUNTS)
def test_usual_rows_are_plain(count: int) -> None:
    found = decoder().decode_plain(good(count), NOW)
    assert found is not None
    assert listed(found) == listed(decoder().decode(good(count), NOW))
    assert isinstance(found.values[0], np.ndarray) == (count >= FEW)


_ODD = {
    "absent": None,
    "empty": b"",
    "cut off": good(1)[0][:-1],
    "longer": good(1)[0] + b"x",
    "deleted": pack_tombstones(np.array([NOW]), np.array([NOW]))[0],
    "outdated": pack(SCHEMA, [[1.0], [1.0], [True], [1], [1], [1.0]], event=NOW - 1)[0],
    "with a null": pack(SCHEMA, [[1.0], [None], [True], [1], [1], [1.0]])[0],
    "with NaN": pack(SCHEMA, [[float("nan")], [1.0], [True], [1], [1], [1.0]])[0],
    "with an infinity": pack(SCHEMA, [[1.0], [1.0], [True], [1], [1], [float("-inf")]])[0],
    "of another schema": b"\x01abcd" + good(1)[0][5:],
}


@pytest.mark.parametrize("name", _ODD)
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("place", [0, -1])
def test_one_odd_row_makes_none_of_them_plain(name: str, count: int, place: int) -> None:
    rows = good(count)
    rows[place] = _ODD[name]
    assert decoder().decode_plain(rows, NOW) is None
    assert decoder().decode(rows, NOW).is_plain is False


def test_infinities_that_cancel_each_other_are_not_plain() -> None:
    inf = float("inf")
    for count in COUNTS:
        rows = pack(SCHEMA, [[v] * count for v in (inf, -inf, True, 1, 1, 1.0)])
        assert decoder().decode_plain(rows, NOW) is None


def test_what_is_wanted_in_another_type_or_beside_texts_is_not_plain() -> None:
    assert decoder(a="Float32").decode_plain(good(1), NOW) is None
    assert decoder(new="Float64").decode_plain(good(1), NOW) is None
    texts = build_schema("v", fields(a="Float64", text="String"))
    assert decoder(texts, a="Float64").decode_plain(pack(texts, [[1.0], ["x"]]), NOW) is None
    times = build_schema("v", fields(at="UnixTimestamp"))
    assert decoder(times, at="UnixTimestamp").decode_plain(pack(times, [[1]]), NOW) is None


def test_a_plain_row_is_present() -> None:
    found = decoder(n="Int64").decode_plain(good(2), NOW)
    assert found is not None
    assert found.is_plain
    assert found.statuses == [FeatureStatus.PRESENT] * 2
    assert found.events == [NOW, NOW]
    assert HEADER.unpack_from(good(1)[0])[2] == NOW
