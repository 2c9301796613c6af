"""What was written is counted by one query that agrees with a look at every row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.features.schemas.columns import Column, SchemaVersion, first_version
from pipelines.features.schemas.differences import next_version
from pipelines.features.verification import counts_sql, examples_sql, stored_of, twice_sql
from tests.athena_engine import DATABASE, MemoryAthena

NOW = datetime(2025, 1, 1, tzinfo=UTC)
ENGINE = MemoryAthena()
COLUMNS = (
    Column(name="key", type="string", required=True),
    Column(name="event_time", type="timestamp", required=True),
    Column(name="created", type="timestamp", required=True),
    Column(name="n", type="bigint", required=True, minimum=0),
    Column(name="share", type="double", minimum=0.25, maximum=1),
    Column(name="word", type="string", values=("it's", "b")),
)
SOURCE = f'"{DATABASE}"."written"'
DAYS = ("2025-01-01", "2025-01-02")
Row = dict[str, Any]


def at(text: str) -> datetime:
    """A time as tables of Athena hold it: without zone, in UTC."""
    return datetime.fromisoformat(text)


moments = st.sampled_from(
    [None, *map(at, ("2025-01-01", "2025-01-01 23:59:59.999", "2025-01-02", "2025-01-02 23:00"))]
)
rows = st.lists(
    st.fixed_dictionaries(
        {
            "key": st.sampled_from([None, "a", "b"]),
            "event_time": moments,
            "created": moments,
            "n": st.sampled_from([None, -1, 0, 2**40]),
            "share": st.sampled_from([None, 0.0, 0.25, 1.0, 1.5, float("nan"), float("inf")]),
            "word": st.sampled_from([None, "it's", "b", "c"]),
            "day": st.sampled_from(DAYS),
        }
    ),
    max_size=12,
)


def write(given_: Sequence[Row], version: SchemaVersion) -> None:
    """The rows as a table with the columns' stored names."""
    kinds = {"string": pa.string(), "timestamp": pa.timestamp("ms"), "bigint": pa.int64()}
    stored = {c.name: c.stored for c in version.columns} | {"day": "day"}
    types = {c.stored: kinds.get(c.column.type, pa.float64()) for c in version.columns}
    schema = pa.schema([*types.items(), ("day", pa.string())])
    renamed = [{stored[name]: value for name, value in row.items()} for row in given_]
    ENGINE.add(
        "written", pa.Table.from_pylist(renamed, schema=schema), version.written | {"day": "string"}
    )


def is_finite(value: float | None) -> bool:
    return value is None or abs(value) < float("inf")


def faults(row: Row) -> list[bool]:
    """By hand, in the order of the rules."""
    share, moment = row["share"], row["event_time"]
    return [
        row["key"] is None,
        moment is None,
        row["created"] is None,
        row["n"] is None,
        row["n"] is not None and row["n"] < 0,
        not is_finite(share),
        # Of what is not finite no more is asked: it is refused already.
        share is not None and is_finite(share) and share < 0.25,
        share is not None and is_finite(share) and share > 1,
        row["word"] is not None and row["word"] not in ("it's", "b"),
        moment is not None and str(moment.date()) != row["day"],
    ]


def by_hand(given_: Sequence[Row]) -> list[tuple[Any, ...]]:
    found = []
    for day in DAYS:
        own = [row for row in given_ if row["day"] == day]
        times = Counter((row["key"], row["event_time"]) for row in own)
        counted = [sum(column) for column in zip(*map(faults, own), strict=True)]
        if own:
            found.append((day, len(own), sum(n - 1 for n in times.values()), *counted))
    return found


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(given_=rows)
def test_the_query_counts_what_a_look_at_every_row_finds(given_: list[Row]) -> None:
    version = first_version(COLUMNS, at=NOW, by="me")
    write(given_, version)
    found = ENGINE.query(counts_sql(SOURCE, stored_of(version, "key"))).to_pylist()
    counted = [tuple(row.values()) for row in found]
    # Infinity and NaN may also be out of bounds, by engine; they are refused by a rule of theirs.
    assert [_without_bounds(row) for row in counted] == [
        _without_bounds(r) for r in by_hand(given_)
    ]
    if all(is_finite(row["share"]) for row in given_):
        assert counted == by_hand(given_)


def _without_bounds(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*row[:9], *row[11:])


GOOD: Row = {
    "key": "a",
    "event_time": at("2025-01-01"),
    "created": at("2025-01-01"),
    "n": 1,
    "share": 0.5,
    "word": "b",
    "day": "2025-01-01",
}


def test_an_example_shows_whose_row_it_is_and_the_value() -> None:
    version = first_version(COLUMNS, at=NOW, by="me")
    write([GOOD, GOOD | {"key": "b", "n": -3}], version)
    stored = stored_of(version, "key")
    [rule] = [rule for rule in stored.rules if rule.words == "n is below 0"]
    [row] = ENGINE.query(examples_sql(SOURCE, stored, rule)).to_pylist()
    assert list(row.values()) == ["b", "2025-01-01 00:00:00.000", "-3"]


def test_a_row_in_the_wrong_partition_is_shown_with_the_partition() -> None:
    version = first_version(COLUMNS, at=NOW, by="me")
    write([GOOD | {"day": "2025-01-02"}], version)
    stored = stored_of(version, "key")
    [row] = ENGINE.query(examples_sql(SOURCE, stored, stored.rules[-1])).to_pylist()
    assert list(row.values()) == ["a", "2025-01-01 00:00:00.000", "2025-01-02"]


def test_what_is_there_more_than_once_is_shown_with_how_often() -> None:
    version = first_version(COLUMNS, at=NOW, by="me")
    write([GOOD, GOOD, GOOD | {"day": "2025-01-02"}, GOOD | {"key": "b"}], version)
    [row] = ENGINE.query(twice_sql(SOURCE, stored_of(version, "key"))).to_pylist()
    assert list(row.values()) == ["a", "2025-01-01 00:00:00.000", "2"]


def test_a_column_that_is_stored_under_another_name_is_checked_there() -> None:
    first = first_version(COLUMNS, at=NOW, by="me")
    renamed = [c for c in COLUMNS if c.name not in {"key", "n"}]
    renamed += [
        Column(name="who", type="string", required=True, formerly="key"),
        Column(name="n", type="double", minimum=0),
    ]
    version = next_version([first], renamed, at=NOW, by="me", why="")
    row = {name: value for name, value in GOOD.items() if name != "key"} | {"who": None, "n": -1.0}
    write([row], version)
    stored = stored_of(version, "who")
    [counted] = ENGINE.query(counts_sql(SOURCE, stored)).to_pylist()
    _, _, _, *refused = counted.values()
    broken = [rule.words for rule, n in zip(stored.rules, refused, strict=True) if n]
    assert broken == ["who is null", "n is below 0"]
