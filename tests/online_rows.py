"""Stored forms of every Feast type, and views that hold them, for the tests of the online store."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from mlops.plan import PlannedField
from mlops.stores.redis import nested
from mlops.stores.redis.views import StoredView, stored_view

_SECONDS = st.integers(-(2**40), 2**40)
_TEXT = st.text(max_size=12)
_SINGLE = st.floats(width=32, allow_nan=False)
_DOUBLE = st.floats(allow_nan=False)
_ELEMENTS: dict[str, st.SearchStrategy[Any]] = {
    "Bool": st.booleans(),
    "Int32": st.integers(-(2**31), 2**31 - 1),
    "Int64": st.integers(-(2**63), 2**63 - 1),
    "Float32": _SINGLE,
    "Float64": _DOUBLE,
    "UnixTimestamp": _SECONDS,
    "String": _TEXT,
    "Bytes": st.binary(max_size=12),
    "Uuid": st.uuids().map(str),
    "TimeUuid": st.uuids().map(str),
    "Decimal": st.decimals(allow_nan=False, allow_infinity=False).map(str),
}
_TAGGED_LEAVES: st.SearchStrategy[nested.Tagged] = st.one_of(
    st.just((nested.UNSET, None)),
    st.tuples(st.just(nested.STRING), _TEXT),
    st.tuples(st.just(nested.INT64), _ELEMENTS["Int64"]),
    st.tuples(st.just(nested.DOUBLE), _DOUBLE),
    st.tuples(st.just(nested.BOOL), st.booleans()),
    st.tuples(st.just(nested.SECONDS), _SECONDS),
    st.tuples(st.just(nested.BYTES), st.binary(max_size=8)),
    st.tuples(st.just(12), st.lists(_TEXT, max_size=3)),
    st.tuples(st.just(15), st.lists(_DOUBLE, max_size=3)),
)


def _pairs(values: st.SearchStrategy[nested.Tagged]) -> st.SearchStrategy[list[Any]]:
    return st.dictionaries(_TEXT, values, max_size=3).map(lambda found: sorted(found.items()))


_TAGGED = st.recursive(
    _TAGGED_LEAVES,
    lambda inner: st.one_of(
        st.tuples(st.just(nested.MAP), _pairs(inner)),
        st.tuples(st.just(nested.LIST), st.lists(inner, max_size=3)),
    ),
    max_leaves=6,
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    **_ELEMENTS,
    "Json": st.just('{"a": 1}'),
    "PdfBytes": st.binary(max_size=12),
    "ImageBytes": st.binary(max_size=12),
    "ZonedTimestamp": st.tuples(_SECONDS, st.sampled_from(["", "UTC", "Asia/Seoul", "+05:30"])),
    **{f"Array({dtype})": st.lists(values, max_size=4) for dtype, values in _ELEMENTS.items()},
    **{f"Set({dtype})": st.lists(values, max_size=4) for dtype, values in _ELEMENTS.items()},
    "Array(Json)": st.lists(st.just("[1]"), max_size=3),
    "Map": st.tuples(st.just(nested.MAP), _pairs(_TAGGED)),
    "Array(Map)": st.tuples(st.just(nested.MAP_LIST), st.lists(_pairs(_TAGGED), max_size=2)),
    "Struct({a: Int64})": st.tuples(st.just(nested.STRUCT), _pairs(_TAGGED)),
    "Array(Struct({a: Int64}))": st.tuples(
        st.just(nested.STRUCT_LIST), st.lists(_pairs(_TAGGED), max_size=2)
    ),
    "Array(Array(Float64))": st.tuples(st.just(nested.LIST), st.lists(_TAGGED, max_size=3)),
    "Set(Array(String))": st.tuples(st.just(nested.SET), st.lists(_TAGGED, max_size=3)),
    "ScalarMap": st.tuples(
        st.just(nested.SCALAR_MAP),
        st.lists(
            st.tuples(st.tuples(st.just(nested.INT64), _ELEMENTS["Int64"]), _TAGGED), max_size=3
        ),
    ),
}
"""Every type that a feature can have, with values in the form in which they are stored."""


def fields(**types: str) -> list[PlannedField]:
    return [PlannedField(name=name, dtype=dtype) for name, dtype in types.items()]


def view(
    name: str = "spend",
    *,
    project: str = "shop",
    ttl_seconds: int = 3 * 86400,
    keys: dict[str, str] | None = None,
    **types: str,
) -> StoredView:
    """A view of these features, by customer_id unless other keys are given."""
    return stored_view(
        project,
        name,
        join_keys=fields(**(keys or {"customer_id": "String"})),
        features=fields(**types),
        ttl_seconds=ttl_seconds,
    )
