"""Whether what a build wrote fits the schema, before anybody can see it.

The files' own types are read from one footer per build, since one statement wrote them all. Their
values are counted by one query over all builds of a run; only what is wrong is looked at again.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

import pyarrow.parquet as pq

from mlops.aws import Aws
from mlops.errors import Refused
from mlops.stores.athena.entities import hive_type
from mlops.stores.athena.results import S3File
from mlops.stores.athena.sql import name
from mlops.stores.athena.staging import Storage
from pipelines.features.buildlog import Build
from pipelines.features.catalog import CatalogTable
from pipelines.features.schemas.columns import SchemaVersion, violations

_EXAMPLES = 3
_RULES_WITH_EXAMPLES = 5


class Footers(Protocol):
    """What Parquet files say of themselves."""

    def columns(self, place: str) -> Mapping[str, str] | None:
        """Hive's types by column of one file below s3://bucket/prefix/; None where none is."""


class S3Footers:
    """Reads the end of a file, not the file."""

    def __init__(self, aws: Aws) -> None:
        self._storage = Storage(aws)

    def columns(self, place: str) -> Mapping[str, str] | None:
        for uri, size in self._storage.data_files(place):
            buffered = io.BufferedReader(S3File(self._storage, uri, size))
            with pq.ParquetFile(buffered, pre_buffer=False) as file:
                return {
                    field.name: hive_type(field.type, field.name) for field in file.schema_arrow
                }
        return None


@dataclass(frozen=True)
class Rule:
    """What no row may be: in words, as SQL, and the value to show of one that is."""

    words: str
    condition: str
    shown: str


@dataclass(frozen=True)
class Stored:
    """What the checked rows are called in their files."""

    version: SchemaVersion
    key: str
    event_time: str

    @property
    def identity(self) -> tuple[str, str]:
        """What makes a row one row, within its day."""
        return name(self.key), name(self.event_time)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Each column's own, and that a row lies in the partition of its day."""
        own = [
            Rule(f"{column.name} {words}", condition, name(column.stored))
            for column in self.version.columns
            for words, condition in violations(column.column, column.stored).items()
        ]
        moment = name(self.event_time)
        misplaced = f'CAST({moment} AS date) <> CAST("day" AS date)'
        return (*own, Rule("event_time is not of its partition's day", misplaced, '"day"'))


def stored_of(version: SchemaVersion, key: str) -> Stored:
    stored = {column.name: column.stored for column in version.columns}
    return Stored(version, stored[key], stored["event_time"])


def counts_sql(source: str, stored: Stored) -> str:
    """Per day: rows, rows of a (key, event time) too many, and rows that each rule refuses."""
    rules = stored.rules
    refused = ", ".join(f"count_if({rule.condition}) AS r{n}" for n, rule in enumerate(rules))
    sums = ", ".join(f"sum(r{n})" for n in range(len(rules)))
    keys = ", ".join(('"day"', *stored.identity))
    return (
        f'SELECT "day", sum(n), sum(n - 1), {sums}\nFROM (\n'  # noqa: S608  # ours
        f"  SELECT {keys}, count(*) AS n, {refused}\n  FROM {source}\n  GROUP BY {keys}\n)\n"
        'GROUP BY "day"\nORDER BY "day"'
    )


def examples_sql(source: str, stored: Stored, rule: Rule) -> str:
    """A few rows that a rule refuses: key, event time, value."""
    shown = ", ".join(map(_text, (*stored.identity, rule.shown)))
    return f"SELECT {shown}\nFROM {source}\nWHERE {rule.condition}\nLIMIT {_EXAMPLES}"


def twice_sql(source: str, stored: Stored) -> str:
    """A few rows that are there more than once: key, event time, how often."""
    shown = ", ".join(map(_text, (*stored.identity, "count(*)")))
    return (
        f"SELECT {shown}\nFROM {source}\n"
        f'GROUP BY "day", {", ".join(stored.identity)}\nHAVING count(*) > 1\nLIMIT {_EXAMPLES}'
    )


