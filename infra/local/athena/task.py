"""One query at work: where it runs, what it may use, what comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb

from infra.local.athena.results import ResultColumn
from infra.local.athena.statements import Name


@dataclass(frozen=True)
class Task:
    """What a statement gets to do its work.

    output: the folder of results, ending in '/'. scanned: to be told the bytes before they are
    read; it stops the query when a limit is passed.
    """

    id: str
    work_group: str
    database: str
    output: str
    connection: duckdb.DuckDBPyConnection
    folder: Path
    scanned: Callable[[int], None]

    def resolve(self, name: Name) -> tuple[str, str]:
        """Database and table that a written name means here."""
        return name.database or self.database, name.table


@dataclass(frozen=True)
class Outcome:
    """What a finished statement leaves.

    form: 'csv' for rows with a header, 'text' for lines, 'none' for a statement without rows.
    """

    form: Literal["csv", "text", "none"]
    output_location: str
    columns: Sequence[ResultColumn] = ()
    lines: Sequence[str] = ()
    update_count: int | None = None
    manifest: str | None = None
    file: Path | None = None
    """The CSV as it was written locally, to be uploaded."""
