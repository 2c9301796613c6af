"""What differs is told with whom it breaks, and every file stays readable by every version.

Laws over random histories of schemas; a brute-force model follows each value by hand, and the
view's expressions run in the local Athena's engine.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.features.schemas.columns import (
    Column,
    SchemaVersion,
    first_version,
    stored_types,
)
from pipelines.features.schemas.differences import (
    Difference,
    blocks_builds,
    compare,
    next_version,
    widens,
)
from tests.athena_engine import MemoryAthena

NOW = datetime(2025, 1, 1, tzinfo=UTC)
ENGINE = MemoryAthena()
NAMES = "abcde"
TYPES = ("smallint", "int", "bigint", "float", "double", "string")
WIDER = {"smallint": "int", "int": "bigint", "float": "double"}
ARROW = {
    "smallint": pa.int16(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
}


def version(*columns: Column) -> SchemaVersion:
    return first_version(columns, at=NOW, by="me")


def after(history: Sequence[SchemaVersion], declared: Sequence[Column]) -> SchemaVersion:
    return next_version(history, declared, at=NOW, by="me", why="a test")


def kinds(differences: Sequence[Difference]) -> list[tuple[str, str]]:
    return [(difference.kind, difference.column) for difference in differences]


A = Column(name="a", type="int")


@pytest.mark.parametrize(
    ("declared", "wanted"),
    [
        ([A, Column(name="b", type="int", required=True)], [("added", "b")]),
        ([], [("removed", "a")]),
        ([Column(name="b", type="int")], [("added", "b"), ("removed", "a")]),
        ([Column(name="b", type="int", formerly="a")], [("renamed", "a")]),
        ([Column(name="a", type="bigint")], [("widened", "a")]),
        ([Column(name="a", type="double")], [("retyped", "a")]),
        ([Column(name="a", type="int", required=True)], [("tightened", "a")]),
        ([Column(name="a", type="int", minimum=0)], [("tightened", "a")]),
        ([Column(name="a", type="int", description="An a.")], [("described", "a")]),
        (
            [Column(name="b", type="string", formerly="a", required=True)],
            [("renamed", "a"), ("retyped", "a"), ("tightened", "a")],
        ),
    ],
)
def test_each_difference_is_called_by_its_name(
    declared: list[Column], wanted: list[tuple[str, str]]
) -> None:
    assert kinds(compare(version(A), declared)) == wanted


def test_a_rule_that_is_loosened_breaks_nobody() -> None:
    strict = Column(name="a", type="int", required=True, minimum=0, maximum=9)
    [difference] = compare(version(strict), [A])
    assert (difference.kind, difference.breaking) == ("relaxed", False)
    assert difference.words == "relaxed a: required, >= 0, <= 9 -> nullable"


def test_only_words_let_builds_go_on() -> None:
    described = A.model_copy(update={"description": "An a."})
    assert not blocks_builds(compare(version(A), [described]))
    assert blocks_builds(compare(version(A), [described, Column(name="b", type="int")]))


@pytest.mark.parametrize(
    ("before", "after_", "wider"),
    [
        ("int", "bigint", True),
        ("tinyint", "int", True),
        ("bigint", "int", False),
        ("float", "double", True),
        ("double", "float", False),
        ("int", "double", False),
        ("bigint", "double", False),
        ("decimal(10,2)", "decimal(12,2)", True),
        ("decimal(10,2)", "decimal(12,4)", True),
        ("decimal(10,2)", "decimal(10,4)", False),
        ("decimal(10,2)", "double", False),
        ("varchar(3)", "varchar(9)", True),
        ("varchar(9)", "varchar(3)", False),
        ("varchar(3)", "string", True),
        ("string", "varchar(9)", False),
        ("int", "int", False),
        ("decimal(10,2)", "decimal(10,2)", False),
        ("date", "timestamp", False),
    ],
)
def test_a_type_is_wider_when_no_value_can_change(before: str, after_: str, wider: bool) -> None:
    assert widens(before, after_) is wider


def columns(*, name: str | None = None) -> st.SearchStrategy[Column]:
    bounds = st.sampled_from([None, 0.0, 1.0])
    return st.builds(
        Column,
        name=st.sampled_from(NAMES) if name is None else st.just(name),
        type=st.sampled_from(TYPES),
        required=st.booleans(),
        minimum=bounds,
        maximum=bounds,
        values=st.sampled_from([(), ("x",), ("x", "y")]),
        description=st.sampled_from(["", "Words."]),
    )


schemas = st.lists(columns(), unique_by=lambda column: column.name)


@given(schemas)
def test_nothing_differs_from_itself(declared: list[Column]) -> None:
    assert compare(version(*declared), declared) == []


@given(schemas, st.randoms(use_true_random=False))
def test_the_order_of_columns_means_nothing(declared: list[Column], random: Any) -> None:
    shuffled = random.sample(declared, len(declared))
    assert compare(version(*declared), shuffled) == []


@given(schemas, schemas)
def test_after_evolving_nothing_differs_any_more(old: list[Column], new: list[Column]) -> None:
    evolved = after([version(*old)], new)
    assert compare(evolved, new) == []
    assert evolved.number == 2
    assert bool(evolved.changes) == bool(compare(version(*old), new))


@given(schemas, schemas)
def test_additions_alone_break_nobody(old: list[Column], new: list[Column]) -> None:
    known = {column.name for column in old}
    more = [*old, *(column for column in new if column.name not in known)]
    assert not [d for d in compare(version(*old), more) if d.breaking]


VALUES: list[Any] = [None, -1, 0, 0.5, 1, 2]
TEXTS: list[Any] = [None, "x", "y", "z"]


def accepts(column: Column, value: Any) -> bool:
    """Whether a value fits, by hand; numbers are held against bounds, texts against values."""
    if value is None:
        return not column.required
    if isinstance(value, str):
        return not column.values or value in column.values
    return not (
        (column.minimum is not None and value < column.minimum)
        or (column.maximum is not None and value > column.maximum)
    )


@given(schemas, schemas)
def test_a_change_breaks_when_a_value_is_lost_to_readers_or_no_longer_welcome(
    old: list[Column], new: list[Column]
) -> None:
    found = {c.name: c for c in new}
    broken = set()
    for column in old:
        now = found.get(column.name)
        if (
            now is None
            or (column.type != now.type and not widens(column.type, now.type))
            or any(accepts(column, v) and not accepts(now, v) for v in (*VALUES, *TEXTS))
        ):
            broken.add(column.name)
    assert {d.column for d in compare(version(*old), new) if d.breaking} == broken


# Histories


@dataclass
class History:
    """Schemas one after the other, and what a person would follow by hand."""

    versions: list[SchemaVersion] = field(default_factory=list)
    lineages: list[dict[str, int]] = field(default_factory=list)
    """Per version: a number by column, the same as long as the values mean the same."""
    numbers: Any = field(default_factory=itertools.count)

    def start(self, declared: Sequence[Column]) -> None:
        self.versions.append(version(*declared))
        self.lineages.append({column.name: next(self.numbers) for column in declared})

    def evolve(self, declared: Sequence[Column]) -> None:
        before, types = self.lineages[-1], {c.name: c.type for c in self.versions[-1].declared}
        now = {}
        for column in declared:
            source = column.name if column.name in before else column.formerly
            kept = source in before and (
                types[source] == column.type or widens(types[source], column.type)
            )
            now[column.name] = before[source] if kept and source else next(self.numbers)
        self.versions.append(after(self.versions, declared))
        self.lineages.append(now)


@st.composite
def evolved(draw: st.DrawFn, before: Sequence[Column]) -> list[Column]:
    """The columns, each kept, widened, retyped, renamed or removed, and some more."""
    names = [name for name in NAMES if name not in {column.name for column in before}]
    after_ = []
    for column in before:
        what = draw(st.sampled_from(["keep", "widen", "retype", "rename", "remove"]))
        changes: dict[str, Any] = {}
        if what == "widen":
            changes["type"] = WIDER.get(column.type, column.type)
        elif what == "retype":
            changes["type"] = draw(st.sampled_from(TYPES))
        elif what == "rename" and names:
            changes |= {"name": names.pop(), "formerly": column.name}
        if what != "remove":
            after_.append(column.model_copy(update=changes))
    left = [name for name in names if name not in {column.formerly for column in after_}]
    added = draw(st.lists(st.sampled_from(left), max_size=2, unique=True)) if left else []
    return [*after_, *(draw(columns(name=name)) for name in added)]


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Three to five versions."""
    history = History()
    history.start(draw(st.lists(columns(), min_size=1, unique_by=lambda c: c.name)))
    for _ in range(draw(st.integers(2, 4))):
        history.evolve(draw(evolved(history.versions[-1].declared)))
    return history


