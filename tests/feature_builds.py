"""Building feature tables without Athena: statements are recorded, tables remember columns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from mlops.errors import JobFailed
from mlops.names import Names
from mlops.objects import Document, MemoryDocuments
from pipelines.data.ledger import Import, Ledger

NAMES = Names("mlops", "test", "000000000000", "eu-west-1")
ROWS_A_DAY = 7
FIRST = date(2025, 1, 1)
_TABLE = re.compile(r"`\w+`\.`(\w+)`")


@dataclass
class RecordedQueries:
    """Athena as a list of statements; knows which columns and partitions a table was given."""

    statements: list[str] = field(default_factory=list)
    fail_at: str | None = None
    """Fails at a statement that contains this text."""
    columns: dict[str, list[str]] = field(default_factory=dict)
    days: dict[str, list[str]] = field(default_factory=dict)
    empty: set[str] = field(default_factory=set)
    """Days for which nothing was written."""
    unfit: dict[int, int] = field(default_factory=dict)
    """Rows that a rule refuses, by the rule's number; -1 is what is there twice."""

    def run(self, sql: str) -> None:
        self.statements.append(sql)
        if self.fail_at and self.fail_at in sql:
            raise JobFailed("Athena: no")
        table = _TABLE.search(sql)
        if table is None:
            return
        name = table[1]
        if sql.startswith("CREATE EXTERNAL TABLE") and name not in self.columns:
            self.columns[name] = re.findall(r"`(\w+)` \w+", sql.partition("PARTITIONED")[0])
        elif "ADD COLUMNS" in sql:
            self.columns[name] += re.findall(r"`(\w+)` \w+", sql)
        elif "ADD IF NOT EXISTS" in sql:
            self.days.setdefault(name, []).extend(re.findall(r"day = '([^']+)'", sql))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        self.statements.append(sql)
        if sql.startswith("SHOW COLUMNS"):
            found = _TABLE.search(sql)
            assert found is not None
            return [(f"{column:<20}",) for column in self.columns[found[1]]]
        if "LIMIT" in sql:
            return [("c1", "2025-01-04 00:00:00.000", "-3.5")]
        return self._counts(sql)

    def _counts(self, sql: str) -> list[tuple[Any, ...]]:
        table = re.findall(r'"\w+"\."(\w+)"', sql)[-1]
        rules = sql.count("count_if(")
        unfit = [self.unfit.get(rule, 0) for rule in range(-1, rules)]
        none = [0] * (rules + 1)
        days = [day for day in self.days[table] if day not in self.empty]
        return [(day, ROWS_A_DAY, *(none if number else unfit)) for number, day in enumerate(days)]

    def kinds(self) -> list[str]:
        """The statements' first words, of those that are not about scratch tables."""
        return [sql.split()[0] for sql in self.statements if "feast_entity_df_" not in sql]

    @property
    def view(self) -> str:
        return next(s for s in reversed(self.statements) if s.startswith("CREATE OR REPLACE VIEW"))


@dataclass
class FixedFooters:
    """What files say of themselves; by default just what was to be written."""

    types: Mapping[str, str] | None = None

    def columns(self, place: str) -> Mapping[str, str] | None:
        return self.types


@dataclass
class RacedDocuments(MemoryDocuments):
    """Documents of which another writes one, right before we do."""

    instead: dict[str, bytes] = field(default_factory=dict)
    """What the other writes, by key; once."""

    def put(self, key: str, body: bytes, *, etag: str | None = None) -> Document:
        if key in self.instead:
            super().put(key, self.instead.pop(key))
        return super().put(key, body, etag=etag)


def paid(days: int, start: date = FIRST, *, after: Ledger | None = None) -> Ledger:
    """A ledger with one more import, of these days."""
    before = after or Ledger()
    one = Import(
        id=before.next_id("x"),
        sha256=str(start),
        file="f",
        rows=1,
        days=tuple(str(start + timedelta(days=n)) for n in range(days)),
        created=datetime(2025, 1, 1, tzinfo=UTC),
    )
    return before.with_commit([one], (), now=one.created, arrivals={}).as_published()
