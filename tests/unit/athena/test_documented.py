"""The documented statements of Trino's queries, each with the result documented for it.

They stand in the files of `documented/`, a page of the documentation each. Those of `velox/` are
recorded answers of another engine of Presto's functions to random arguments.
"""

from __future__ import annotations

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
from tests.documented import Documented, read_page

PAGES = sorted((Path(__file__).parent / "documented").glob("*.sql"))
RECORDED = Path(__file__).parent / "velox" / "functions.sql"
STATEMENTS = [
    pytest.param(one, id=f"{page.stem}: {one.sql[:90]}")
    for page in (*PAGES, RECORDED)
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
    assert answer.names == documented.names
    assert documented.has_rows(answer.rows), answer.rows


def test_every_function_has_a_documented_statement() -> None:
    text = "\n".join(page.read_text().lower() for page in PAGES)
    assert [name for name in sorted(FUNCTIONS) if f"{name}(" not in text] == []
