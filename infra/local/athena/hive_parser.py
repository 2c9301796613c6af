"""The statements that Athena hands to Hive: DDL, SHOW, DESCRIBE, MSCK."""

from __future__ import annotations

import re
from collections.abc import Callable

from sqlglot.tokenizer_core import TokenType

from infra.local.athena.dialect import hive_words
from infra.local.athena.errors import QueryFailed, no_iceberg, unsupported
from infra.local.athena.reader import Reader
from infra.local.athena.statements import (
    AddColumns,
    AddPartitions,
    ChangeColumn,
    ColumnDefinition,
    CreateDatabase,
    CreateTable,
    Describe,
    DropDatabase,
    DropPartitions,
    DropTable,
    Name,
    PartitionSpec,
    RenamePartition,
    RepairTable,
    SetDatabaseProperties,
    SetLocation,
    SetProperties,
    Show,
    Statement,
)


def is_hive(sql: str) -> bool:
    """Whether Athena gives the statement to Hive and not to Trino."""
    words = re.sub(r"(--[^\n]*|/\*.*?\*/)", " ", sql, flags=re.DOTALL).upper().split(maxsplit=3)
    first, second, third = (*words, "", "", "")[:3]
    if first == "CREATE":
        plain_table = second == "TABLE" and not re.search(
            r"\bAS\s*(\(|SELECT|WITH|VALUES)", sql, re.IGNORECASE
        )
        return second in {"EXTERNAL", "DATABASE", "SCHEMA"} or plain_table
    if first == "SHOW":
        return (second, third) != ("CREATE", "VIEW")
    if first == "DROP":
        return second in {"TABLE", "DATABASE", "SCHEMA"}
    return first in {"ALTER", "MSCK", "DESCRIBE", "DESC"}


def parse(sql: str) -> Statement:
    """Raises SYNTAX_ERROR, or NOT_SUPPORTED by name."""
    reader = _HiveReader(sql, hive_words(sql))
    for words, build in _STATEMENTS:
        if reader.take(*words):
            statement = build(reader)
            reader.end()
            return statement
    if reader.peek("CREATE", "TABLE"):
        raise _not_external(sql)
    raise unsupported(" ".join(token.text.upper() for token in reader.tokens[:2]))


def _not_external(sql: str) -> QueryFailed:
    """CREATE TABLE without EXTERNAL makes Iceberg tables, and no others."""
    if re.search(r"['\"]table_type['\"]\s*=\s*['\"]iceberg['\"]", sql, re.IGNORECASE):
        return no_iceberg("CREATE TABLE with table_type")
    return QueryFailed(
        "", "FAILED: ParseException line 1:7 missing EXTERNAL at 'TABLE' near 'CREATE TABLE'"
    )


class _HiveReader(Reader):
    """Hive's clauses that several statements share."""

    def properties(self) -> dict[str, str]:
        self.expect("(")
        found: dict[str, str] = {}
        while True:
            key = self.string()
            self.expect("=")
            found[key] = self.string()
            if not self.take(","):
                self.expect(")")
                return found

    def columns(self) -> tuple[ColumnDefinition, ...]:
        self.expect("(")
        found = [self.column()]
        while self.take(","):
            found.append(self.column())
        self.expect(")")
        return tuple(found)

    def column(self) -> ColumnDefinition:
        name, hive = self.identifier(), self.hive_type()
        return ColumnDefinition(name, hive, self.string() if self.take("COMMENT") else "")

    def hive_type(self) -> str:
        """A type's text, up to where its brackets are closed and a clause or comma follows."""
        parts, depth = [self.next().text.lower()], 0
        while self.token is not None:
            text = self.token.text
            if depth == 0 and text not in {"<", "("}:
                break
            depth += {"<": 1, "(": 1, ">": -1, ")": -1, ">>": -2, ">>>": -3}.get(text, 0)
            parts.append(self.next().text.lower())
        return "".join(parts)

    def partition(self) -> PartitionSpec:
        """PARTITION (key = value, …); the value as text."""
        self.expect("PARTITION")
        self.expect("(")
        values: dict[str, str] = {}
        while True:
            name = self.identifier()
            self.expect("=")
            values[name] = self._partition_value()
            if not self.take(","):
                self.expect(")")
                return PartitionSpec(values)

    def _partition_value(self) -> str:
        if self.take("DATE"):
            return self.string()
        token = self.next()
        if token.token_type not in {TokenType.STRING, TokenType.NUMBER}:
            self.index -= 1
            raise self.mismatch("expecting a literal")
        return token.text

    def location(self) -> str:
        return self.string() if self.take("LOCATION") else ""


