"""Entities that are plain are read as one piece, and what is read is the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.plan import PlannedField
from mlops.stores.online import FeatureStatus
from mlops.stores.redis.decoding import ViewDecoder
from mlops.stores.redis.encoding import pack_rows, pack_tombstones, values_cells
from mlops.stores.redis.entities import EntityDecoder
from mlops.stores.redis.plain import FEW, PlainColumns
from mlops.stores.redis.schema import Schema, build_schema
from tests.online_rows import VALUES, fields

NOW = 1_533_686_400_000_000
COUNTS = [1, 2, FEW - 1, FEW, 40]
HOUR = 3600
NUMBERS = ["Bool", "Int32", "Int64", "Float32", "Float64"]
VIEWS = [
    {"a": "Float64", "b": "Float64"},
    {"flag": "Bool", "n": "Int64", "s": "Float32", "c": "Float64"},
    {"d": "Float64"},
]
GOOD = {"Float64": 1.5, "Bool": True, "Int64": -(2**60), "Int32": 7, "Float32": 0.25}

pytestmark = pytest.mark.hypothesis


def pack(schema: Schema, columns: list[list[Any]], event: int = NOW) -> list[Any]:
    cells = [values_cells(c, values) for c, values in zip(schema.columns, columns, strict=True)]
    times = np.full(len(columns[0]), event)
    return list(pack_rows(schema, cells, times, times + 1))


SCHEMAS = [build_schema("v", fields(**types)) for types in VIEWS]


def decoder(
    schemas: list[Schema] = SCHEMAS, wanted: list[list[PlannedField]] | None = None
) -> EntityDecoder:
    known = {schema.tag: schema for schema in schemas}
    features = wanted or [fields(**types) for types in VIEWS]
    return EntityDecoder([ViewDecoder(tuple(f), known) for f in features], [HOUR] * len(features))


def good(count: int) -> list[list[Any]]:
    """Answers: per entity a row of each view."""
    views = [
        pack(schema, [[GOOD[dtype]] * count for dtype in types.values()])
        for schema, types in zip(SCHEMAS, VIEWS, strict=True)
    ]
    return [list(rows) for rows in zip(*views, strict=True)]


def careful(reading: EntityDecoder, answers: list[Any]) -> tuple[list[Any], list[Any]]:
    found = reading.decode(answers, NOW)
    assert all(set(view.statuses) == {FeatureStatus.PRESENT} for view in found)
    return [view.events for view in found], [column for view in found for column in view.values]


def listed(found: PlainColumns) -> tuple[list[Any], list[Any]]:
    events, columns = ([np.asarray(one).tolist() for one in part] for part in found)
    return events, columns


@st.composite
def entities(
    draw: st.DrawFn,
) -> tuple[list[Schema], list[list[PlannedField]], list[list[Any]]]:
    """Schemas of some views, what is wanted of each, and the answers for some entities."""
    count = draw(st.sampled_from(COUNTS))
    schemas, wanted, rows = [], [], []
    for view in range(draw(st.integers(1, 4))):
        types = draw(st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=6))
        every = fields(**{f"v{view}_{n}": dtype for n, dtype in enumerate(types)})
        columns = [draw(st.lists(VALUES[t], min_size=count, max_size=count)) for t in types]
        schemas.append(build_schema("v", every))
        wanted.append(draw(st.permutations(every))[: draw(st.integers(1, len(every)))])
        rows.append(pack(schemas[-1], columns))
    return schemas, wanted, [list(entity) for entity in zip(*rows, strict=True)]


@given(entities())
def test_plain_entities_are_read_as_the_careful_way_reads_them(
    case: tuple[list[Schema], list[list[PlannedField]], list[list[Any]]],
) -> None:
    schemas, wanted, answers = case
    reading = decoder(schemas, wanted)
    found = reading.decode_plain(answers, NOW)
    if found is not None:
        assert listed(found) == careful(reading, answers)
        as_it_came = decode_answer(reading, said(answers), len(answers))
        assert as_it_came is not None
        assert listed(as_it_came) == listed(found)


def decode_answer(reading: EntityDecoder, answer: bytes, count: int) -> PlainColumns | None:
    """Of an answer that stands behind another."""
    usual = reading.usual_answer(count)
    return None if usual is None else usual.columns(b"+OK\r\n" + answer, 5, NOW)


def said(answers: list[Any]) -> bytes:
    """As Redis says them."""
    return b"".join([_said(answer) for answer in answers])


def _said(answer: Any) -> bytes:
    if answer is None:
        return b"$-1\r\n"
    if isinstance(answer, Exception):
        return b"-%b\r\n" % str(answer).encode()
    if isinstance(answer, bytes):
        return b"$%d\r\n%b\r\n" % (len(answer), answer)
    return b"*%d\r\n" % len(answer) + said(answer)


@pytest.mark.parametrize("count", COUNTS)
def test_usual_entities_are_plain_and_many_are_numpys(count: int) -> None:
    found = decoder().decode_plain(good(count), NOW)
    assert found is not None
    assert listed(found) == careful(decoder(), good(count))
    kinds = {type(one) for part in found for one in part}
    assert kinds == ({np.ndarray} if count >= FEW else {tuple})


ROW = good(1)[0][1]
_ODD = {
    "absent": None,
    "empty": b"",
    "cut off": ROW[:-1],
    "longer": ROW + b"x",
    "deleted": pack_tombstones(np.array([NOW]), np.array([NOW]))[0],
    "outdated": pack(SCHEMAS[1], [[True], [1], [1.0], [1.0]], NOW - HOUR * 1_000_000 - 1)[0],
    "with a null": pack(SCHEMAS[1], [[True], [None], [1.0], [1.0]])[0],
    "with NaN": pack(SCHEMAS[1], [[True], [1], [float("nan")], [1.0]])[0],
    "with an infinity": pack(SCHEMAS[1], [[True], [1], [1.0], [float("-inf")]])[0],
    "of an unknown schema": b"\x01abcd" + ROW[5:],
    "of another kind": b"\x02" + ROW[1:],
}


@pytest.mark.parametrize("name", _ODD)
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("place", [0, -1])
def test_one_odd_row_makes_no_entity_plain(name: str, count: int, place: int) -> None:
    answers = good(count)
    answers[place][1] = _ODD[name]
    assert decoder().decode_plain(answers, NOW) is None
    assert decode_answer(usual_decoder(), said(answers), count) is None
    assert len(decoder().decode(answers, NOW)) == len(VIEWS)


def usual_decoder() -> EntityDecoder:
    """One that has met the usual entities."""
    reading = decoder()
    assert reading.usual_answer(2) is None
    assert reading.decode_plain(good(2), NOW) is not None
    usual = reading.usual_answer(2)
    assert usual is not None
    assert usual.size == len(said(good(2)))
    return reading


@pytest.mark.parametrize("count", COUNTS)
def test_an_answer_of_the_usual_size_that_is_framed_otherwise_is_not_taken(count: int) -> None:
    answer, reading = said(good(count)), usual_decoder()
    assert decode_answer(reading, answer, count) is not None
    for place in [*range(4), answer.index(b"$"), answer.index(b"\x01") - 3, -2, -1]:
        wrong = bytearray(answer)
        wrong[place] ^= 1
        assert decode_answer(reading, bytes(wrong), count) is None
    assert decode_answer(reading, answer[:-1], count) is None
    assert decode_answer(reading, answer, count + 1) is None


@pytest.mark.parametrize("count", COUNTS)
def test_a_row_that_is_short_is_not_made_up_for_by_one_that_is_long(count: int) -> None:
    answers = good(count)
    first, second = answers[0][0], answers[0][1]
    answers[0][:2] = [first[:-8], first[-8:] + second]
    assert decoder().decode_plain(answers, NOW) is None
    assert decode_answer(usual_decoder(), said(answers), count) is None


@pytest.mark.parametrize("wrong", [None, RuntimeError("WRONGTYPE"), b"text"])
@pytest.mark.parametrize("place", [0, -1])
def test_an_answer_that_is_no_hash_is_not_plain(wrong: Any, place: int) -> None:
    answers: list[Any] = good(3)
    answers[place] = wrong
    assert decoder().decode_plain(answers, NOW) is None
    assert decode_answer(usual_decoder(), said(answers), 3) is None
    statuses = {view.statuses[place] for view in decoder().decode(answers, NOW)}
    assert statuses == {FeatureStatus.INVALID}


def test_entities_of_two_generations_of_a_schema_are_read_with_care() -> None:
    old, new = build_schema("v", fields(a="Float64")), build_schema("v", fields(b="Float64"))
    reading = decoder([old, new], [fields(a="Float64")])
    answers = [pack(old, [[1.0]]), pack(new, [[2.0]])]
    assert reading.decode_plain(answers, NOW) is None
    assert reading.decode_plain(answers[:1], NOW) == (((NOW,),), ((1.0,),))
    assert reading.decode(answers, NOW)[0].values == [[1.0, None]]


def test_a_schema_that_is_learned_is_plain_from_then_on() -> None:
    known: dict[bytes, Schema] = {}
    reading = EntityDecoder([ViewDecoder(tuple(fields(a="Float64")), known)], [0])
    schema = build_schema("v", fields(a="Float64"))
    answers = [pack(schema, [[1.0]])]
    assert reading.decode_plain(answers, NOW) is None
    known[schema.tag] = schema
    assert reading.decode_plain(answers, NOW) == (((NOW,),), ((1.0,),))
