"""What a query leaves: Athena's CSV and text files, and the pages of GetQueryResults."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from infra.local.athena.errors import QueryFailed
from infra.local.athena.operators import Typed, as_text
from infra.local.athena.scope import Field
from infra.local.athena.storage import Storage
from infra.local.athena.types import REAL, Type, quote, row_names, text

_WINDOW = 1 << 20
_PRECISION = {
    "bigint": 19, "integer": 10, "smallint": 5, "tinyint": 3, "double": 17, "real": 17,
    "varchar": 2147483647, "varbinary": 1073741824, "timestamp": 3, "timestamp with time zone": 3,
}  # fmt: skip


@dataclass(frozen=True)
class ResultColumn:
    name: str
    type: Type

    def info(self) -> dict[str, Any]:
        """The ColumnInfo of GetQueryResults."""
        kind = self.type
        precision = (
            kind.precision if kind.name in {"decimal", "char"} else _PRECISION.get(kind.name, 0)
        )
        return {
            "CatalogName": "hive",
            "SchemaName": "",
            "TableName": "",
            "Name": self.name,
            "Label": self.name,
            "Type": "float" if kind == REAL else kind.name,
            "Precision": precision,
            "Scale": kind.scale or 0,
            "Nullable": "UNKNOWN",
            "CaseSensitive": kind.is_text,
        }


def result_columns(fields: Sequence[Field]) -> list[ResultColumn]:
    return [ResultColumn(item.shown or item.name, item.type) for item in fields]


def write_csv(
    connection: duckdb.DuckDBPyConnection, sql: str, fields: Sequence[Field], path: Path
) -> None:
    """Write a query's rows as Athena does: every value quoted, NULL empty, names first."""
    columns = [f"{shown(Typed(f.sql, f.type))} AS c{i}" for i, f in enumerate(fields)]
    body = path.with_suffix(".rows")
    connection.execute(
        f"COPY (SELECT {', '.join(columns)} FROM ({sql})) TO {text(str(body))} "
        "(FORMAT csv, HEADER false, FORCE_QUOTE *, QUOTE '\"', ESCAPE '\"', NULLSTR '')"
    )
    names = ",".join(quote(item.shown or item.name) for item in fields)
    with path.open("wb") as out, body.open("rb") as rows:
        out.write(f"{names}\n".encode())
        while chunk := rows.read(_WINDOW):
            out.write(chunk)
    body.unlink()


def shown(value: Typed) -> str:
    """SQL of a value's text in a result: as its cast, but plain doubles and hex bytes."""
    kind = value.type
    if kind.name in {"double", "real"}:
        return f"athena_java_double({value.sql})"
    if kind.name == "varbinary":
        return f"rtrim(regexp_replace(lower(hex({value.sql})), '(..)', '\\1 ', 'g'))"
    if kind.name == "unknown":
        return "CAST(NULL AS VARCHAR)"
    if kind.name.startswith("interval"):
        return _interval(value)
    if kind.name in {"array", "map", "row"}:
        return _nested(value)
    return as_text(value)


def _interval(value: Typed) -> str:
    if value.type.name.endswith("month"):
        months = f"(datepart('year', {value.sql}) * 12 + datepart('month', {value.sql}))"
        return f"({months} // 12 || '-' || {months} % 12)"
    us = f"epoch_us(TIMESTAMP '1970-01-01' + {value.sql})"
    sign = f"CASE WHEN {us} < 0 THEN '-' ELSE '' END"
    days = f"(abs({us}) // 86400000000)"
    clock = f"strftime(make_timestamp(abs({us}) % 86400000000), '%H:%M:%S.%g')"
    return f"({sign} || {days} || ' ' || {clock})"


def _nested(value: Typed) -> str:
    kind = value.type
    if kind.name == "array":
        item = _part("x", kind.args[0])
        joined = f"array_to_string([{item} FOR x IN {value.sql}], ', ')"
        return f"('[' || {joined} || ']')"
    if kind.name == "map":
        key, item = _part("x.key", kind.args[0]), _part("x.value", kind.args[1])
        entries = f"[{key} || '=' || {item} FOR x IN map_entries({value.sql})]"
        return f"('{{' || array_to_string({entries}, ', ') || '}}')"
    pairs = zip(row_names(kind), kind.args, strict=True)
    items = [
        f"{text(name + '=')} || {_part(f'({value.sql}).{quote(name)}', arg)}" for name, arg in pairs
    ]
    inner = " || ', ' || ".join(items)
    return f"CASE WHEN {value.sql} IS NULL THEN NULL ELSE '{{' || {inner} || '}}' END"


def _part(sql: str, kind: Type) -> str:
    return f"coalesce({shown(Typed(sql, kind))}, 'null')"


@dataclass(frozen=True)
class Page:
    rows: list[list[str | None]]
    next_token: str | None


_CELL = re.compile(r'(?:"((?:[^"]|"")*)")?(,|\n)')


def read_csv_page(storage: Storage, uri: str, token: str | None, limit: int) -> Page:
    """Rows of a result file, from where the token says; the header is the first row."""
    start = _offset(token)
    data, used = b"", 0
    rows: list[list[str | None]] = []
    while len(rows) < limit:
        chunk = storage.read(uri, start=start + len(data), length=_WINDOW)
        data += chunk
        rows, used = _rows(data, limit, whole=not chunk)
        if not chunk:
            break
    more = len(rows) == limit and bool(storage.read(uri, start=start + used, length=1))
    return Page(rows, str(start + used) if more else None)


def _offset(token: str | None) -> int:
    if token is None:
        return 0
    if not token.isdigit():
        raise QueryFailed("", f"Malformed NextToken '{token}'")
    return int(token)


def _rows(data: bytes, limit: int, *, whole: bool) -> tuple[list[list[str | None]], int]:
    """Complete rows at the start of the bytes, and how many bytes they take."""
    source = data.decode("utf-8", errors="strict" if whole else "ignore")
    rows: list[list[str | None]] = []
    row: list[str | None] = []
    end, used = 0, 0
    for cell in _CELL.finditer(source):
        if cell.start() != end:
            break
        end = cell.end()
        row.append(None if cell[1] is None else cell[1].replace('""', '"'))
        if cell[2] == "\n":
            rows.append(row)
            row, used = [], end
            if len(rows) == limit:
                break
    return rows, len(source[:used].encode())


def read_text_page(storage: Storage, uri: str, token: str | None, limit: int) -> Page:
    """Lines of a DDL statement's text file, one column each."""
    lines = storage.read(uri).decode().split("\n")[:-1]
    start = _offset(token)
    rows: list[list[str | None]] = [[line] for line in lines[start : start + limit]]
    more = start + limit < len(lines)
    return Page(rows, str(start + limit) if more else None)
