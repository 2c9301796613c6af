"""The documented statements of Trino and Athena, each with the result that is documented for it.

They stand in the files of `documented/`, a page of the documentation each:

    SELECT abs(-3);  -- integer => 3
    SELECT 1 / 0;  -- ! DIVISION_BY_ZERO: Division by zero
    SELECT x, y FROM (VALUES (1, 'a')) AS t(x, y);
    -- x | y
    -- 1 | a

A type before => is held, too, and rows are in order where the statement orders them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from infra.local.athena.analyzer import Analyzer
from infra.local.athena.catalog import Table
from infra.local.athena.dialect import parse_query
from infra.local.athena.errors import QueryFailed, from_duckdb
from infra.local.athena.extensions import extend
from infra.local.athena.functions import FUNCTIONS
from infra.local.athena.operators import Typed
from infra.local.athena.results import shown

PAGES = sorted((Path(__file__).parent / "documented").glob("*.sql"))
_STATEMENT = re.compile(r"(.*?;)\s*(?:--\s?(.*))?$")


@dataclass(frozen=True)
class Documented:
    """A statement and what it says of its result: an error, one value, or a table."""

    sql: str
    error: str = ""
    kind: str = ""
    value: str | None = None
    table: tuple[str, ...] = ()

    @property
    def rows(self) -> list[list[str | None]]:
        lines = self.table[1:]
        return [[_cell(cell) for cell in line.split(" | ")] for line in lines]


def _cell(text: str) -> str | None:
    return None if text.strip() == "NULL" else text.strip()


def read_page(path: Path) -> Iterator[Documented]:
    """The statements of one page."""
    for block in re.split(r"\n(?!-- )", path.read_text()):
        first, *comments = block.split("\n")
        found = _STATEMENT.fullmatch(first)
        if found is None:
            assert not first or first.startswith("--"), f"{path.name}: {first}"
            continue
        sql, answer = found[1].removesuffix(";"), found[2]
        if answer is None:
            yield Documented(sql, table=tuple(line.removeprefix("-- ") for line in comments))
        elif answer.startswith("! "):
            yield Documented(sql, error=answer.removeprefix("! "))
        else:
            kind, _, value = answer.partition("=>")
            shown_value = value.removeprefix(" ")
            yield Documented(
                sql, kind=kind.strip(), value=None if shown_value == "NULL" else shown_value
            )


STATEMENTS = [
    pytest.param(one, id=f"{page.stem}: {one.sql[:90]}")
    for page in PAGES
    for one in read_page(page)
]


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        extend(connection)
        yield connection


def _no_table(parts: tuple[str, ...], where: str) -> Table:
    raise QueryFailed("TABLE_NOT_FOUND", f"{where}Table '{'.'.join(parts)}' does not exist")


def _no_view(table: Table) -> None:
    raise AssertionError(table)


@dataclass(frozen=True)
class Answer:
    names: list[str]
    kinds: list[str]
    rows: list[list[str | None]]


def evaluate(engine: duckdb.DuckDBPyConnection, sql: str) -> Answer:
    """Names, types and rows, as texts, of a query without tables."""
    query = Analyzer(_no_table, _no_view).analyze(parse_query(sql))  # type: ignore[arg-type]
    columns = ", ".join(shown(Typed(f.sql, f.type)) for f in query.fields)
    try:
        rows = engine.execute(f"SELECT {columns} FROM ({query.sql})").fetchall()
    except duckdb.Error as exc:
        raise from_duckdb(exc) from exc
    fields = query.fields
    return Answer([f.shown for f in fields], [str(f.type) for f in fields], [list(r) for r in rows])


@pytest.mark.parametrize("documented", STATEMENTS)
def test_a_statement_does_what_is_documented(
    engine: duckdb.DuckDBPyConnection, documented: Documented
) -> None:
    if documented.error:
        with pytest.raises(QueryFailed) as failed:
            evaluate(engine, documented.sql)
        assert failed.value.reason.startswith(documented.error)
        return
    answer = evaluate(engine, documented.sql)
    if not documented.table:
        assert answer.rows == [[documented.value]]
        assert documented.kind in ("", *answer.kinds)
        return
    assert answer.names == [_cell(name) for name in documented.table[0].split(" | ")]
    if re.search(r"ORDER BY [^()]*$", documented.sql):
        assert answer.rows == documented.rows
    else:
        assert sorted(map(repr, answer.rows)) == sorted(map(repr, documented.rows))


def test_every_function_has_a_documented_statement() -> None:
    text = "\n".join(page.read_text().lower() for page in PAGES)
    assert [name for name in sorted(FUNCTIONS) if f"{name}(" not in text] == []