def _create_database(reader: _HiveReader) -> Statement:
    if_not_exists = reader.take("IF", "NOT", "EXISTS")
    name = reader.identifier()
    comment = reader.string() if reader.take("COMMENT") else ""
    location = reader.location()
    properties = reader.properties() if reader.take("WITH", "DBPROPERTIES") else {}
    return CreateDatabase(
        "DDL", "CREATE_DATABASE", name, if_not_exists, comment, location, properties
    )


def _drop_database(reader: _HiveReader) -> Statement:
    if_exists = reader.take("IF", "EXISTS")
    name = reader.identifier()
    cascade = reader.take("CASCADE")
    reader.take("RESTRICT")
    return DropDatabase("DDL", "DROP_DATABASE", name, if_exists, cascade)


def _create_table(reader: _HiveReader) -> Statement:
    # Feast writes the clause after the name; Hive takes it before. Athena takes both.
    if_not_exists = reader.take("IF", "NOT", "EXISTS")
    name = reader.name()
    if_not_exists = reader.take("IF", "NOT", "EXISTS") or if_not_exists
    columns = reader.columns()
    clauses = _TableClauses()
    while reader.token is not None:
        clauses.read(reader)
    if not clauses.location:
        raise QueryFailed("", "FAILED: SemanticException table location must be provided")
    return CreateTable(
        "DDL",
        "CREATE_TABLE",
        name,
        columns,
        clauses.partition_keys,
        clauses.location,
        clauses.stored_as,
        clauses.serde,
        clauses.serde_properties,
        clauses.properties,
        clauses.comment,
        if_not_exists,
    )


class _TableClauses:
    """The clauses after the columns, in any order."""

    def __init__(self) -> None:
        self.partition_keys: tuple[ColumnDefinition, ...] = ()
        self.location = self.stored_as = self.serde = self.comment = ""
        self.serde_properties: dict[str, str] = {}
        self.properties: dict[str, str] = {}

    def read(self, reader: _HiveReader) -> None:
        for words, read in self._readers():
            if reader.take(*words):
                read(reader)
                return
        if reader.peek("CLUSTERED"):
            raise unsupported("CLUSTERED BY: it has no bucketed tables")
        raise reader.mismatch("expecting a clause of CREATE EXTERNAL TABLE")

    def _readers(self) -> list[tuple[tuple[str, ...], Callable[[_HiveReader], None]]]:
        return [
            (("COMMENT",), self._comment),
            (("PARTITIONED", "BY"), self._partitioned_by),
            (("LOCATION",), self._location),
            (("TBLPROPERTIES",), self._properties),
            (("STORED", "AS"), self._stored_as),
            (("ROW", "FORMAT"), self._row_format),
            (("WITH", "SERDEPROPERTIES"), self._serde_properties),
        ]

    def _comment(self, reader: _HiveReader) -> None:
        self.comment = reader.string()

    def _partitioned_by(self, reader: _HiveReader) -> None:
        self.partition_keys = reader.columns()

    def _location(self, reader: _HiveReader) -> None:
        self.location = reader.string()

    def _properties(self, reader: _HiveReader) -> None:
        self.properties = reader.properties()

    def _serde_properties(self, reader: _HiveReader) -> None:
        self.serde_properties |= reader.properties()

    def _stored_as(self, reader: _HiveReader) -> None:
        if reader.take("INPUTFORMAT"):
            self.stored_as = reader.string()
            reader.expect("OUTPUTFORMAT")
            reader.string()
        else:
            self.stored_as = reader.identifier().upper()

    def _row_format(self, reader: _HiveReader) -> None:
        if reader.take("SERDE"):
            self.serde = reader.string()
            return
        reader.expect("DELIMITED")
        while delimiter := next((d for d in _DELIMITERS if reader.take(*d)), None):
            written = reader.string()
            for name in _DELIMITERS[delimiter]:
                self.serde_properties[name] = written


