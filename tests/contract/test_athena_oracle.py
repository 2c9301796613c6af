"""Whole calls of our store against a brute-force reference in pandas, on made-up cases.

A call joins a view of composite keys with every type of value, the same view under another name
and other keys, a view over a query, one whose key is bytes, a view without entities, and an
on-demand view. A range of time joins those that it can.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, RequestSource, ValueType
from feast.infra.offline_stores.contrib.athena_offline_store.athena_source import AthenaSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import (
    Array,
    Bool,
    Bytes,
    Float32,
    Float64,
    Int32,
    Int64,
    String,
    UnixTimestamp,
)
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from mlops.stores.athena.sql import literal
from tests.feast_athena import Warehouse, environment

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

pytestmark = pytest.mark.filterwarnings("ignore:::feast")
START = datetime(2024, 1, 1, 23, 57, tzinfo=UTC)
"""Three minutes before another day, so that cases span partitions."""
MINUTE = 60_000_000


@dataclass(frozen=True)
class Typed:
    """A feature: its column, and its value for each of three variants, rising."""

    name: str
    column: str
    hive: str
    feast: Any
    arrow: pa.DataType
    values: tuple[Any, Any, Any]
    expected: tuple[Any, Any, Any] | None = None


def stamp(day: int) -> datetime:
    return datetime(2020, 1, day, 1, 2, 3, 456000, tzinfo=UTC)


TYPED = (
    Typed("amount", "amo unt", "double", Float64, pa.float64(), (-0.5, 1.0, 2.5)),
    Typed("payments", "select", "bigint", Int64, pa.int64(), (-1, 2, 2**53 + 1)),
    Typed("small", "small", "int", Int32, pa.int32(), (-7, 0, 7)),
    Typed("ratio", "ratio", "float", Float32, pa.float32(), (-0.25, 0.5, 8.0)),
    Typed("flag", "flag", "boolean", Bool, pa.bool_(), (False, True, True)),
    Typed("raw", "raw", "binary", Bytes, pa.binary(), (b"", b"\x00'\xff", b"x")),
    Typed(
        "seen",
        "seen",
        "timestamp",
        UnixTimestamp,
        pa.timestamp("ms"),
        (stamp(1), stamp(2), stamp(3)),
    ),
    Typed(
        "price",
        "price",
        "decimal(38,2)",
        Float64,
        pa.decimal128(38, 2),
        (Decimal("-1.10"), Decimal("0.30"), Decimal("12345678901234567890.12")),
        (-1.1, 0.3, 12345678901234567890.12),
    ),
    Typed(
        "words",
        "words",
        "array<string>",
        Array(String),
        pa.list_(pa.string()),
        ([], ["'"], ["a", "b"]),
    ),
    Typed(
        "counts",
        "counts",
        "array<bigint>",
        Array(Int64),
        pa.list_(pa.int64()),
        ([1], [2, None], [3]),
    ),
    Typed(
        "days",
        "days",
        "array<timestamp>",
        Array(UnixTimestamp),
        pa.list_(pa.timestamp("ms")),
        ([stamp(1)], [stamp(2)], [stamp(3), stamp(4)]),
    ),
)


@dataclass(frozen=True)
class Row:
    """A feature row; without a variant all of its values are null."""

    left: str | None
    right: int | None
    at: int
    created: int | None
    variant: int | None


@dataclass(frozen=True)
class Asked:
    """An entity row."""

    left: str | None
    right: int | None
    payer_left: str | None
    payer_right: int | None
    at: int


@dataclass(frozen=True)
class Case:
    rows: list[Row]
    asked: list[Asked]
    ttl: int | None
    delay: int
    precise: bool
    """Whether a column of microseconds gives the order."""
    as_of: int | None
    as_sql: bool
    deletes: bool
    """Whether rows whose flag is set say that there is nothing any more."""


LEFT = st.sampled_from(["1", "12", "O'Neil", None])
RIGHT = st.sampled_from([23, 3, None])
INSTANTS = st.builds(
    lambda minute, rest: minute * MINUTE + rest,
    st.integers(0, 6),
    st.sampled_from([0, 1, 999, 1000]),
)
MINUTES = st.integers(0, 6).map(lambda minute: minute * MINUTE)
ROWS = st.builds(Row, LEFT, RIGHT, INSTANTS, st.none() | MINUTES, st.none() | st.integers(0, 2))
CASES = st.builds(
    Case,
    st.lists(ROWS, max_size=12),
    st.lists(st.builds(Asked, LEFT, RIGHT, LEFT, RIGHT, INSTANTS), min_size=1, max_size=8),
    st.none() | st.sampled_from([2 * MINUTE, 3 * MINUTE + 1000]),
    st.sampled_from([0, MINUTE]),
    st.booleans(),
    st.none() | MINUTES,
    st.booleans(),
    st.booleans(),
)
TOKENS = {"1": b"1", "12": b"\xff\x0012", "O'Neil": b"'", None: None}
"""Keys as bytes, by the key as text."""


def instant(microseconds: int) -> datetime:
    return START + timedelta(microseconds=microseconds)


# The reference


def latest(case: Case, at: int, **keys: Any) -> Row | None:
    """Looked up in a dataframe, row by row, as the rule is written down."""
    if None in keys.values():
        return None
    known = [row for row in case.rows if all(getattr(row, k) == v for k, v in keys.items())]
    frame = pd.DataFrame(
        {
            "row": pd.Series(range(len(known)), dtype="int64"),
            "event": pd.Series([event(case, row) for row in known], dtype="int64"),
            "created": pd.Series([missing_first(row.created) for row in known], dtype="int64"),
            "variant": pd.Series([missing_first(row.variant) for row in known], dtype="int64"),
        }
    )
    seen = frame[frame["event"] + case.delay <= at]
    if case.as_of is not None:
        seen = seen[(seen["created"] >= 0) & (seen["created"] <= case.as_of)]
    if seen.empty:
        return None
    found = known[int(seen.sort_values(["event", "created", "variant"]).iloc[-1]["row"])]
    expired = case.ttl is not None and at - event(case, found) > case.ttl
    return None if expired else found


def event(case: Case, row: Row) -> int:
    """To the precision that the tables hold."""
    return row.at if case.precise else row.at // 1000 * 1000


def missing_first(value: int | None) -> int:
    return -1 if value is None else value


def expected(case: Case, asked: Asked) -> dict[str, Any]:
    pair = latest(case, asked.at, left=asked.left, right=asked.right)
    payer = latest(case, asked.at, left=asked.payer_left, right=asked.payer_right)
    single = latest(case, asked.at, left=asked.left)
    rate = latest(case, asked.at)
    amount = value(TYPED[0], single)
    pair, payer = without_deleted(case, pair), without_deleted(case, payer)
    return {
        **{f"payee__{typed.name}": value(typed, pair) for typed in TYPED},
        **{f"payer__{name}": value(typed, payer) for name, typed in PAYER.items()},
        "single__amount": amount,
        "tokens__small": value(SMALL, single),
        "rates__payments": value(TYPED[1], rate),
        "over__over": None if amount is None else 10.0 - amount,
    }


def without_deleted(case: Case, row: Row | None) -> Row | None:
    return None if row is not None and case.deletes and value(FLAG, row) else row


def value(typed: Typed, row: Row | None) -> Any:
    if row is None or row.variant is None:
        return None
    return (typed.expected or typed.values)[row.variant]


PAYER = {typed.name: typed for typed in TYPED if typed.name in {"amount", "words"}}
SMALL, FLAG = (next(t for t in TYPED if t.name == name) for name in ("small", "flag"))


# The store


@pytest.fixture(scope="module")
def warehouse(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with environment(local_aws):
        yield Warehouse(local_aws, tmp_path_factory.mktemp("oracle"))


NUMBERS = itertools.count()
LEFT_ENTITY = Entity(name="left", join_keys=["left"], value_type=ValueType.STRING)
RIGHT_ENTITY = Entity(name="right", join_keys=["right"], value_type=ValueType.INT64)
TOKEN_ENTITY = Entity(name="token", join_keys=["token"], value_type=ValueType.BYTES)


def over_limit(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"over": inputs["limit"] - inputs["amount"]})


def single_view(source: AthenaSource, **options: Any) -> FeatureView:
    return FeatureView(
        name="single",
        entities=[LEFT_ENTITY],
        schema=[Field(name="left", dtype=String), Field(name="amount", dtype=Float64)],
        source=source,
        **options,
    )


LIMITS = RequestSource(name="asked", schema=[Field(name="limit", dtype=Float64)])
OVER = on_demand_feature_view(
    name="over",
    sources=[LIMITS, single_view(AthenaSource(name="any", table="any", timestamp_field="any"))],
    schema=[Field(name="over", dtype=Float64)],
)(over_limit)


def prepare(warehouse: Warehouse, case: Case) -> FeatureStore:
    """The case's rows as a table, and the views over it."""
    table = f"pairs{next(NUMBERS)}"
    types = {
        "le ft": "string",
        "right": "bigint",
        "token": "binary",
        "event_time": "timestamp",
        "created": "timestamp",
        "us": "bigint",
        **{typed.column: typed.hive for typed in TYPED},
    }
    warehouse.add(table, stored(case.rows), types | {"day": "string"}, days="day")
    mapping = {"le ft": "left", **{t.column: t.name for t in TYPED if t.column != t.name}}
    tags = {"event_time_us": "us"} if case.precise else {}
    source = warehouse.source(table, date_partition_column="day", field_mapping=mapping, tags=tags)
    columns = 'us, "le ft", created, event_time, "amo unt" AS amount'
    query = warehouse.query(
        f"SELECT {columns} FROM {table};", field_mapping={"le ft": "left"}, tags=tags
    )
    tags = {"publication_delay": f"{case.delay}us"}
    common = {"ttl": timedelta(microseconds=case.ttl or 0), "tags": tags}
    pairs = {"tags": tags | ({"deleted_field": "flag"} if case.deletes else {})}
    entities = [LEFT_ENTITY, RIGHT_ENTITY, TOKEN_ENTITY]
    return warehouse.store([*entities, *define(source, query, common, common | pairs)])


