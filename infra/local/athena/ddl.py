"""Hive's statements: databases, external tables, partitions, and what describes them."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from infra.local.athena.catalog import Catalog, Column, Partition, Table, view_table
from infra.local.athena.describe import create_table_text, describe_lines
from infra.local.athena.dialect import parse_hive_type
from infra.local.athena.errors import QueryFailed, unsupported
from infra.local.athena.formats import declared
from infra.local.athena.queries import Planner
from infra.local.athena.results import ResultColumn
from infra.local.athena.statements import (
    AddColumns,
    AddPartitions,
    ColumnDefinition,
    CreateDatabase,
    CreateTable,
    CreateView,
    Describe,
    DropDatabase,
    DropPartitions,
    DropTable,
    DropView,
    PartitionSpec,
    RepairTable,
    SetLocation,
    SetProperties,
    Show,
    Statement,
)
from infra.local.athena.storage import Storage, folder, split_uri
from infra.local.athena.task import Outcome, Task
from infra.local.athena.types import VARCHAR


def _failed(kind: str, message: str) -> QueryFailed:
    return QueryFailed("", f"FAILED: {kind} {message}")


@dataclass(frozen=True)
class Definitions:
    """Runs the statements that change or show the catalog."""

    catalog: Catalog
    storage: Storage
    planner: Planner

    def run(self, statement: Statement, task: Task) -> Outcome:
        """Raises QueryFailed with Hive's or Trino's message."""
        lines = self._handlers()[type(statement)](statement, task)
        columns = _columns_of(statement)
        return Outcome("text", f"{task.output}{task.id}.txt", columns, list(lines))

    def _handlers(self) -> dict[type, Callable[[Any, Task], Sequence[str]]]:
        return {
            CreateDatabase: self._create_database,
            DropDatabase: self._drop_database,
            CreateTable: self._create_table,
            DropTable: self._drop_table,
            CreateView: self._create_view,
            DropView: self._drop_view,
            AddPartitions: self._add_partitions,
            DropPartitions: self._drop_partitions,
            SetLocation: self._set_location,
            SetProperties: self._set_properties,
            AddColumns: self._add_columns,
            RepairTable: self._repair,
            Show: self._show,
            Describe: self._describe,
        }

    # Databases

    def _create_database(self, statement: CreateDatabase, task: Task) -> Sequence[str]:
        if self.catalog.database(statement.name) is not None:
            if statement.if_not_exists:
                return ()
            raise _failed(
                "Execution Error, return code 1 from org.apache.hadoop.hive.ql.exec.DDLTask.",
                f"Database {statement.name} already exists",
            )
        self.catalog.create_database(
            statement.name,
            comment=statement.comment,
            location=statement.location,
            properties=statement.properties,
        )
        return ()

    def _drop_database(self, statement: DropDatabase, task: Task) -> Sequence[str]:
        if self.catalog.database(statement.name) is None:
            if statement.if_exists:
                return ()
            raise _failed(
                "SemanticException [Error 10072]:", f"Database does not exist: {statement.name}"
            )
        tables = self.catalog.tables(statement.name)
        if tables and not statement.cascade:
            raise _failed(
                "Execution Error, return code 1 from org.apache.hadoop.hive.ql.exec.DDLTask.",
                f"InvalidOperationException(message:Database {statement.name} is not empty. "
                "One or more tables exist.)",
            )
        for table in tables:
            self.catalog.drop(table)
        self.catalog.drop_database(statement.name)
        return ()

    # Tables and views

    def _create_table(self, statement: CreateTable, task: Task) -> Sequence[str]:
        database, name = task.resolve(statement.name)
        self._check_database(database)
        if self.catalog.find(database, name) is not None:
            if statement.if_not_exists:
                return ()
            raise _failed(
                "Execution Error, return code 1 from org.apache.hadoop.hive.ql.exec.DDLTask.",
                f"AlreadyExistsException(message:Table {name} already exists.)",
            )
        form = declared(statement.stored_as, statement.serde)
        if not statement.location.startswith("s3://"):
            raise _failed("SemanticException", f"{statement.location} is no location in S3")
        self.catalog.create(
            Table(
                database,
                name,
                _columns(statement.columns),
                _columns(statement.partition_keys),
                location=statement.location,
                serde=statement.serde or form.serde,
                serde_parameters=dict(statement.serde_properties),
                parameters={"EXTERNAL": "TRUE"} | dict(statement.properties),
                comment=statement.comment,
            )
        )
        return ()

    def _drop_table(self, statement: DropTable, task: Task) -> Sequence[str]:
        database, name = task.resolve(statement.name)
        table = self.catalog.find(database, name)
        if table is None:
            if statement.if_exists:
                return ()
            raise _failed("SemanticException [Error 10001]:", f"Table not found {database}.{name}")
        if table.view is not None:
            raise _failed(
                "Execution Error, return code 1 from org.apache.hadoop.hive.ql.exec.DDLTask.",
                "Cannot drop a view with DROP TABLE",
            )
        self.catalog.drop(table)
        return ()

    def _create_view(self, statement: CreateView, task: Task) -> Sequence[str]:
        database, name = task.resolve(statement.name)
        where = statement.name.where
        if self.catalog.database(database) is None:
            raise QueryFailed("SCHEMA_NOT_FOUND", f"{where}Schema '{database}' does not exist")
        planned = self.planner.plan(statement.query, task.database)
        fields = [(item.shown, item.type) for item in planned.fields]
        table = view_table(database, name, statement.text, fields, context=task.database)
        found = self.catalog.find(database, name)
        if found is None:
            self.catalog.create(table)
        elif found.view is None or not statement.or_replace:
            kind = "View" if found.view else "Table"
            full = f"awsdatacatalog.{database}.{name}"
            raise QueryFailed(
                f"{kind.upper()}_ALREADY_EXISTS" if found.view is None else "ALREADY_EXISTS",
                f"{where}{kind} already exists: '{full}'",
            )
        else:
            self.catalog.update(table)
        return ()

    def _drop_view(self, statement: DropView, task: Task) -> Sequence[str]:
        database, name = task.resolve(statement.name)
        table = self.catalog.find(database, name)
        if table is None or table.view is None:
            if statement.if_exists and table is None:
                return ()
            raise QueryFailed(
                "TABLE_NOT_FOUND",
                f"{statement.name.where}View 'awsdatacatalog.{database}.{name}' does not exist",
            )
        self.catalog.drop(table)
        return ()

    # Partitions and properties

    def _add_partitions(self, statement: AddPartitions, task: Task) -> Sequence[str]:
        table = self._partitioned(statement, task)
        known = {partition.values for partition in self.catalog.partitions(table)}
        fresh: dict[tuple[str, ...], Partition] = {}
        for spec in statement.partitions:
            values = _values(table, spec)
            if values in known and not statement.if_not_exists:
                raise _failed(
                    "Execution Error, return code 1 from org.apache.hadoop.hive.ql.exec.DDLTask.",
                    f"AlreadyExistsException(message:Partition already exists: {list(values)})",
                )
            if values not in known:
                fresh[values] = Partition(values, spec.location or _default(table, values))
        self.catalog.add_partitions(table, list(fresh.values()))
        return ()

    def _drop_partitions(self, statement: DropPartitions, task: Task) -> Sequence[str]:
        table = self._partitioned(statement, task)
        known = {partition.values for partition in self.catalog.partitions(table)}
        for spec in statement.partitions:
            values = _values(table, spec)
            if values in known:
                self.catalog.drop_partition(table, values)
            elif not statement.if_exists:
                raise _failed(
                    "SemanticException [Error 10006]:", f"Partition not found {dict(spec.values)}"
                )
        return ()

    def _set_location(self, statement: SetLocation, task: Task) -> Sequence[str]:
        table = self._table(statement, task)
        if statement.partition is None:
            self.catalog.update(replace(table, location=statement.location))
            return ()
        values = _values(table, statement.partition)
        self.catalog.move_partition(table, Partition(values, statement.location))
        return ()

    def _set_properties(self, statement: SetProperties, task: Task) -> Sequence[str]:
        table = self._table(statement, task)
        parameters = {**table.parameters, **statement.properties}
        self.catalog.update(replace(table, parameters=parameters))
        return ()

    def _add_columns(self, statement: AddColumns, task: Task) -> Sequence[str]:
        table, added = self._table(statement, task), _columns(statement.columns)
        kept = () if statement.replace else table.columns
        names = {column.name for column in (*kept, *table.partition_keys)}
        for column in added:
            if column.name in names:
                raise _failed(
                    "Execution Error, return code 1 from org.apache.hadoop.hive.ql.exec.DDLTask.",
                    f"Duplicate column name: {column.name}",
                )
        self.catalog.update(replace(table, columns=(*kept, *added)))
        return ()

    def _repair(self, statement: RepairTable, task: Task) -> Sequence[str]:
        """Add a partition for every key=value folder that holds files and has none."""
        table = self._partitioned(statement, task)
        known = {partition.values for partition in self.catalog.partitions(table)}
        found = {p.values: p for p in self._folders(table) if p.values not in known}
        self.catalog.add_partitions(table, list(found.values()))
        names = [f"{table.name}:{_spec(table, values)}" for values in found]
        if not names:
            return ()
        added = [f"Repair: Added partition to metastore {name}" for name in names]
        return ["Partitions not in metastore:\t" + "\t".join(names), *added]

    def _folders(self, table: Table) -> Iterator[Partition]:
        root, keys = folder(table.location), [key.name for key in table.partition_keys]
        bucket, prefix = split_uri(root)
        for file in self.storage.files(root):
            parts = split_uri(file.uri)[1].removeprefix(prefix).split("/")[: len(keys)]
            pairs = [part.partition("=") for part in parts]
            if [name.lower() for name, _, _ in pairs] == keys:
                values = tuple(unquote(value) for _, _, value in pairs)
                yield Partition(values, f"s3://{bucket}/{prefix}{'/'.join(parts)}/")

    # Looking

    def _show(self, statement: Show, task: Task) -> Sequence[str]:
        if statement.what == "DATABASES":
            return _matching([entry["Name"] for entry in self.catalog.databases()], statement)
        if statement.what in {"TABLES", "VIEWS"}:
            return self._show_tables(statement, task)
        assert statement.name is not None
        name = replace(statement.name, database=statement.database or statement.name.database)
        table = self._found(*task.resolve(name))
        if statement.what == "COLUMNS":
            return [f"{column.name:<20}" for column in table.all_columns]
        if statement.what == "PARTITIONS":
            self._check_partitioned(table)
            return sorted(_spec(table, p.values) for p in self.catalog.partitions(table))
        if statement.what == "TBLPROPERTIES":
            return [
                f"{key}\t{value}"
                for key, value in sorted(table.parameters.items())
                if statement.pattern in ("", key)
            ]
        return create_table_text(table).split("\n")

    def _show_tables(self, statement: Show, task: Task) -> Sequence[str]:
        database = statement.database or task.database
        self._check_database(database)
        tables = self.catalog.tables(database)
        views = statement.what == "VIEWS"
        names = [table.name for table in tables if table.view is not None or not views]
        return _matching(names, statement)

    def _describe(self, statement: Describe, task: Task) -> Sequence[str]:
        table = self._found(*task.resolve(statement.name))
        if statement.partition is not None or statement.formatted:
            raise unsupported("DESCRIBE of a partition, or EXTENDED or FORMATTED")
        return describe_lines(table)

    # Finding

    def _check_database(self, database: str) -> None:
        if self.catalog.database(database) is None:
            raise _failed(
                "SemanticException [Error 10072]:", f"Database does not exist: {database}"
            )

    def _found(self, database: str, name: str) -> Table:
        self._check_database(database)
        table = self.catalog.find(database, name)
        if table is None:
            raise _failed("SemanticException [Error 10001]:", f"Table not found {database}.{name}")
        return table

    def _table(self, statement: Any, task: Task) -> Table:
        return self._found(*task.resolve(statement.name))

    def _partitioned(self, statement: Any, task: Task) -> Table:
        table = self._table(statement, task)
        self._check_partitioned(table)
        return table

    def _check_partitioned(self, table: Table) -> None:
        if not table.partition_keys:
            raise _failed(
                "SemanticException [Error 10241]:",
                f"Table {table.database}.{table.name} is not a partitioned table",
            )


def _columns(definitions: Sequence[ColumnDefinition]) -> tuple[Column, ...]:
    return tuple(Column(d.name, d.hive, parse_hive_type(d.hive), d.comment) for d in definitions)


def _values(table: Table, spec: PartitionSpec) -> tuple[str, ...]:
    """The spec's values in the table's order. Raises Hive's complaint when they do not fit."""
    keys = [key.name for key in table.partition_keys]
    if sorted(spec.values) != sorted(keys):
        raise _failed(
            "SemanticException", f"Partition spec {dict(spec.values)} does not name {keys}"
        )
    return tuple(spec.values[key] for key in keys)


