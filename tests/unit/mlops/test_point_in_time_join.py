"""The join's SQL against a brute-force reference, on cases that hypothesis makes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops.stores.athena.join import AT, ROW, Carried, Feature, Join, Key, View, join_sql
from mlops.stores.athena.sql import TimeColumn, Window, to_microseconds
from mlops.stores.athena.views import without_deleted
from tests.athena_engine import MemoryAthena

START = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE = 60_000_000


@dataclass(frozen=True)
class FeatureRow:
    key: tuple[str | None, ...]
    minute: int
    created: int | None
    values: tuple[float | None, str | None]
    gone: bool | None = None


@dataclass(frozen=True)
class EntityRow:
    key: tuple[str | None, ...]
    minute: int


@dataclass(frozen=True)
class Rules:
    ttl: int | None = None
    delay: int = 0
    as_of: int | None = None
    by_created: bool = False
    deletes: bool = False


def reference(
    entity: EntityRow, rows: Sequence[FeatureRow], rules: Rules
) -> tuple[float | None, str | None]:
    """The definition in words, looked up row by row."""
    if None in entity.key:
        return (None, None)
    if rules.deletes:
        rows = [replace(row, values=(None, None)) if row.gone else row for row in rows]
    seen = [
        row
        for row in rows
        if row.key == entity.key
        and row.minute + rules.delay <= entity.minute
        and (rules.as_of is None or (row.created is not None and row.created <= rules.as_of))
        and (not rules.by_created or (row.created is not None and row.created <= entity.minute))
    ]
    if not seen:
        return (None, None)
    latest = max(seen, key=_rank)
    if rules.ttl is not None and entity.minute - latest.minute > rules.ttl:
        return (None, None)
    return latest.values


def _rank(row: FeatureRow) -> tuple[Any, ...]:
    return (row.minute, *(_missing_first(v) for v in (row.created, *row.values)))


def _missing_first(value: Any) -> tuple[bool, Any]:
    return (value is not None, value if value is not None else 0)


KEYS = st.sampled_from([("1", "23"), ("12", "3"), ("1", "2"), (None, "3"), ("1", None)])
MINUTES = st.integers(0, 8)
VALUES = st.tuples(
    st.sampled_from([None, -0.5, 1.0, 2.5]), st.sampled_from([None, "", "x", "O'Neil"])
)
FEATURE_ROWS = st.lists(
    st.builds(FeatureRow, KEYS, MINUTES, st.none() | MINUTES, VALUES, st.none() | st.booleans()),
    max_size=14,
)
ENTITY_ROWS = st.lists(st.builds(EntityRow, KEYS, MINUTES), min_size=1, max_size=8)
RULES = st.builds(
    Rules,
    st.none() | st.integers(0, 5),
    st.integers(0, 3),
    st.none() | MINUTES,
    st.booleans(),
    st.booleans(),
)


@pytest.fixture(scope="module")
def athena() -> Iterator[MemoryAthena]:
    engine = MemoryAthena()
    yield engine
    engine.connection.close()


def _time(minute: int | None) -> datetime | None:
    return None if minute is None else (START + timedelta(minutes=minute)).replace(tzinfo=None)


def _load(athena: MemoryAthena, rows: Sequence[FeatureRow], entities: Sequence[EntityRow]) -> None:
    milliseconds = pa.timestamp("ms")
    columns = {
        "left": pa.array([r.key[0] for r in rows], pa.string()),
        "right": pa.array([r.key[1] for r in rows], pa.string()),
        "at": pa.array([_time(r.minute) for r in rows], milliseconds),
        "made": pa.array([_time(r.created) for r in rows], milliseconds),
        "number": pa.array([r.values[0] for r in rows], pa.float64()),
        "text": pa.array([r.values[1] for r in rows], pa.string()),
        "gone": pa.array([r.gone for r in rows], pa.bool_()),
    }
    types = dict.fromkeys(columns, "string") | {"number": "double", "gone": "boolean"}
    athena.add("features", pa.table(columns), types | {"at": "timestamp", "made": "timestamp"})
    at = [to_microseconds(START) + e.minute * MINUTE for e in entities]
    given = {
        ROW: pa.array(range(len(entities)), pa.int64()),
        AT: pa.array(at, pa.int64()),
        "key0": pa.array([e.key[0] for e in entities], pa.string()),
        "key1": pa.array([e.key[1] for e in entities], pa.string()),
    }
    kinds = {ROW: "bigint", AT: "bigint", "key0": "string", "key1": "string"}
    athena.add("entities", pa.table(given), kinds)


def _view(rules: Rules) -> View:
    view = View(
        title="v",
        relation='"tests"."features"',
        keys=(Key("left", "string", "varchar", "key0"), Key("right", "string", "varchar", "key1")),
        features=(Feature("number", "double", "number"), Feature("text", "string", "text")),
        event_time=TimeColumn("at", "timestamp"),
        created=TimeColumn("made", "timestamp"),
        ttl=None if rules.ttl is None else rules.ttl * MINUTE,
        delay=rules.delay * MINUTE,
    )
    return without_deleted(view, "gone") if rules.deletes else view


def _join(rules: Rules, entities: Sequence[EntityRow]) -> Join:
    moments = [to_microseconds(START) + e.minute * MINUTE for e in entities]
    as_of = None if rules.as_of is None else to_microseconds(START) + rules.as_of * MINUTE
    return Join(
        views=(_view(rules),),
        entities='"tests"."entities"',
        times=Window(min(moments), max(moments)),
        as_of=as_of,
        by_created=rules.by_created,
    )


def _answers(athena: MemoryAthena, sql: str) -> list[tuple[Any, ...]]:
    table = athena.query(sql)
    return sorted(zip(*(column.to_pylist() for column in table.columns), strict=True))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=FEATURE_ROWS, entities=ENTITY_ROWS, rules=RULES)
def test_every_entity_row_gets_what_the_definition_says_whatever_the_rows(
    athena: MemoryAthena,
    rows: list[FeatureRow],
    entities: list[EntityRow],
    rules: Rules,
) -> None:
    _load(athena, rows, entities)
    answered = _answers(athena, join_sql(_join(rules, entities)))
    expected = [(n, *reference(entity, rows, rules)) for n, entity in enumerate(entities)]
    assert [(n, *values) for n, *values in answered] == expected


@settings(max_examples=30, deadline=None)
@given(rows=FEATURE_ROWS, entities=ENTITY_ROWS, order=st.randoms(use_true_random=False))
def test_the_answer_does_not_depend_on_the_order_in_which_rows_lie(
    athena: MemoryAthena, rows: list[FeatureRow], entities: list[EntityRow], order: Any
) -> None:
    sql = join_sql(_join(Rules(), entities))
    _load(athena, rows, entities)
    first = _answers(athena, sql)
    order.shuffle(rows)
    _load(athena, rows, entities)
    assert _answers(athena, sql) == first


def test_sparse_results_leave_out_entity_rows_with_a_null_key(athena: MemoryAthena) -> None:
    entities = [EntityRow((None, "3"), 1), EntityRow(("1", "2"), 1)]
    _load(athena, [], entities)
    join = _join(Rules(), entities)
    assert [row[0] for row in _answers(athena, join_sql(join, sparse=True))] == [1]
    assert [row[0] for row in _answers(athena, join_sql(join))] == [0, 1]


def test_carried_columns_are_repeated_under_their_own_names(athena: MemoryAthena) -> None:
    entities = [EntityRow(("1", "2"), 1)]
    _load(athena, [], entities)
    sql = join_sql(_join(Rules(), entities), [Carried("key0", 'who "is" it')], ordinal=False)
    assert athena.query(sql).column_names == ['who "is" it', "number", "text"]


def test_each_feature_table_is_read_once(athena: MemoryAthena) -> None:
    sql = join_sql(_join(Rules(ttl=1, by_created=True), [EntityRow(("1", "2"), 1)]))
    assert sql.count('"tests"."features"') == 1
    assert sql.count("v0_rows\n") == 1
    assert sql.count("FROM v0_in_time\n") == 1


NUMBERS = st.sampled_from([-(2**31) - 1, -(2**31), 0, 7, 2**31 - 1, 2**31, 2**62, None])


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(NUMBERS, st.integers(0, 3), st.integers(0, 9)), max_size=8),
    asked=st.lists(st.tuples(NUMBERS, st.integers(0, 3)), min_size=1, max_size=5),
)
def test_keys_within_reach_of_the_entity_rows_are_answered_as_without(
    athena: MemoryAthena,
    rows: list[tuple[int | None, int, int]],
    asked: list[tuple[int | None, int]],
) -> None:
    columns = {
        "k": pa.array([k for k, _, _ in rows], pa.int64()),
        "at": pa.array([_time(minute) for _, minute, _ in rows], pa.timestamp("ms")),
        "v": pa.array([v for _, _, v in rows], pa.int64()),
    }
    athena.add("features", pa.table(columns), {"k": "bigint", "at": "timestamp", "v": "bigint"})
    given = {
        ROW: pa.array(range(len(asked)), pa.int64()),
        AT: pa.array([to_microseconds(START) + m * MINUTE for _, m in asked], pa.int64()),
        "key0": pa.array([k for k, _ in asked], pa.int64()),
    }
    athena.add("entities", pa.table(given), dict.fromkeys(given, "bigint"))
    view = View(
        title="v",
        relation='"tests"."features"',
        keys=(Key("k", "bigint", "bigint", "key0"),),
        features=(Feature("v", "bigint", "v"),),
        event_time=TimeColumn("at", "timestamp"),
    )
    keys = [k for k, _ in asked if k is not None]
    join = Join((view,), '"tests"."entities"')
    near = replace(join, reach={"key0": (min(keys), max(keys))} if keys else {})
    assert _answers(athena, join_sql(near)) == _answers(athena, join_sql(join))


def test_rows_that_tie_are_told_apart_only_where_they_were_grouped() -> None:
    sql = join_sql(_join(Rules(ttl=1), [EntityRow(("1", "2"), 1)]))
    assert "ORDER BY point)" in sql
    assert "NULLS FIRST" not in sql


def test_of_rows_that_tie_in_all_but_a_number_what_is_no_number_counts(
    athena: MemoryAthena,
) -> None:
    entities = [EntityRow(("1", "2"), 2)]
    rows = [FeatureRow(("1", "2"), 1, 1, (v, None)) for v in (1.0, float("nan"), None, 2.5)]
    for turned in (rows, rows[::-1]):
        _load(athena, turned, entities)
        ((_, number, _),) = _answers(athena, join_sql(_join(Rules(), entities)))
        assert math.isnan(number)


def test_no_window_looks_backwards_for_what_is_not_null() -> None:
    # Trino steps over nulls one by one, for every row anew: many entity rows of one key would take
    # the square of their number.
    sql = join_sql(_join(Rules(ttl=1, by_created=True), [EntityRow(("1", "2"), 1)]))
    assert "IGNORE NULLS" not in sql


@pytest.mark.parametrize(
    ("type_", "written", "microseconds"),
    [
        ("timestamp", "TIMESTAMP '2024-01-01 00:00:01.234'", 1_234_000),
        ("timestamp(6)", "TIMESTAMP '2024-01-01 00:00:01.234567'", 1_234_567),
        ("timestamp(3) with time zone", "TIMESTAMP '2024-01-01 09:00:01.234 +09:00'", 1_234_000),
        ("date", "DATE '2024-01-01'", 0),
        ("bigint", str(to_microseconds(START) + 5), 5),
    ],
)
def test_times_of_every_type_become_microseconds(
    athena: MemoryAthena, type_: str, written: str, microseconds: int
) -> None:
    column = TimeColumn("t", type_).microseconds()
    found = athena.query(f"SELECT {column} AS us FROM (SELECT {written} AS t)")
    assert found["us"].to_pylist() == [to_microseconds(START) + microseconds]
