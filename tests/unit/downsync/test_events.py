"""Events come out of a record as they went in, and what is no event says why."""

from __future__ import annotations

import base64
import math
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.downsync.events import (
    FACTS,
    Decoder,
    Encoder,
    Event,
    Unreadable,
    microseconds,
    moment_of,
    pack,
    unpack,
)
from mlops.downsync.flow import Flow, Kind
from mlops.downsync.thinning import key_digest
from mlops.downsync.values import value_type
from mlops.plan import PlannedField

FLOAT32 = st.floats(width=32)
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "Bool": st.booleans(),
    "Bytes": st.binary(max_size=8),
    "Float32": FLOAT32,
    "Float64": st.floats(),
    "Int32": st.integers(-(1 << 31), (1 << 31) - 1),
    "Int64": st.integers(-(1 << 63), (1 << 63) - 1),
    "String": st.text(max_size=8),
    "UnixTimestamp": st.datetimes(timezones=st.just(UTC)),
}
TYPES = SCALARS | {
    f"Array({name})": st.lists(st.none() | values, max_size=4) for name, values in SCALARS.items()
}
FLOW = Flow(
    project="payments",
    view="clicks",
    keys=(PlannedField(name="id", dtype="Int64"), PlannedField(name="shop", dtype="String")),
    features=tuple(PlannedField(name=f"f{n}", dtype=d) for n, d in enumerate(TYPES)),
)
VALUES = st.fixed_dictionaries(
    {f"f{n}": st.none() | values for n, values in enumerate(TYPES.values())}
)


def facts(kind: Kind) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={n: SCALARS[d] for n, d in FACTS[kind].items()})


@st.composite
def events(draw: st.DrawFn) -> Event:
    kind = draw(st.sampled_from(Kind))
    key = {"id": draw(SCALARS["Int64"]), "shop": draw(SCALARS["String"])}
    return Event(
        id=draw(st.text(min_size=1, max_size=64)),
        kind=kind,
        view="clicks",
        schema=FLOW.schema_version,
        time_us=microseconds(draw(SCALARS["UnixTimestamp"])),
        created_us=microseconds(draw(SCALARS["UnixTimestamp"])),
        key=key,
        digest=key_digest(key),
        values=draw(VALUES),
        facts=draw(facts(kind)),
    )


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) and type(one) is type(other)


def without_nulls(values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


@pytest.mark.hypothesis
@given(st.lists(events(), min_size=1, max_size=3))
def test_events_come_out_as_they_went_in(written: list[Event]) -> None:
    encoder, decoder = Encoder(FLOW), Decoder(FLOW)
    record = pack([encoder.encode(event) for event in written])
    read = [decoder.decode(raw) for raw in unpack(record) if isinstance(raw, dict)]
    assert len(read) == len(written)
    for before, after in zip(written, read, strict=True):
        for name in ("id", "kind", "view", "schema", "time_us", "created_us", "key", "digest"):
            assert getattr(before, name) == getattr(after, name)
        for part in ("values", "facts"):
            given_, found = without_nulls(getattr(before, part)), getattr(after, part)
            assert given_.keys() == found.keys()
            assert all(same(given_[name], found[name]) for name in given_)


def raw(**others: Any) -> dict[str, Any]:
    return {
        "id": "e1",
        "kind": "pushed",
        "view": "clicks",
        "time": 0,
        "created": 0,
        "key": {"id": 1, "shop": "a"},
        "values": {},
        **others,
    }


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ({"kind": "guessed"}, "guessed"),
        ({"id": ""}, "'id'"),
        ({"id": "x" * 65}, "'id'"),
        ({"time": "2018"}, "'time'"),
        ({"time": True}, "'time'"),
        ({"created": 1 << 62}, "'created'"),
        ({"key": {"id": 1}}, "no shop"),
        ({"key": {"id": "1", "shop": "a"}}, "key.id"),
        ({"key": {"id": 1.0, "shop": "a"}}, "key.id"),
        ({"key": [1]}, "'key'"),
        ({"values": {"f0": 1}}, "values.f0"),
        ({"values": {"f4": 1 << 31}}, "values.f4"),
        ({"values": {"f2": "1.5"}}, "values.f2"),
        ({"values": {"f2": 1e300}}, "values.f2"),
        ({"values": {"f1": "no base64!"}}, "values.f1"),
        ({"values": {"f7": "2018-08-08T00:00:00"}}, "values.f7"),
        ({"values": {"f8": True}}, "values.f8"),
        ({"facts": {"pushed_by": 1}}, "facts.pushed_by"),
    ],
)
def test_an_event_that_is_wrong_says_which_part(others: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Decoder(FLOW).decode(raw(**others))


def test_features_that_the_view_lost_are_left_out() -> None:
    assert Decoder(FLOW).decode(raw(values={"gone": 1, "f5": 2})).values == {"f5": 2}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff", "no JSON"),
        (b"[]", "no events"),
        (b'{"v":1}', "no events"),
        (b'{"v":2,"events":[]}', "version 2"),
        (b'{"v":1,"events":[7]}', "no object"),
    ],
)
def test_a_record_that_is_none_of_ours_says_why(data: bytes, reason: str) -> None:
    (found,) = unpack(data)
    assert isinstance(found, Unreadable)
    assert reason in found.reason


def test_one_bad_event_does_not_hide_its_neighbours() -> None:
    record = orjson.dumps({"v": 1, "events": [{"id": "a"}, 7, {"id": "b"}]})
    found = list(unpack(record))
    assert [isinstance(one, Unreadable) for one in found] == [False, True, False]


def test_the_digest_of_a_key_does_not_depend_on_the_order_of_its_parts() -> None:
    assert key_digest({"a": 1, "b": "x"}) == key_digest({"b": "x", "a": 1})
    assert key_digest({"a": 1, "b": "23"}) != key_digest({"a": 12, "b": "3"})
    assert key_digest({"a": 1}) != key_digest({"a": "1"})


def test_the_schema_version_changes_with_a_column_and_with_nothing_else() -> None:
    other = FLOW.model_copy(update={"push_source": "x", "logs": (Kind.PUSHED,)})
    assert Flow.model_validate(other.model_dump()).schema_version == FLOW.schema_version
    less = Flow.model_validate(FLOW.model_dump() | {"features": FLOW.features[1:]})
    assert less.schema_version != FLOW.schema_version


def test_times_keep_their_microseconds() -> None:
    moment = datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC)
    assert microseconds(moment) == -1
    assert moment_of(-1) == moment


def test_types_that_no_event_carries_are_known() -> None:
    assert [value_type(name) for name in ("Map", "Set(Int64)", "Array(Map)", "")] == [None] * 4
    assert base64.b64encode(b"x").decode() == value_type("Bytes").to_json(b"x")  # type: ignore[union-attr,misc]  # a known type