def _spec(table: Table, values: Sequence[str]) -> str:
    pairs = zip(table.partition_keys, values, strict=True)
    return "/".join(f"{key.name}={value}" for key, value in pairs)


def _default(table: Table, values: Sequence[str]) -> str:
    return f"{folder(table.location)}{_spec(table, values)}/"


def _matching(names: Sequence[str], statement: Show) -> list[str]:
    """Hive's patterns: * for anything, | for or."""
    patterns = (statement.pattern or "*").lower().split("|")
    return sorted(n for n in names if any(fnmatch.fnmatchcase(n, one) for one in patterns))


_TITLES = {
    "DATABASES": ("database_name",),
    "TABLES": ("tab_name",),
    "VIEWS": ("views",),
    "PARTITIONS": ("partition",),
    "COLUMNS": ("field",),
    "TBLPROPERTIES": ("prpt_name", "prpt_value"),
    "CREATE TABLE": ("createtab_stmt",),
    "CREATE VIEW": ("Create View",),
}


def _columns_of(statement: Statement) -> list[ResultColumn]:
    if isinstance(statement, RepairTable):
        return [ResultColumn("result", VARCHAR)]
    if isinstance(statement, Show):
        return [ResultColumn(name, VARCHAR) for name in _TITLES[statement.what]]
    if isinstance(statement, Describe):
        return [ResultColumn(name, VARCHAR) for name in ("col_name", "data_type", "comment")]
    return []
