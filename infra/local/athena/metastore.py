"""Finding databases, tables and partitions, with Hive's complaints where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from infra.local.athena.catalog import Catalog, Partition, Table
from infra.local.athena.errors import QueryFailed
from infra.local.athena.statements import PartitionSpec

DDL_TASK = "Execution Error, return code 1 from org.apache.hadoop.hive.ql.exec.DDLTask."


def failed(kind: str, message: str) -> QueryFailed:
    """Hive's failure: its kind, and what it says."""
    return QueryFailed("", f"FAILED: {kind} {message}")


@dataclass(frozen=True)
class Metastore:
    """The catalog, as Hive's statements look things up in it."""

    catalog: Catalog

    def check_database(self, name: str) -> None:
        """Raises Hive's complaint for a database that there is not."""
        if self.catalog.database(name) is None:
            raise failed("SemanticException [Error 10072]:", f"Database does not exist: {name}")

    def table(self, resolved: tuple[str, str]) -> Table:
        """A table or view by database and name."""
        database, name = resolved
        self.check_database(database)
        found = self.catalog.find(database, name)
        if found is None:
            raise failed("SemanticException [Error 10001]:", f"Table not found {database}.{name}")
        return found

    def partitioned(self, resolved: tuple[str, str]) -> Table:
        """A table that has partitions."""
        found = self.table(resolved)
        check_partitioned(found)
        return found

    def partition(self, table: Table, values: tuple[str, ...]) -> Partition:
        for found in self.catalog.partitions(table):
            if found.values == values:
                return found
        raise failed(
            "SemanticException [Error 10006]:",
            f"Partition not found {partition_text(table, values)}",
        )


def check_partitioned(table: Table) -> None:
    if not table.partition_keys:
        raise failed(
            "SemanticException [Error 10241]:",
            f"Table {table.database}.{table.name} is not a partitioned table",
        )


def partition_values(table: Table, spec: PartitionSpec) -> tuple[str, ...]:
    """The spec's values in the table's order. Raises Hive's complaint when they do not fit."""
    keys = [key.name for key in table.partition_keys]
    if sorted(spec.values) != sorted(keys):
        raise failed(
            "SemanticException", f"Partition spec {dict(spec.values)} does not name {keys}"
        )
    return tuple(spec.values[key] for key in keys)


def partition_text(table: Table, values: Sequence[str]) -> str:
    pairs = zip(table.partition_keys, values, strict=True)
    return "/".join(f"{key.name}={value}" for key, value in pairs)
