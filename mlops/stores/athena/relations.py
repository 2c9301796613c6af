"""What a source's table or query is called in SQL, and what columns it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mlops.aws import Aws, translated
from mlops.errors import NotFound
from mlops.stores.athena.execution import Executions
from mlops.stores.athena.sql import DayColumn, TimeColumn, name
from mlops.stores.athena.staging import Run

GLUE = "awsdatacatalog"
ORDER_TAG = "event_time_us"
"""A source's tag that names a bigint column with its event time in microseconds since 1970."""


@dataclass(frozen=True)
class Relation:
    """Something to select from, with its columns' types by lower-case name."""

    title: str
    sql: str
    columns: Mapping[str, str]

    def type(self, column: str) -> str:
        """Raises NotFound naming the column and what there is."""
        found = self.columns.get(column.lower())
        if found is None:
            raise NotFound(
                f"{self.title} has no column '{column}'; it has {', '.join(self.columns)}. Correct "
                "the definition in feature_repo/, or build the table again."
            )
        return found

    def require(self, columns: Iterable[str]) -> None:
        """Raises NotFound naming every column that is missing."""
        missing = [column for column in columns if column.lower() not in self.columns]
        if missing:
            raise NotFound(
                f"{self.title} has lost {', '.join(missing)}; it has {', '.join(self.columns)}. "
                "Correct the definition in feature_repo/, or build the table again."
            )

    def time(self, column: str) -> TimeColumn:
        return TimeColumn(column, self.type(column))

    def day(self, column: str | None) -> DayColumn | None:
        return DayColumn(column, self.type(column)) if column else None


class Relations:
    """Looks sources up, each once."""

    def __init__(self, aws: Aws, executions: Executions, *, catalog: str, database: str) -> None:
        self._glue = aws.client("glue")
        self._executions = executions
        self._catalog = catalog
        self._database = database

    def of(self, source: Any, run: Run) -> Relation:
        """The table or query of an AthenaSource, in the database that the source names."""
        if source.query:
            return self.query(source.query, run, title=f"The query of source '{source.name}'")
        catalog = source.data_source or self._catalog or GLUE
        database = self.database_of(source)
        return self.table(catalog, database, source.table, run)

    def database_of(self, source: Any) -> str:
        """Feast fills in 'default' where a source, as of a saved dataset, says none."""
        unsaid = source.database in {"", "default"} and not source.timestamp_field
        return self._database if unsaid or not source.database else str(source.database)

    def table(self, catalog: str, database: str, table: str, run: Run) -> Relation:
        sql = ".".join(name(part) for part in (catalog, database, table))
        title = f"Table {database}.{table}"
        if catalog.lower() != GLUE:
            return Relation(title, sql, self._query_columns(f"SELECT * FROM {sql}", run))  # noqa: S608
        try:
            with translated(f"Reading {title} of the Glue catalog"):
                found = self._glue.get_table(DatabaseName=database, Name=table.lower())["Table"]
        except NotFound as exc:
            raise NotFound(
                f"{title} does not exist in the Glue catalog. Build it ('mlops features build'), "
                "or correct the source in feature_repo/."
            ) from exc
        return Relation(title, sql, _columns(found))

    def query(self, sql: str, run: Run, *, title: str) -> Relation:
        plain = sql.strip().rstrip(";")
        return Relation(title, f"(\n{plain}\n)", self._query_columns(plain, run))

    def _query_columns(self, sql: str, run: Run) -> dict[str, str]:
        columns, done = self._executions.columns(sql, output=run.results)
        run.note(done.outputs)
        return {column.lower(): kind for column, kind in columns.items()}


def _columns(table: Mapping[str, Any]) -> dict[str, str]:
    entries = [
        *(table.get("StorageDescriptor") or {}).get("Columns", ()),
        *(table.get("PartitionKeys") or ()),
    ]
    iceberg = (table.get("Parameters") or {}).get("table_type", "").upper() == "ICEBERG"
    return {entry["Name"].lower(): _precise(entry["Type"], iceberg) for entry in entries}


def _precise(hive: str, iceberg: bool) -> str:
    # Glue says 'timestamp' of both; Iceberg keeps microseconds.
    return "timestamp(6)" if iceberg and hive == "timestamp" else hive.lower()