def define(source: Any, query: Any, common: dict[str, Any], of_pairs: dict[str, Any]) -> list[Any]:
    left, right = Field(name="left", dtype=String), Field(name="right", dtype=Int64)
    pairs = FeatureView(
        name="pairs",
        entities=[LEFT_ENTITY, RIGHT_ENTITY],
        schema=[left, right, *(Field(name=t.name, dtype=t.feast) for t in TYPED)],
        source=source,
        **of_pairs,
    )
    single = single_view(query, **common)
    rates = FeatureView(
        name="rates",
        entities=[],
        schema=[Field(name="payments", dtype=Int64)],
        source=source,
        **common,
    )
    tokens = FeatureView(
        name="tokens",
        entities=[TOKEN_ENTITY],
        schema=[Field(name="token", dtype=Bytes), Field(name="small", dtype=Int32)],
        source=source,
        **common,
    )
    payer = pairs.with_name("payer").with_join_key_map(
        {"left": "payer_left", "right": "payer_right"}
    )
    payee = pairs.with_name("payee")
    service = FeatureService(
        name="all", features=[payee, payer[list(PAYER)], single, tokens, rates, OVER]
    )
    return [pairs, single, tokens, rates, OVER, service]


def stored(rows: Sequence[Row]) -> pa.Table:
    moments = [instant(row.at) for row in rows]
    created = [None if row.created is None else instant(row.created) for row in rows]
    base = int(START.timestamp()) * 1_000_000
    columns = {
        "le ft": pa.array([row.left for row in rows], pa.string()),
        "right": pa.array([row.right for row in rows], pa.int64()),
        "token": pa.array([TOKENS[row.left] for row in rows], pa.binary()),
        "event_time": pa.array(moments, pa.timestamp("us")).cast(pa.timestamp("ms"), safe=False),
        "created": pa.array(created, pa.timestamp("ms")),
        "us": pa.array([base + row.at for row in rows], pa.int64()),
        "day": pa.array([f"{moment:%Y-%m-%d}" for moment in moments], pa.string()),
    }
    for typed in TYPED:
        values = [None if row.variant is None else typed.values[row.variant] for row in rows]
        columns[typed.column] = pa.array(values, typed.arrow)
    return pa.table(columns)


