"""Hive's statements that change the catalog: databases, external tables, partitions, views."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from infra.local.athena.catalog import Catalog, Column, Partition, Table, view_table
from infra.local.athena.dialect import parse_hive_type
from infra.local.athena.errors import QueryFailed
from infra.local.athena.formats import declared
from infra.local.athena.metastore import (
    DDL_TASK,
    Metastore,
    failed,
    partition_text,
    partition_values,
)
from infra.local.athena.queries import Planner
from infra.local.athena.results import ResultColumn
from infra.local.athena.showing import Showing
from infra.local.athena.statements import (
    AddColumns,
    AddPartitions,
    ChangeColumn,
    ColumnDefinition,
    CreateDatabase,
    CreateTable,
    CreateView,
    Describe,
    DropDatabase,
    DropPartitions,
    DropTable,
    DropView,
    RenamePartition,
    RepairTable,
    SetDatabaseProperties,
    SetLocation,
    SetProperties,
    Show,
    Statement,
)
from infra.local.athena.storage import Storage, folder, split_uri
from infra.local.athena.task import Outcome, Task
from infra.local.athena.types import VARCHAR


@dataclass(frozen=True)
class Definitions:
    """Runs the statements that change or show the catalog."""

    catalog: Catalog
    storage: Storage
    planner: Planner

    @cached_property
    def metastore(self) -> Metastore:
        return Metastore(self.catalog)

    def run(self, statement: Statement, task: Task) -> Outcome:
        """Raises QueryFailed with Hive's or Trino's message."""
        if isinstance(statement, Show | Describe):
            lines, columns = Showing(self.catalog, self.metastore).run(statement, task)
        else:
            lines = self._handlers()[type(statement)](statement, task)
            repaired = isinstance(statement, RepairTable)
            columns = [ResultColumn("result", VARCHAR)] if repaired else []
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
            ChangeColumn: self._change_column,
            RenamePartition: self._rename_partition,
            SetDatabaseProperties: self._set_database_properties,
            RepairTable: self._repair,
        }

    # Databases

    def _create_database(self, statement: CreateDatabase, task: Task) -> Sequence[str]:
        if self.catalog.database(statement.name) is not None:
            if statement.if_not_exists:
                return ()
            raise failed(
                DDL_TASK,
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
            raise failed(
                "SemanticException [Error 10072]:", f"Database does not exist: {statement.name}"
            )
        tables = self.catalog.tables(statement.name)
        if tables and not statement.cascade:
            raise failed(
                DDL_TASK,
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
        self.metastore.check_database(database)
        if self.catalog.find(database, name) is not None:
            if statement.if_not_exists:
                return ()
            raise failed(
                DDL_TASK,
                f"AlreadyExistsException(message:Table {name} already exists.)",
            )
        form = declared(statement.stored_as, statement.serde)
        if not statement.location.startswith("s3://"):
            raise failed("SemanticException", f"{statement.location} is no location in S3")
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
            raise failed("SemanticException [Error 10001]:", f"Table not found {database}.{name}")
        if table.view is not None:
            raise failed(
                DDL_TASK,
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
        table = self.metastore.partitioned(task.resolve(statement.name))
        known = {partition.values for partition in self.catalog.partitions(table)}
        fresh: dict[tuple[str, ...], Partition] = {}
        for spec in statement.partitions:
            values = partition_values(table, spec)
            if values in known and not statement.if_not_exists:
                raise failed(
                    DDL_TASK,
                    f"AlreadyExistsException(message:Partition already exists: {list(values)})",
                )
            if values not in known:
                fresh[values] = Partition(values, spec.location or _default(table, values))
        self.catalog.add_partitions(table, list(fresh.values()))
        return ()

    def _drop_partitions(self, statement: DropPartitions, task: Task) -> Sequence[str]:
        table = self.metastore.partitioned(task.resolve(statement.name))
        known = {partition.values for partition in self.catalog.partitions(table)}
        for spec in statement.partitions:
            values = partition_values(table, spec)
            if values in known:
                self.catalog.drop_partition(table, values)
            elif not statement.if_exists:
                raise failed(
                    "SemanticException [Error 10006]:", f"Partition not found {dict(spec.values)}"
                )
        return ()

    def _set_location(self, statement: SetLocation, task: Task) -> Sequence[str]:
        table = self.metastore.table(task.resolve(statement.name))
        if statement.partition is None:
            self.catalog.update(replace(table, location=statement.location))
            return ()
        values = partition_values(table, statement.partition)
        self.catalog.move_partition(table, Partition(values, statement.location))
        return ()

    def _set_properties(self, statement: SetProperties, task: Task) -> Sequence[str]:
        table = self.metastore.table(task.resolve(statement.name))
        parameters = {**table.parameters, **statement.properties}
        self.catalog.update(replace(table, parameters=parameters))
        return ()

    def _add_columns(self, statement: AddColumns, task: Task) -> Sequence[str]:
        table, added = (
            self.metastore.table(task.resolve(statement.name)),
            _columns(statement.columns),
        )
        kept = () if statement.replace else table.columns
        names = {column.name for column in (*kept, *table.partition_keys)}
        for column in added:
            if column.name in names:
                raise failed(
                    DDL_TASK,
                    f"Duplicate column name: {column.name}",
                )
        self.catalog.update(replace(table, columns=(*kept, *added)))
        return ()

    def _change_column(self, statement: ChangeColumn, task: Task) -> Sequence[str]:
        table, (column,) = (
            self.metastore.table(task.resolve(statement.name)),
            _columns([statement.column]),
        )
        self.catalog.update(replace(table, columns=_changed(table, statement, column)))
        return ()

    def _rename_partition(self, statement: RenamePartition, task: Task) -> Sequence[str]:
        """The partition's files stay where they are, as those of an external table do."""
        table = self.metastore.partitioned(task.resolve(statement.name))
        old, new = partition_values(table, statement.old), partition_values(table, statement.new)
        found = self.metastore.partition(table, old)
        self.catalog.drop_partition(table, old)
        self.catalog.add_partitions(table, [replace(found, values=new)])
        return ()

    def _set_database_properties(
        self, statement: SetDatabaseProperties, task: Task
    ) -> Sequence[str]:
        self.metastore.check_database(statement.name)
        self.catalog.update_database(statement.name, statement.properties)
        return ()

    def _repair(self, statement: RepairTable, task: Task) -> Sequence[str]:
        """Add a partition for every key=value folder that holds files and has none."""
        table = self.metastore.partitioned(task.resolve(statement.name))
        known = {partition.values for partition in self.catalog.partitions(table)}
        found = {p.values: p for p in self._folders(table) if p.values not in known}
        self.catalog.add_partitions(table, list(found.values()))
        names = [f"{table.name}:{partition_text(table, values)}" for values in found]
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


def _columns(definitions: Sequence[ColumnDefinition]) -> tuple[Column, ...]:
    return tuple(Column(d.name, d.hive, parse_hive_type(d.hive), d.comment) for d in definitions)


def _changed(table: Table, statement: ChangeColumn, column: Column) -> tuple[Column, ...]:
    """The table's columns with one renamed, retyped or moved."""
    names = [one.name for one in table.columns]
    if statement.old not in names:
        raise failed(DDL_TASK, f"Invalid column reference {statement.old}")
    if column.name != statement.old and column.name in {c.name for c in table.all_columns}:
        raise failed(DDL_TASK, f"Duplicate column name: {column.name}")
    kept = [one for one in table.columns if one.name != statement.old]
    place = names.index(statement.old)
    if statement.after is not None:
        behind = [one.name for one in kept]
        if statement.after and statement.after not in behind:
            raise failed(DDL_TASK, f"Invalid column reference {statement.after}")
        place = behind.index(statement.after) + 1 if statement.after else 0
    return (*kept[:place], column, *kept[place:])


def _default(table: Table, values: Sequence[str]) -> str:
    return f"{folder(table.location)}{partition_text(table, values)}/"
