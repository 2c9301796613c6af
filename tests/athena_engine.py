"""Athena's SQL on tables in memory: the local Athena's translator over DuckDB, without S3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa

from infra.local.athena.catalog import Column, Table
from infra.local.athena.dialect import parse_hive_type
from infra.local.athena.errors import QueryFailed
from infra.local.athena.extensions import extend
from infra.local.athena.queries import Planner
from infra.local.athena.types import quote

DATABASE = "tests"


@dataclass
class MemoryAthena:
    """Tables of DuckDB with the types that Glue declares for them."""

    threads: int = 1
    tables: dict[str, Table] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.connection = duckdb.connect(":memory:", config={"threads": self.threads})
        self.connection.execute("SET TimeZone = 'UTC'")
        extend(self.connection)

    def add(self, name: str, data: Any, types: Mapping[str, str]) -> None:
        """A table from anything that DuckDB scans, with Hive's type of each column."""
        self.connection.register("given", data)
        self.connection.execute(f'CREATE OR REPLACE TABLE "{name}" AS SELECT * FROM given')
        self.connection.unregister("given")
        self.declare(name, types)

    def declare(self, name: str, types: Mapping[str, str]) -> None:
        columns = tuple(Column(c, hive, parse_hive_type(hive)) for c, hive in types.items())
        self.tables[name] = Table(DATABASE, name, columns)

    def table(self, database: str, name: str, where: str = "") -> Table:
        """What the planner asks of a catalog."""
        if name not in self.tables:
            raise QueryFailed("TABLE_NOT_FOUND", f"{where}Table '{database}.{name}' does not exist")
        return self.tables[name]

    def translate(self, sql: str) -> str:
        planner = Planner(self, None)  # type: ignore[arg-type]  # only plans; nothing is scanned
        planned = planner.plan(sql, DATABASE)
        written = planned.query.sql
        for leaf in planned.leaves:
            columns = ", ".join(f'"{c.name}"' for c in leaf.table.columns if c.name in leaf.used)
            scan = f'SELECT {columns or "1"} FROM "{leaf.table.name}"'
            written = written.replace(f'"{leaf.name}"', f"({scan})", 1)
        outer = ", ".join(f"c{i} AS {quote(f.shown)}" for i, f in enumerate(planned.fields))
        return f"SELECT {outer} FROM ({written})"

    def query(self, sql: str) -> pa.Table:
        """The result of a query in Athena's SQL."""
        return self.connection.execute(self.translate(sql)).to_arrow_table()
