"""Rows are packed and read back: every type, null or not, one by one and many at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.errors import InputError, Refused
from mlops.plan import PlannedField
from mlops.stores.online import FeatureStatus
from mlops.stores.redis.decoding import UNREADABLE, ViewColumns, ViewDecoder, row_times
from mlops.stores.redis.encoding import pack_rows, pack_tombstones, values_cells
from mlops.stores.redis.schema import Schema, build_schema, parse_schema
from tests.online_rows import VALUES, fields

NOW = 1_533_686_400_000_000
PRESENT, NULL, INVALID = FeatureStatus.PRESENT, FeatureStatus.NULL, FeatureStatus.INVALID

pytestmark = pytest.mark.hypothesis


def pack(schema: Schema, columns: list[list[Any]], event: int = NOW) -> list[bytes]:
    cells = [values_cells(c, values) for c, values in zip(schema.columns, columns, strict=True)]
    times = np.full(len(columns[0]), event)
    return pack_rows(schema, cells, times, times + 1)


def decode(
    rows: list[bytes | None], wanted: list[PlannedField], *schemas: Schema, oldest: int = 0
) -> ViewColumns:
    decoder = ViewDecoder(tuple(wanted), {schema.tag: schema for schema in schemas})
    return decoder.decode(rows, oldest)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[PlannedField], list[list[Any]]]:
    types = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=12))
    rows = draw(st.sampled_from([1, 2, 13, 20]))
    columns = [
        draw(st.lists(st.none() | VALUES[dtype], min_size=rows, max_size=rows)) for dtype in types
    ]
    names = {f"f{place}": dtype for place, dtype in enumerate(types)}
    return fields(**names), columns


@given(tables())
def test_values_of_every_type_come_back_as_they_were_packed(
    table: tuple[list[PlannedField], list[list[Any]]],
) -> None:
    features, columns = table
    schema = build_schema("v", features)
    found = decode(list(pack(schema, columns)), features, schema)
    assert found.values == columns
    assert found.events == [NOW] * len(columns[0])


@pytest.mark.parametrize("dtype", sorted(VALUES))
def test_each_type_is_held(dtype: str) -> None:
    schema = build_schema("v", fields(f=dtype))
    assert decode(list(pack(schema, [[None]])), fields(f=dtype), schema).status(0, 0) is NULL


@given(tables())
def test_a_schema_is_found_again_by_its_fingerprint(
    table: tuple[list[PlannedField], list[list[Any]]],
) -> None:
    schema = build_schema("v", table[0])
    again = parse_schema(schema.document)
    assert again == schema
    assert again.tag == schema.tag


@given(tables(), st.data())
def test_a_row_that_is_cut_or_grown_is_invalid_and_harms_no_other(
    table: tuple[list[PlannedField], list[list[Any]]], data: st.DataObject
) -> None:
    features, columns = table
    schema = build_schema("v", features)
    rows: list[bytes | None] = list(pack(schema, columns))
    good = rows[0]
    assert good is not None
    cut = data.draw(st.integers(0, len(good) - 1))
    broken = data.draw(st.sampled_from([good[:cut], good + b"x"]))
    found = decode([good, broken, good], features, schema)
    assert found.statuses == [PRESENT, INVALID, PRESENT]
    assert [column[0] for column in found.values] == [column[0] for column in columns]


def test_bytes_of_another_make_are_invalid() -> None:
    wanted = fields(f="Float64")
    found = decode([b"", b"hello", b"\x01" * 40, b"\x81"], wanted, build_schema("v", wanted))
    assert found.statuses == [INVALID] * 4


def test_a_text_that_is_no_utf8_is_invalid_alone() -> None:
    wanted = fields(text="String", number="Int32")
    schema = build_schema("v", wanted)
    (row,) = pack(schema, [["abc"], [7]])
    found = decode([row.replace(b"abc", b"\xff\xfe\xfd")], wanted, schema)
    assert [found.status(0, 0), found.status(1, 0)] == [INVALID, PRESENT]
    assert found.values[1] == [7]


def test_an_absent_row_and_a_deleted_one_are_not_found() -> None:
    wanted = fields(f="Float64")
    (tombstone,) = pack_tombstones(np.array([NOW]), np.array([NOW + 1]))
    found = decode([None, tombstone], wanted, build_schema("v", wanted))
    assert found.statuses == [FeatureStatus.NOT_FOUND] * 2
    assert row_times([tombstone])[["event", "created"]].tolist() == [(NOW, NOW + 1)]


@pytest.mark.parametrize("rows", [1, 30])
def test_a_row_older_than_the_oldest_is_outside_its_age_and_has_no_value(rows: int) -> None:
    wanted = fields(f="Float64")
    schema = build_schema("v", wanted)
    packed = pack(schema, [[1.0] * rows]) + pack(schema, [[2.0]], event=NOW - 1)
    found = decode(list(packed), wanted, schema, oldest=NOW)
    assert found.statuses == [PRESENT] * rows + [FeatureStatus.OUTSIDE_MAX_AGE]
    assert found.values == [[1.0] * rows + [None]]
    assert found.events[-1] == NOW - 1


class TestSchemaChange:
    """Rows of an older or newer schema are read as what is wanted now."""

    OLD = build_schema("v", fields(kept="Int32", gone="String", name="String"))
    ROW = pack(OLD, [[5], ["x"], ["kim"]])[0]

    def test_an_added_feature_is_null_in_rows_written_before(self) -> None:
        found = decode([self.ROW], fields(kept="Int32", new="Float64"), self.OLD)
        assert found.values == [[5], [None]]
        assert [found.status(0, 0), found.status(1, 0)] == [PRESENT, NULL]

    def test_a_removed_feature_does_not_disturb_those_behind_it(self) -> None:
        assert decode([self.ROW], fields(name="String"), self.OLD).values == [["kim"]]

    def test_rows_of_both_schemas_are_read_together_before_and_after_a_rollback(self) -> None:
        new = build_schema("v", fields(name="String", extra="Bool", kept="Int64"))
        (row,) = pack(new, [["lee"], [True], [6]])
        for wanted in (self.OLD, new):
            asked = fields(**{column.name: column.dtype for column in wanted.columns})
            found = decode([self.ROW, row, self.ROW], asked, self.OLD, new)
            by_name = dict(zip([f.name for f in asked], found.values, strict=True))
            assert by_name["kept"] == [5, 6, 5]
            assert by_name["name"] == ["kim", "lee", "kim"]

    @pytest.mark.parametrize(
        ("stored", "value", "wanted", "read"),
        [
            ("Int32", 7, "Int64", 7),
            ("Int64", 2**40, "Int32", UNREADABLE),
            ("Int64", 7, "Float64", 7.0),
            ("Float64", 7.0, "Int64", 7),
            ("Float64", 7.5, "Int64", UNREADABLE),
            ("Float64", float("inf"), "Int64", UNREADABLE),
            ("Float64", 0.1, "Float32", 0.10000000149011612),
            ("Float64", 1e300, "Float32", float("inf")),
            ("Bool", True, "Int32", 1),
            ("Int32", 2, "Bool", UNREADABLE),
            ("Uuid", "8f", "String", "8f"),
            ("String", "8f", "Uuid", UNREADABLE),
            ("Float64", 1.0, "String", UNREADABLE),
            ("Array(Int64)", [1, 2], "Set(Int64)", [1, 2]),
            ("Array(Int64)", [1, 2], "Array(Int32)", UNREADABLE),
        ],
    )
    def test_a_retyped_feature_is_read_where_its_meaning_stays(
        self, stored: str, value: Any, wanted: str, read: Any
    ) -> None:
        schema = build_schema("v", fields(f=stored))
        found = decode(list(pack(schema, [[value]])), fields(f=wanted), schema)
        assert found.values == [[read]]
        assert type(found.values[0][0]) is type(read)


def test_two_schemas_differ_by_name_type_and_order() -> None:
    schemas = [
        build_schema("v", fields(a="Int32", b="Int64")),
        build_schema("v", fields(b="Int64", a="Int32")),
        build_schema("v", fields(a="Int64", b="Int32")),
        build_schema("v", fields(a="Int32", c="Int64")),
    ]
    assert len({schema.fingerprint for schema in schemas}) == 4


@pytest.mark.parametrize("dtype", ["Invalid", "Array(Invalid)", "Set(Json)", "Float16"])
def test_a_type_that_cannot_be_held_is_refused_by_the_features_name(dtype: str) -> None:
    with pytest.raises(Refused, match=r"'v'.*odd \(" + dtype.replace("(", r"\(")[:5]):
        build_schema("v", fields(fine="Int64", odd=dtype))


def test_a_feature_named_twice_is_refused() -> None:
    with pytest.raises(InputError, match="twice"):
        build_schema("v", fields(a="Int64") + fields(a="Int32"))