_DELIMITERS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("FIELDS", "TERMINATED", "BY"): ("field.delim", "serialization.format"),
    ("ESCAPED", "BY"): ("escape.delim",),
    ("COLLECTION", "ITEMS", "TERMINATED", "BY"): ("colelction.delim",),
    ("MAP", "KEYS", "TERMINATED", "BY"): ("mapkey.delim",),
    ("LINES", "TERMINATED", "BY"): ("line.delim",),
    ("NULL", "DEFINED", "AS"): ("serialization.null.format",),
}
"""Clauses of ROW FORMAT DELIMITED, and the SerDe properties that they set, in Hive's spelling."""


def _alter_database(reader: _HiveReader) -> Statement:
    name = reader.identifier()
    reader.expect("SET", "DBPROPERTIES")
    return SetDatabaseProperties("DDL", "ALTER_DATABASE", name, reader.properties())


def _drop_table(reader: _HiveReader) -> Statement:
    if_exists = reader.take("IF", "EXISTS")
    name = reader.name()
    reader.take("PURGE")
    return DropTable("DDL", "DROP_TABLE", name, if_exists)


def _alter_table(reader: _HiveReader) -> Statement:
    name = reader.name()
    for words, build in _ALTERATIONS:
        if reader.take(*words):
            return build(reader, name)
    partition = reader.partition() if reader.peek("PARTITION") else None
    if reader.take("SET", "LOCATION"):
        return SetLocation("DDL", "ALTER_TABLE_SET_LOCATION", name, partition, reader.string())
    if partition is not None and reader.take("RENAME", "TO"):
        new = reader.partition()
        return RenamePartition("DDL", "ALTER_TABLE_RENAME_PARTITION", name, partition, new)
    raise unsupported(f"ALTER TABLE {reader.token.text.upper() if reader.token else ''}")


def _add_columns(reader: _HiveReader, name: Name) -> Statement:
    return AddColumns("DDL", "ALTER_TABLE_ADD_COLUMN", name, reader.columns(), replace=False)


def _replace_columns(reader: _HiveReader, name: Name) -> Statement:
    return AddColumns("DDL", "ALTER_TABLE_REPLACE_COLUMN", name, reader.columns(), replace=True)


def _add_partitions(reader: _HiveReader, name: Name) -> Statement:
    if_not_exists = reader.take("IF", "NOT", "EXISTS")
    found = []
    while reader.peek("PARTITION"):
        spec = reader.partition()
        found.append(PartitionSpec(spec.values, reader.location()))
    if not found:
        raise reader.mismatch("expecting PARTITION")
    return AddPartitions("DDL", "ALTER_TABLE_ADD_PARTITION", name, tuple(found), if_not_exists)


def _drop_partitions(reader: _HiveReader, name: Name) -> Statement:
    if_exists = reader.take("IF", "EXISTS")
    found = [reader.partition()]
    while reader.take(","):
        found.append(reader.partition())
    return DropPartitions("DDL", "ALTER_TABLE_DROP_PARTITION", name, tuple(found), if_exists)


def _change_column(reader: _HiveReader, name: Name) -> Statement:
    reader.take("COLUMN")
    old, column = reader.identifier(), reader.column()
    after: str | None = None
    if reader.take("AFTER"):
        after = reader.identifier()
    elif reader.take("FIRST"):
        after = ""
    return ChangeColumn("DDL", "ALTER_TABLE_CHANGE_COLUMN", name, old, column, after)


def _set_properties(reader: _HiveReader, name: Name) -> Statement:
    return SetProperties("DDL", "ALTER_TABLE_SET_PROPERTIES", name, reader.properties())


