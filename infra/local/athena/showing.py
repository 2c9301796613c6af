"""SHOW and DESCRIBE: what the catalog holds, in Hive's lines."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, replace

from infra.local.athena.catalog import Catalog
from infra.local.athena.describe import create_table_text, describe_column, describe_lines
from infra.local.athena.metastore import (
    Metastore,
    check_partitioned,
    partition_text,
    partition_values,
)
from infra.local.athena.results import ResultColumn
from infra.local.athena.statements import Describe, Show
from infra.local.athena.task import Task
from infra.local.athena.types import VARCHAR


@dataclass(frozen=True)
class Showing:
    """Answers what is asked of the catalog in SQL."""

    catalog: Catalog
    metastore: Metastore

    def run(
        self, statement: Show | Describe, task: Task
    ) -> tuple[Sequence[str], list[ResultColumn]]:
        """Lines and columns. Raises QueryFailed with Hive's message."""
        if isinstance(statement, Show):
            return self._show(statement, task), _columns(_TITLES[statement.what])
        return self._describe(statement, task), _columns(("col_name", "data_type", "comment"))

    def _show(self, statement: Show, task: Task) -> Sequence[str]:
        if statement.what == "DATABASES":
            return _matching([entry["Name"] for entry in self.catalog.databases()], statement)
        if statement.what in {"TABLES", "VIEWS"}:
            return self._show_tables(statement, task)
        assert statement.name is not None
        name = replace(statement.name, database=statement.database or statement.name.database)
        table = self.metastore.table(task.resolve(name))
        if statement.what == "COLUMNS":
            return [f"{column.name:<20}" for column in table.all_columns]
        if statement.what == "PARTITIONS":
            check_partitioned(table)
            return sorted(partition_text(table, p.values) for p in self.catalog.partitions(table))
        if statement.what == "TBLPROPERTIES":
            return [
                f"{key}\t{value}"
                for key, value in sorted(table.parameters.items())
                if statement.pattern in ("", key)
            ]
        return create_table_text(table).split("\n")

    def _show_tables(self, statement: Show, task: Task) -> Sequence[str]:
        database = statement.database or task.database
        self.metastore.check_database(database)
        tables = self.catalog.tables(database)
        views = statement.what == "VIEWS"
        names = [table.name for table in tables if table.view is not None or not views]
        return _matching(names, statement)

    def _describe(self, statement: Describe, task: Task) -> Sequence[str]:
        table = self.metastore.table(task.resolve(statement.name))
        if statement.partition is not None:
            self.metastore.partition(table, partition_values(table, statement.partition))
        if statement.column:
            return [describe_column(table, statement.column)]
        return describe_lines(table, formatted=statement.formatted)


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


def _columns(names: Sequence[str]) -> list[ResultColumn]:
    return [ResultColumn(name, VARCHAR) for name in names]