def _text(expression: str) -> str:
    return f"CAST({expression} AS varchar)"


def check_builds(
    catalog: CatalogTable,
    version: SchemaVersion,
    builds: Sequence[Build],
    footers: Footers,
    *,
    expected: Iterable[date],
) -> int:
    """How many rows the builds wrote.

    expected: the days that must have rows. Raises Refused with what does not fit, how often, and
    examples.
    """
    _check_types(catalog, version, builds, footers)
    stored = stored_of(version, catalog.table.key)
    with catalog.unlogged(builds, version) as table:
        source = f"{name(catalog.database)}.{name(table)}"
        counted = catalog.queries.rows(counts_sql(source, stored))
        rows = {date.fromisoformat(str(day)): int(n) for day, n, *_ in counted}
        totals = [sum(int(row[n]) for row in counted) for n in range(2, 3 + len(stored.rules))]
        faults = [*_empty(rows, expected), *_refused(catalog, source, stored, totals)]
        if faults:
            raise Refused(
                _complaint(catalog.table.name, version, builds, sum(rows.values()), faults)
            )
    return sum(rows.values())


def _check_types(
    catalog: CatalogTable, version: SchemaVersion, builds: Sequence[Build], footers: Footers
) -> None:
    for build in builds:
        found = footers.columns(catalog.place(build))
        if found is not None and dict(found) != version.written:
            faults = list(_differing(version.written, found))
            raise Refused(_complaint(catalog.table.name, version, [build], None, faults))


def _differing(wanted: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    for column in [*wanted, *(c for c in found if c not in wanted)]:
        if wanted.get(column) != found.get(column):
            yield (
                f"column {column} was written as {found.get(column, 'nothing')} and is "
                f"{wanted.get(column, 'unknown')}"
            )


def _empty(rows: Mapping[date, int], expected: Iterable[date]) -> list[str]:
    empty = [day for day in expected if not rows.get(day)]
    words = "days without a row, though there are payments before them"
    return [f"{words}: {_few(empty)}"] if empty else []


def _few(days: Sequence[date]) -> str:
    shown = ", ".join(str(day) for day in days[:_EXAMPLES])
    more = len(days) - _EXAMPLES
    return f"{shown} and {more} more" if more > 0 else shown


def _refused(
    catalog: CatalogTable, source: str, stored: Stored, totals: Sequence[int]
) -> Iterator[str]:
    """totals: rows that are there more than once, then what each rule refuses."""
    words = f"({catalog.table.key}, event_time) is there more than once"
    broken = [(words, twice_sql(source, stored), totals[0])]
    broken += [
        (rule.words, examples_sql(source, stored, rule), count)
        for rule, count in zip(stored.rules, totals[1:], strict=True)
    ]
    for number, (words, sql, count) in enumerate(one for one in broken if one[2]):
        shown = ""
        if number < _RULES_WITH_EXAMPLES:
            shown = f" ({'; '.join(_example(row) for row in catalog.queries.rows(sql))})"
        yield f"{words} in {count:,} rows{shown}"


def _example(row: Sequence[object]) -> str:
    key, moment, value = ("null" if part is None else str(part) for part in row)
    return f"{key} at {moment}: {value}"


def _complaint(
    table: str,
    version: SchemaVersion,
    builds: Sequence[Build],
    rows: int | None,
    faults: Iterable[str],
) -> str:
    days = f"{builds[0].days.first} to {builds[-1].days.last}"
    counted = "" if rows is None else f" ({rows:,} rows)"
    return (
        f"What was built of feature table '{table}' for {days}{counted} does not fit version "
        f"{version.number} of its schema, and was removed: {'; '.join(faults)}. Correct the "
        f"payments, the table's SQL or its schema ('mlops features schema show {table}'), then "
        "build again."
    )
