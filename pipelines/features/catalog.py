"""A feature table in the catalog: its rows table, partitions and view, as statements of Athena."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from mlops.athena import Queries
from mlops.errors import JobFailed
from mlops.names import Names
from mlops.stores.athena.sql import name
from mlops.stores.athena.staging import TABLES, new_id
from pipelines.features.buildlog import Build, BuildLog, Current, Piece
from pipelines.features.schemas.columns import SchemaVersion, stored_types
from pipelines.features.tables import DeclaredTable

_PARTITIONS_PER_STATEMENT = 500


@dataclass(frozen=True)
class CatalogTable:
    """The statements of one table. Every one may be run twice."""

    table: DeclaredTable
    names: Names
    queries: Queries

    def create(self, log: BuildLog) -> None:
        self.queries.run(
            f"CREATE EXTERNAL TABLE IF NOT EXISTS `{self.database}`.`{self.table.rows_table}` (\n"
            f"  {_definitions(stored_types(log.schemas))}\n)\n"
            "PARTITIONED BY (`generation` string, `day` string)\n"
            f"STORED AS PARQUET\nLOCATION 's3://{self.names.data_bucket}/{self.folder}'"
        )

    def add_columns(self, log: BuildLog) -> None:
        """Give the rows table the stored columns that it lacks; it loses none, and none changes.

        Someone else may do the same: then all is there when we look again.
        """
        wanted = stored_types(log.schemas)
        lacking = self._lacking(wanted)
        if not lacking:
            return
        try:
            self.queries.run(
                f"ALTER TABLE `{self.database}`.`{self.table.rows_table}` "
                f"ADD COLUMNS (\n  {_definitions(lacking)}\n)"
            )
        except JobFailed:
            if self._lacking(wanted):
                raise

    def _lacking(self, wanted: Mapping[str, str]) -> dict[str, str]:
        rows = self.queries.rows(f"SHOW COLUMNS IN `{self.database}`.`{self.table.rows_table}`")
        known = {str(row[0]).strip() for row in rows}
        return {column: kind for column, kind in wanted.items() if column not in known}

    def unload(self, build: Build, version: SchemaVersion) -> None:
        """Write a build's files: the version's columns, by their stored names."""
        select = self.table.snapshots(
            build.days.first,
            build.days.last,
            created=f"{build.created:%Y-%m-%d %H:%M:%S}.{build.created.microsecond // 1000:03d}",
            database=self.database,
        )
        columns = ", ".join(
            f"{name(stored.name)} AS {name(stored.stored)}" for stored in version.columns
        )
        self.queries.run(
            f'UNLOAD (\nSELECT {columns}, "day" FROM (\n{select}\n)\n)\n'  # ours
            f"TO '{self.place(build)}'\n"
            "WITH (format = 'PARQUET', compression = 'SNAPPY', partitioned_by = ARRAY['day'])"
        )

    @contextmanager
    def unlogged(self, builds: Iterable[Build], version: SchemaVersion) -> Iterator[str]:
        """What builds wrote, as a table by `day` that nobody reads and that is gone afterwards.

        Named so that `mlops features sweep` removes it where a killed process could not.
        """
        scratch = f"{TABLES}{new_id()}"
        try:
            self.queries.run(
                f"CREATE EXTERNAL TABLE `{self.database}`.`{scratch}` (\n"
                f"  {_definitions(version.written)}\n)\nPARTITIONED BY (`day` string)\n"
                f"STORED AS PARQUET\nLOCATION 's3://{self.names.data_bucket}/{self.folder}'"
            )
            self._add_partitions(
                scratch, ((f"day = '{day}'", place) for _, day, place in self._days(builds))
            )
            yield scratch
        finally:
            self.queries.run(f"DROP TABLE IF EXISTS `{self.database}`.`{scratch}`")

    def register(self, builds: Iterable[Build]) -> None:
        """Name every day of every build as a partition."""
        self._add_partitions(
            self.table.rows_table,
            (
                (f"generation = '{build.generation}', day = '{day}'", place)
                for build, day, place in self._days(builds)
            ),
        )

    def _days(self, builds: Iterable[Build]) -> Iterator[tuple[Build, str, str]]:
        for build in builds:
            for day in build.days:
                yield build, str(day), f"{self.place(build)}day={day}/"

    def _add_partitions(self, table: str, partitions: Iterable[tuple[str, str]]) -> None:
        clauses = [f"PARTITION ({values}) LOCATION '{place}'" for values, place in partitions]
        for start in range(0, len(clauses), _PARTITIONS_PER_STATEMENT):
            some = "\n".join(clauses[start : start + _PARTITIONS_PER_STATEMENT])
            self.queries.run(f"ALTER TABLE `{self.database}`.`{table}` ADD IF NOT EXISTS\n{some}")

    def replace_view(self, log: BuildLog) -> None:
        """One statement swaps everything that readers see."""
        query = view_query(self.table, log, self.database)
        self.queries.run(
            f'CREATE OR REPLACE VIEW "{self.database}"."{self.table.name}" AS\n{query}'
        )

    @property
    def database(self) -> str:
        return self.names.database

    @property
    def folder(self) -> str:
        return table_folder(self.table.name)

    def key_prefix(self, build: Build) -> str:
        """Where in the data bucket a build's files are."""
        return f"{self.folder}generation={build.generation}/build={build.id}/"

    def place(self, build: Build) -> str:
        return f"s3://{self.names.data_bucket}/{self.key_prefix(build)}"


def table_folder(table: str) -> str:
    """Where in the data bucket a table's files and its log are; ends in '/'."""
    return f"features/{table}/"


def view_query(table: DeclaredTable, log: BuildLog, database: str) -> str:
    """What readers of a table see by its log: the current generation of each day.

    In the newest version of the schema: a column that a file does not have reads as null.
    """
    return pieces_query(table, log, log.current, database)


def pieces_query(
    table: DeclaredTable, log: BuildLog, pieces: Iterable[Current | Piece], database: str
) -> str:
    """As `view_query`, of generations on these days."""
    columns = ", ".join(_selected(table, log))
    current = "\n  OR ".join(
        f"(generation = '{c.generation}' AND \"day\" BETWEEN '{c.days.first}' AND '{c.days.last}')"
        for c in pieces
    )
    rows = f'"{database}"."{table.rows_table}"'
    return f'SELECT {columns}, "day"\nFROM {rows}\nWHERE {current or "false"}'


def _selected(table: DeclaredTable, log: BuildLog) -> list[str]:
    if log.recorded is None:
        return [name(column.name) for column in table.schema]
    return [stored.selected for stored in log.recorded.columns]


def _definitions(types: Mapping[str, str]) -> str:
    return ",\n  ".join(f"`{column}` {kind}" for column, kind in types.items())
