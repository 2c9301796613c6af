"""Pages of documented statements: SQL files in which each statement carries its result.

    SELECT abs(-3);  -- integer => 3
    SELECT 1 / 0;  -- ! DIVISION_BY_ZERO: Division by zero
    CREATE DATABASE d;  -- ok
    SELECT x, y
    FROM (VALUES (1, 'a')) AS t(x, y);
    -- x | y
    -- 1 | a

A type before => is held, too, and rows are in order where the statement orders them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_END = re.compile(r"(.*);\s*(?:--\s?(.*))?")


@dataclass(frozen=True)
class Documented:
    """A statement and what its page says of it: an error, one value, a table, or nothing."""

    sql: str
    error: str = ""
    kind: str = ""
    value: str | None = None
    table: tuple[str, ...] = ()
    silent: bool = False
    """Whether it only has to succeed."""

    @property
    def names(self) -> list[str]:
        return [name.strip() for name in self.table[0].split(" | ")]

    @property
    def rows(self) -> list[list[str | None]]:
        return [[_cell(cell) for cell in line.split(" | ")] for line in self.table[1:]]

    def has_rows(self, found: Sequence[Sequence[str | None]]) -> bool:
        """Whether these are the rows, in any order unless the statement orders them."""
        given = [list(row) for row in found]
        if re.search(r"ORDER BY [^()]*$", self.sql):
            return given == self.rows
        return sorted(map(repr, given)) == sorted(map(repr, self.rows))


def _cell(text: str) -> str | None:
    return None if text.strip() == "NULL" else text.strip()


def read_page(path: Path) -> Iterator[Documented]:
    """The statements of one page, in order."""
    lines = path.read_text().split("\n")
    index = 0
    written: list[str] = []
    while index < len(lines):
        line = lines[index]
        index += 1
        ended = _END.fullmatch(line) if not line.startswith("--") else None
        if ended is None:
            written += [line] if written or not line.startswith("--") else []
            continue
        sql = "\n".join([*written, ended[1]]).strip()
        written = []
        table = []
        while ended[2] is None and index < len(lines) and lines[index].startswith("--"):
            table.append(lines[index].removeprefix("--").removeprefix(" "))
            index += 1
        yield _documented(sql, ended[2], tuple(table))


def _documented(sql: str, answer: str | None, table: tuple[str, ...]) -> Documented:
    if answer is None:
        return Documented(sql, table=table)
    if answer.strip() == "ok":
        return Documented(sql, silent=True)
    if answer.startswith("! "):
        return Documented(sql, error=answer.removeprefix("! ").strip())
    kind, _, value = answer.partition("=>")
    shown = value.removeprefix(" ")
    return Documented(sql, kind=kind.strip(), value=None if shown == "NULL" else shown)