_ALTERATIONS = [
    (("ADD", "COLUMNS"), _add_columns),
    (("CHANGE",), _change_column),
    (("REPLACE", "COLUMNS"), _replace_columns),
    (("ADD",), _add_partitions),
    (("DROP",), _drop_partitions),
    (("SET", "TBLPROPERTIES"), _set_properties),
]


def _repair(reader: _HiveReader) -> Statement:
    return RepairTable("DDL", "MSCK_REPAIR", reader.name())


def _pattern(reader: _HiveReader) -> str:
    reader.take("LIKE")
    return reader.string() if reader.token is not None else ""


def _show_databases(reader: _HiveReader) -> Statement:
    return Show("UTILITY", "SHOW_DATABASES", "DATABASES", pattern=_pattern(reader))


def _show_tables(reader: _HiveReader) -> Statement:
    database = reader.identifier() if reader.take("IN") or reader.take("FROM") else ""
    return Show("UTILITY", "SHOW_TABLES", "TABLES", database=database, pattern=_pattern(reader))


def _show_views(reader: _HiveReader) -> Statement:
    database = reader.identifier() if reader.take("IN") or reader.take("FROM") else ""
    return Show("UTILITY", "SHOW_VIEWS", "VIEWS", database=database, pattern=_pattern(reader))


def _show_columns(reader: _HiveReader) -> Statement:
    if not reader.take("IN"):
        reader.expect("FROM")
    name = reader.name()
    database = reader.identifier() if reader.take("IN") or reader.take("FROM") else ""
    return Show("UTILITY", "SHOW_COLUMNS", "COLUMNS", name, database)


def _show_partitions(reader: _HiveReader) -> Statement:
    return Show("UTILITY", "SHOW_PARTITIONS", "PARTITIONS", reader.name())


def _show_properties(reader: _HiveReader) -> Statement:
    name = reader.name()
    pattern = ""
    if reader.take("("):
        pattern = reader.string()
        reader.expect(")")
    return Show("UTILITY", "SHOW_TBLPROPERTIES", "TBLPROPERTIES", name, pattern=pattern)


def _show_create(reader: _HiveReader) -> Statement:
    return Show("UTILITY", "SHOW_CREATE_TABLE", "CREATE TABLE", reader.name())


def _describe(reader: _HiveReader) -> Statement:
    if reader.take("EXTENDED"):
        raise unsupported("DESCRIBE EXTENDED; DESCRIBE FORMATTED says the same")
    formatted = reader.take("FORMATTED")
    view = reader.take("VIEW")
    name = reader.name()
    partition = reader.partition() if reader.peek("PARTITION") else None
    column = reader.identifier() if reader.token is not None else ""
    kind = "DESCRIBE_VIEW" if view else "DESCRIBE_TABLE"
    return Describe("UTILITY", kind, name, partition, formatted, column)


_STATEMENTS = [
    (("CREATE", "DATABASE"), _create_database),
    (("CREATE", "SCHEMA"), _create_database),
    (("CREATE", "EXTERNAL", "TABLE"), _create_table),
    (("DROP", "DATABASE"), _drop_database),
    (("DROP", "SCHEMA"), _drop_database),
    (("DROP", "TABLE"), _drop_table),
    (("ALTER", "TABLE"), _alter_table),
    (("ALTER", "DATABASE"), _alter_database),
    (("ALTER", "SCHEMA"), _alter_database),
    (("MSCK", "REPAIR", "TABLE"), _repair),
    (("SHOW", "DATABASES"), _show_databases),
    (("SHOW", "SCHEMAS"), _show_databases),
    (("SHOW", "TABLES"), _show_tables),
    (("SHOW", "VIEWS"), _show_views),
    (("SHOW", "COLUMNS"), _show_columns),
    (("SHOW", "PARTITIONS"), _show_partitions),
    (("SHOW", "TBLPROPERTIES"), _show_properties),
    (("SHOW", "CREATE", "TABLE"), _show_create),
    (("DESCRIBE",), _describe),
    (("DESC",), _describe),
]