def entities(case: Case) -> pd.DataFrame | str:
    columns = ("left", "right", "payer_left", "payer_right")
    frame = pd.DataFrame([[getattr(a, c) for c in columns] for a in case.asked], columns=columns)
    frame["event_timestamp"] = [instant(asked.at) for asked in case.asked]
    frame["token"] = [TOKENS[asked.left] for asked in case.asked]
    frame["limit"], frame["note"] = 10.0, range(len(case.asked))
    if not case.as_sql:
        return frame
    rows = [
        [
            *(getattr(asked, c) for c in columns),
            instant(asked.at),
            TOKENS[asked.left],
            10.0,
            note,
        ]
        for note, asked in enumerate(case.asked)
    ]
    values = ",\n".join(f"({', '.join(map(literal, row))})" for row in rows)
    return f"SELECT * FROM (VALUES\n{values}\n) AS t ({', '.join(frame.columns)})"


@settings(
    max_examples=10,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a case takes seconds: none is shrunk
)
@given(case=CASES)
def test_a_call_answers_what_the_reference_answers(warehouse: Warehouse, case: Case) -> None:
    store = prepare(warehouse, case)
    job = store.get_historical_features(
        entities(case), store.get_feature_service("all"), full_feature_names=True
    )
    if case.as_of is not None:
        job = job.as_of(instant(case.as_of))
    found = job.to_arrow()
    assert found["note"].to_pylist() == list(range(len(case.asked)))
    for asked, row in zip(case.asked, found.to_pylist(), strict=True):
        answered = {name: row[name] for name in expected(case, asked)}
        answered["over__over"] = None if pd.isna(answered["over__over"]) else answered["over__over"]
        assert answered == expected(case, asked)


