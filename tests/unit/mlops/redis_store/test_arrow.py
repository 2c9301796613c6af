"""Arrow columns become the rows that Feast's messages of the same values become."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feast.type_map import feast_value_type_to_python_type as python
from feast.type_map import python_values_to_proto_values
from feast.types import (
    Array,
    Bool,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    Map,
    ScalarMap,
    String,
    Struct,
    UnixTimestamp,
    Uuid,
    ZonedTimestamp,
)
from feast.types import Bytes as FeastBytes
from feast.types import Decimal as FeastDecimal
from feast.types import Set as FeastSet

from mlops.errors import InputError
from mlops.stores.redis.arrow import column_cells, created_times, event_times
from mlops.stores.redis.encoding import pack_rows
from mlops.stores.redis.schema import NO_CREATED, build_schema
from mlops.stores.redis.values import message_cells, messages
from tests.online_rows import fields

UUID = "7b0a3c1e-0000-4000-8000-000000000001"
AT = datetime(2018, 8, 8, 1, 2, 3, 987654, UTC)
CASES: list[tuple[Any, Any]] = [
    (Bool, pa.array([True, None, False])),
    (Int32, pa.array([1, None, -(2**31)], pa.int32())),
    (Int64, pa.array([2**53 + 1, 7, -1], pa.int64())),
    (Int64, pa.array([1, 2, 3], pa.int8())),
    (Float32, pa.array([0.1, None, -2.5], pa.float32())),
    (Float64, pa.array([0.1, float("nan"), float("inf")])),
    (Float64, pa.array([1, 2, 3])),
    (UnixTimestamp, pa.array([AT, None, AT], pa.timestamp("us", "UTC"))),
    (String, pa.array(["서울", None, ""])),
    (String, pa.array(["서울", None, ""], pa.large_string())),
    (FeastBytes, pa.array([b"\x00\xff", None, b"x"])),
    (Json, pa.array(['{"a":1}', None, "[]"])),
    (Uuid, pa.array([UUID, None, UUID])),
    (FeastDecimal, pa.array(["1.50", None, "-2"])),
    (ZonedTimestamp, pa.array([AT, None, AT], pa.timestamp("us", "UTC"))),
    (Array(Float64), pa.array([[1.5, 2.5], None, []])),
    (Array(Float32), pa.array([[1.5], None, [2.5]], pa.list_(pa.float32(), 1))),
    (Array(Int32), pa.array([[1, 2], None, [3, 4, 5]], pa.list_(pa.int32()))),
    (Array(Int64), pa.array([[2**40], None, []], pa.large_list(pa.int64()))),
    (Array(Bool), pa.array([[True, False], None, [True]])),
    (Array(UnixTimestamp), pa.array([[AT], None, [AT, AT]], pa.list_(pa.timestamp("us", "UTC")))),
    (Array(String), pa.array([["a", "서울"], None, ["", "b"]])),
    (Array(FeastBytes), pa.array([[b"a"], None, [b"", b"b"]])),
    (FeastSet(Int64), pa.array([[3, 1], None, [2]])),
    (Map, pa.array([[("a", "1")], None, [("b", None)]], pa.map_(pa.string(), pa.string()))),
    (Struct({"a": Int64}), pa.array([{"a": 1}, None, {"a": 2}])),
    (Array(Struct({"a": Int64})), pa.array([[{"a": 1}], None, [{"a": 2}, {"a": 3}]])),
    (Array(Array(Int64)), pa.array([[[1, 2], [3]], None, [[4]]])),
]


def rows(dtype: Any, cells: Any, size: int) -> list[bytes]:
    times = np.zeros(size, np.int64)
    return pack_rows(build_schema("v", fields(f=str(dtype))), [cells], times, times)


def by_feast(dtype: Any, array: Any) -> list[Any]:
    """The messages that Feast makes when it materializes this column."""
    values = array.to_numpy(zero_copy_only=False)
    if isinstance(array, pa.MapArray):
        values = [None if value is None else dict(value) for value in array.to_pylist()]
    elif pa.types.is_list(array.type) and pa.types.is_list(array.type.value_type):
        values = array.to_pylist()
    if isinstance(dtype, FeastSet):
        values = [None if value is None else value.tolist() for value in values]
    if dtype == ZonedTimestamp:
        values = array.to_pylist()
    found: list[Any] = python_values_to_proto_values(values, dtype.to_value_type())
    return found


@pytest.mark.parametrize(("dtype", "array"), CASES, ids=[f"{d}-{a.type}" for d, a in CASES])
@pytest.mark.parametrize("start", [0, 1])
def test_a_column_is_packed_as_feasts_messages_are(dtype: Any, array: Any, start: int) -> None:
    array = array.slice(start)
    (column,) = build_schema("v", fields(f=str(dtype))).columns
    ours = rows(dtype, column_cells(column, pa.record_batch({"f": array})), len(array))
    theirs = rows(dtype, message_cells(column, by_feast(dtype, array)), len(array))
    if isinstance(dtype, FeastSet):  # Feast's sets come in any order
        assert [sorted(row) for row in ours] == [sorted(row) for row in theirs]
    else:
        assert ours == theirs


def test_a_scalar_map_is_packed_as_feast_takes_it() -> None:
    (column,) = build_schema("v", fields(f="ScalarMap")).columns
    found = python_values_to_proto_values([{1: "a", 2: None}], ScalarMap.to_value_type())
    (row,) = rows(ScalarMap, message_cells(column, found), 1)
    assert row.endswith(b"a\x04\x02\x00\x00\x00\x00\x00\x00\x00\x00")


@pytest.mark.parametrize(("dtype", "array"), CASES, ids=[f"{d}-{a.type}" for d, a in CASES])
def test_feast_gets_back_the_messages_that_it_gave(dtype: Any, array: Any) -> None:
    from mlops.stores.redis.decoding import ViewDecoder

    given = by_feast(dtype, array)
    wanted = fields(f=str(dtype))
    schema = build_schema("v", wanted)
    packed = rows(dtype, message_cells(schema.columns[0], given), len(given))
    (stored,) = ViewDecoder(tuple(wanted), {schema.tag: schema}).decode(packed, -1).values
    answered = messages(str(dtype), schema.columns[0].storage, stored)
    assert list(map(python, answered)) == list(map(python, given))
    assert [m.WhichOneof("val") for m in answered if python(m) is not None] == [
        m.WhichOneof("val") for m in given if python(m) is not None
    ]


def test_an_element_that_is_missing_becomes_what_feast_puts_there() -> None:
    (column,) = build_schema("v", fields(f="Array(Int32)")).columns
    cells = column_cells(
        column, pa.record_batch({"f": pa.array([[1, None]], pa.list_(pa.int32()))})
    )
    assert cells.bodies == [b"\1\0\0\0\0\0\0\0"]


@pytest.mark.parametrize(
    ("dtype", "array"),
    [
        ("Float64", pa.array(["1.5"])),
        ("Int64", pa.array([1.5])),
        ("Int32", pa.array([2**31])),
        ("Bool", pa.array([1])),
        ("String", pa.array([1])),
        ("Bytes", pa.array(["x"])),
        ("UnixTimestamp", pa.array(["2018-08-08"])),
        ("Array(Float64)", pa.array([1.5])),
        ("Array(Float64)", pa.array([["x"]])),
        ("Array(String)", pa.array([[1]])),
        ("Map", pa.array([5])),
    ],
)
def test_a_column_of_another_type_is_refused_with_the_features_name(dtype: str, array: Any) -> None:
    (column,) = build_schema("v", fields(f=dtype)).columns
    with pytest.raises(InputError, match=r"'f' is .*"):
        column_cells(column, pa.record_batch({"f": array}))


def test_a_missing_column_is_named() -> None:
    (column,) = build_schema("v", fields(f="Int64")).columns
    with pytest.raises(InputError, match="no 'f'; they have other"):
        column_cells(column, pa.record_batch({"other": [1]}))


@pytest.mark.parametrize("dtype", ["Float64", "String", "Array(Int64)", "Array(String)", "Map"])
def test_a_column_without_any_value_has_no_type(dtype: str) -> None:
    (column,) = build_schema("v", fields(f=dtype)).columns
    cells = column_cells(column, pa.record_batch({"f": pa.nulls(2)}))
    assert cells.nulls.tolist() == [True, True]


@pytest.mark.parametrize(
    ("array", "wanted"),
    [
        (pa.array([AT], pa.timestamp("us", "UTC")), 1533690123987654),
        (pa.array([AT], pa.timestamp("ns", "UTC")), 1533690123987654),
        (pa.array([AT.replace(tzinfo=None)], pa.timestamp("ms")), 1533690123987000),
        (pa.array([1533690123987654]), 1533690123987654),
        (pa.array([date(2018, 8, 8)]), 1533686400000000),
    ],
)
def test_times_come_as_microseconds(array: Any, wanted: int) -> None:
    times, missing = event_times(pa.record_batch({"t": array}), "t")
    assert times.tolist() == [wanted]
    assert not missing.any()


def test_a_row_without_a_created_time_comes_before_all_others() -> None:
    batch = pa.record_batch({"t": pa.array([None, AT], pa.timestamp("us", "UTC"))})
    assert created_times(batch, "t").tolist() == [NO_CREATED, 1533690123987654]


def test_times_of_another_type_are_refused() -> None:
    with pytest.raises(InputError, match="'t' must be times"):
        event_times(pa.record_batch({"t": ["2018"]}), "t")


def test_a_decimal_column_is_text() -> None:
    (column,) = build_schema("v", fields(f="Decimal")).columns
    cells = column_cells(column, pa.record_batch({"f": pa.array([Decimal("1.50")])}))
    assert cells.bodies == [b"1.50"]
