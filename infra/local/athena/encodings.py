"""How written rows are stored: a format, its compression, and what its SerDe is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
from pyarrow import orc

from infra.local.athena.catalog import Column, Table
from infra.local.athena.errors import unsupported
from infra.local.athena.formats import CSV, JSON, OPENX, ORC, PARQUET, TEXT, Format, format_of
from infra.local.athena.operators import Typed, as_text
from infra.local.athena.types import Type, quote, text

_PARQUET_CODECS = {
    "SNAPPY": "snappy",
    "GZIP": "gzip",
    "ZSTD": "zstd",
    "LZ4": "lz4_raw",
    "NONE": "uncompressed",
    "UNCOMPRESSED": "uncompressed",
}
_ORC_CODECS = {
    **{name: name.lower() for name in ("ZLIB", "SNAPPY", "ZSTD", "LZ4")},
    "GZIP": "zlib",
    **dict.fromkeys(("NONE", "UNCOMPRESSED"), "uncompressed"),
}
_TEXT_CODECS = {
    "GZIP": "gzip",
    "ZSTD": "zstd",
    **dict.fromkeys(("NONE", "UNCOMPRESSED"), "none"),
}
_SUFFIXES = {"gzip": ".gz", "zstd": ".zst", "none": ""}


@dataclass(frozen=True)
class Encoding:
    """codec: in the words of who writes it. parameters: the SerDe's, of text formats."""

    form: Format
    codec: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def suffix(self) -> str:
        """What the names of files end in."""
        return "" if self.form in {PARQUET, ORC} else _SUFFIXES[self.codec]

    @property
    def first_codec(self) -> str:
        """Of the Parquet files that rows are written to first, whatever they become."""
        return self.codec if self.form == PARQUET else "uncompressed"

    def encode(
        self, path: Path, columns: Sequence[Column], connection: duckdb.DuckDBPyConnection
    ) -> None:
        """Turn a local Parquet file into one of this format, in its place."""
        if self.form == PARQUET:
            return
        part = path.with_suffix(".part")
        if self.form == ORC:
            orc.write_table(
                pq.read_table(path, partitioning=None), str(part), compression=self.codec
            )
        else:
            source = f"read_parquet({text(str(path))}, hive_partitioning = false)"
            connection.execute(
                f"COPY ({self._texts(columns, source)}) TO {text(str(part))} ({self._copy()})"
            )
        part.replace(path)

    def _texts(self, columns: Sequence[Column], source: str) -> str:
        if self.form in {JSON, OPENX}:
            items = [f"{_json(quote(c.name), c.type)} AS {quote(c.name)}" for c in columns]
        else:
            items = [f"{self._text(c)} AS {quote(c.name)}" for c in columns]
        return f"SELECT {', '.join(items)} FROM {source}"

    def _copy(self) -> str:
        if self.form in {JSON, OPENX}:
            return f"FORMAT json, ARRAY false, COMPRESSION {self.codec}"
        if self.form == CSV:
            marks = {"DELIMITER": "separatorChar", "QUOTE": "quoteChar", "ESCAPE": "escapeChar"}
            default = {"DELIMITER": ",", "QUOTE": '"', "ESCAPE": "\\"}
            given = [f"{k} {text(self.parameters.get(v, default[k]))}" for k, v in marks.items()]
            layout = ", ".join([*given, "FORCE_QUOTE *", "NULLSTR ''"])
        else:
            null = self.parameters.get("serialization.null.format", "\\N")
            layout = (
                f"DELIMITER {text(self._delimiter())}, QUOTE '', ESCAPE '', NULLSTR {text(null)}"
            )
        return f"FORMAT csv, HEADER false, {layout}, COMPRESSION {self.codec}"

    def _delimiter(self) -> str:
        given = self.parameters.get("field.delim", "\x01")
        return chr(int(given)) if given.isdigit() else given

    def _text(self, column: Column) -> str:
        kind, name = column.type, quote(column.name)
        if self.form == CSV and not (kind.is_text or kind.is_number or kind.name == "boolean"):
            raise unsupported(f"writing {column.hive} (column {column.name}) by OpenCSVSerde")
        if self.form == TEXT and self.parameters.get("escape.delim"):
            raise unsupported("writing to a table with ESCAPED BY")
        return _delimited(name, kind, 2)


def _delimited(sql: str, kind: Type, level: int) -> str:
    """A value as LazySimpleSerDe reads it back."""
    between = text(chr(level))
    if kind.name == "array":
        item = f"coalesce({_delimited('x', kind.args[0], level + 1)}, '\\N')"
        return f"array_to_string(list_transform({sql}, lambda x: {item}), {between})"
    if kind.args:
        raise unsupported(f"writing {kind} as text")
    if kind.name == "varbinary":
        return f"to_base64({sql})"
    if kind.name in {"double", "real"}:
        return f"athena_java_double({sql})"
    return as_text(Typed(sql, kind))


def _json(sql: str, kind: Type) -> str:
    if kind.name == "varbinary":
        return f"to_base64({sql})"
    if kind.name.startswith("timestamp"):
        return as_text(Typed(sql, kind))
    return sql


def of_table(table: Table) -> Encoding:
    """How rows are added to a table."""
    form = format_of(table)
    names = {
        PARQUET.name: ("write.compression", "parquet.compression", "parquet.compress"),
        ORC.name: ("write.compression", "orc.compress"),
    }.get(form.name, ("write.compression",))
    given = (table.parameters[name] for name in names if name in table.parameters)
    return Encoding(form, codec(form, next(given, "")), table.serde_parameters)


def codec(form: Format, wanted: str) -> str:
    """A compression by Athena's name; by default gzip, and zlib for ORC. Raises NOT_SUPPORTED."""
    known = {PARQUET.name: _PARQUET_CODECS, ORC.name: _ORC_CODECS}.get(form.name, _TEXT_CODECS)
    name = wanted.upper() or ("ZLIB" if form == ORC else "GZIP")
    if name not in known:
        raise unsupported(f"{form.name} compressed by {wanted}; it writes {', '.join(known)}")
    return known[name]