@given(histories())
def test_a_stored_column_keeps_its_type_for_good(history: History) -> None:
    for number in range(1, len(history.versions)):
        before = stored_types(history.versions[:number])
        assert before.items() <= stored_types(history.versions[: number + 1]).items()


@given(histories())
def test_two_columns_of_a_version_never_share_what_is_stored(history: History) -> None:
    for one in history.versions:
        read = [n for c in one.columns for n in (c.stored, *(older for older, _ in c.narrower))]
        assert len(read) == len(set(read))


def value_of(lineage: int, number: int, kind: str) -> Any:
    """A value that says which column of which version wrote it."""
    told = lineage * 10 + number
    return str(told) if kind == "string" else ARROW[kind].to_pandas_dtype()(told).item()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(histories())
def test_every_version_reads_every_file_as_followed_by_hand(history: History) -> None:
    stored = stored_types(history.versions)
    rows = []
    for number, (one, lineage) in enumerate(zip(history.versions, history.lineages, strict=True)):
        written = {c.stored: value_of(lineage[c.name], number, c.column.type) for c in one.columns}
        rows.append({name: written.get(name) for name in stored} | {"n": number})
    schema = pa.schema([*((n, ARROW[kind]) for n, kind in stored.items()), ("n", pa.int32())])
    ENGINE.add("rows", pa.Table.from_pylist(rows, schema=schema), {**stored, "n": "int"})
    for one, lineage in zip(history.versions, history.lineages, strict=True):
        selected = ", ".join([*(column.selected for column in one.columns), "n AS row_"])
        found = ENGINE.query(f"SELECT {selected} FROM rows ORDER BY n").to_pylist()
        past = list(zip(found, history.lineages, strict=True))[: one.number]
        for row, wrote in past:
            for column in one.columns:
                mine = lineage[column.name]
                wanted = value_of(mine, row["row_"], column.column.type)
                assert row[column.name] == (wanted if mine in wrote.values() else None)


def test_a_column_that_comes_back_does_not_show_what_it_was_before() -> None:
    first = version(A)
    second = after([first], [])
    third = after([first, second], [A])
    assert [column.stored for column in third.columns] == ["a__v3"]