TO_THE_MILLISECOND = Case(
    [Row("1", 23, at, MINUTE, 0) for at in (0, 1, 999, 1000, 2 * MINUTE)],
    [Asked("1", 23, None, None, 0)],
    ttl=None,
    delay=0,
    precise=True,
    as_of=None,
    as_sql=False,
    deletes=False,
)
RANGED = ("pairs:amount", "pairs:words", "pairs:flag", "rates:payments")


@settings(
    max_examples=5,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@example(case=TO_THE_MILLISECOND, first=0, last=6 * MINUTE)
@given(case=CASES, first=MINUTES, last=MINUTES)
def test_a_range_of_time_answers_each_moment_at_which_a_row_became_known(
    warehouse: Warehouse, case: Case, first: int, last: int
) -> None:
    first, last = sorted((first, last))
    store = prepare(warehouse, case)
    found = store.get_historical_features(
        features=list(RANGED),
        start_date=instant(first),
        end_date=instant(last),
        full_feature_names=True,
    ).to_arrow()
    answered = {
        (row["left"], row["right"], row["event_timestamp"]): {
            feature: row[feature.replace(":", "__")] for feature in RANGED
        }
        for row in found.to_pylist()
    }
    assert len(answered) == found.num_rows
    assert answered == {
        (left, right, instant(at)): ranged(case, left, right, at)
        for left, right, at in moments(case, first, last)
    }


def moments(case: Case, first: int, last: int) -> set[tuple[str, int, int]]:
    """Rounded up to milliseconds, as entity rows of a range are."""
    return {
        (row.left, row.right, -(-(event(case, row) + case.delay) // 1000) * 1000)
        for row in case.rows
        if row.left is not None
        and row.right is not None
        and first <= event(case, row) + case.delay <= last
    }


def ranged(case: Case, left: str, right: int, at: int) -> dict[str, Any]:
    pair = without_deleted(case, latest(replace(case, as_of=None), at, left=left, right=right))
    rate = latest(replace(case, as_of=None), at)
    of_pair = {f"pairs:{t.name}": value(t, pair) for t in TYPED if f"pairs:{t.name}" in RANGED}
    return of_pair | {"rates:payments": value(TYPED[1], rate)}
