"""From a query's text to SQL that the engine runs, with the files that it reads."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from infra.local.athena.analyzer import Analyzer
from infra.local.athena.catalog import CATALOG, Catalog, Table
from infra.local.athena.dialect import parse_query
from infra.local.athena.errors import QueryFailed, unsupported
from infra.local.athena.query import Query
from infra.local.athena.scan import Scanner
from infra.local.athena.scope import Field, Leaf, reach
from infra.local.athena.task import Task


@dataclass(frozen=True)
class Planned:
    """A query of which every table is known, and no file yet."""

    query: Query
    leaves: list[Leaf]

    @property
    def fields(self) -> list[Field]:
        return self.query.fields


@dataclass(frozen=True)
class Planner:
    """Analyzes queries against the catalog and binds them to files."""

    catalog: Catalog
    scanner: Scanner

    def plan(self, sql: str, database: str) -> Planned:
        """Raises QueryFailed for what does not parse, resolve or fit."""
        seen: dict[tuple[str, str], Table] = {}
        analyzer = Analyzer(
            lambda parts, where: self._lookup(parts, where, database, seen), self._view
        )
        query = analyzer.analyze(parse_query(sql))
        reach(query.needs, *(item.needs for item in query.fields))
        for item in query.fields:
            for origin in item.origins if not item.needs.fields else ():
                origin.leaf.used.add(origin.column)
        return Planned(query, analyzer.leaves)

    def _lookup(
        self,
        parts: tuple[str, ...],
        where: str,
        database: str,
        seen: dict[tuple[str, str], Table],
    ) -> Table:
        catalog, db, name = ((CATALOG, database)[: 3 - len(parts)] + parts)[-3:]
        if catalog != CATALOG:
            raise QueryFailed("CATALOG_NOT_FOUND", f"{where}Catalog '{catalog}' does not exist")
        if not db:
            raise QueryFailed(
                "MISSING_SCHEMA_NAME",
                f"{where}Schema must be specified when session schema is not set",
            )
        if db == "information_schema":
            raise unsupported("information_schema; SHOW and DESCRIBE tell of the catalog", where)
        if (db, name) not in seen:
            seen[db, name] = self.catalog.table(db, name, where)
        return seen[db, name]

    def _view(self, table: Table) -> exp.Query:
        """A view's query, its names completed by the database that it was made in."""
        assert table.view is not None
        query = parse_query(table.view.sql)
        known = {cte.alias.lower() for cte in query.find_all(exp.CTE)}
        for node in query.find_all(exp.Table):
            if not node.db and node.name.lower() not in known:
                node.set("db", exp.to_identifier(table.view.database))
        return query

    def bind(self, planned: Planned, task: Task) -> str:
        """The query's SQL over the files of its tables; tells the task how much it scans."""
        sql, total = planned.query.sql, 0
        for leaf in planned.leaves:
            scan = self.scanner.scan(leaf, task.connection)
            total += scan.bytes
            sql = sql.replace(f'"{leaf.name}"', f"({scan.sql})", 1)
        task.scanned(total)
        return sql
