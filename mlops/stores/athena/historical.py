"""Historical features: entity rows joined with the views of one call."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from mlops.errors import InputError
from mlops.stores.athena import entities, results
from mlops.stores.athena.cost import Scan, scan_of_times, scan_of_view
from mlops.stores.athena.entities import EntityRows, EntityTable
from mlops.stores.athena.job import AthenaJob
from mlops.stores.athena.join import AT, ROW, Carried, Join, join_sql
from mlops.stores.athena.relations import Relation
from mlops.stores.athena.session import Session, Work
from mlops.stores.athena.sql import Window, name, to_microseconds
from mlops.stores.athena.views import Request, join_key_columns, request_views

_LONGEST_SQL = 262_144
"""Athena takes no longer query."""


@dataclass(frozen=True)
class Range:
    """Instead of entity rows: every moment at which a feature row became known, ends included."""

    start: datetime
    end: datetime

    @property
    def window(self) -> Window:
        return Window(to_microseconds(self.start), to_microseconds(self.end))


@dataclass(frozen=True)
class Asked:
    """One call of get_historical_features."""

    views: Mapping[str, tuple[Any, list[str]]]
    entities: EntityRows | str | Range = field(repr=False)
    full_feature_names: bool = False
    by_created: bool = False
    as_of: int | None = None
    reading: Mapping[str, str] = field(default_factory=dict)
    """By source: a query to read in its place."""

    @property
    def join_keys(self) -> dict[str, list[str]]:
        """The caller's names of each view's join keys."""
        return {title: join_key_columns(view) for title, (view, _) in self.views.items()}


class HistoricalJob(AthenaJob):
    """A point-in-time join. `bill` says what the last result cost."""

    def __init__(self, session: Session, asked: Asked, **rest: Any) -> None:
        super().__init__(session, full_feature_names=asked.full_feature_names, **rest)
        self._asked = asked

    def _request(self, work: Work) -> Request:
        return request_views(
            self._asked.views,
            lambda source: self._relation(source, work),
            full_feature_names=self._asked.full_feature_names,
        )

    def _relation(self, source: Any, work: Work) -> Relation:
        query = self._asked.reading.get(source.name)
        if query is None:
            return self._session.relations.of(source, work.run)
        title = f"The query in place of source '{source.name}'"
        return self._session.relations.query(query, work.run, title=title)

    def as_of(self, instant: datetime, reading: Mapping[str, str] | None = None) -> HistoricalJob:
        """The same job as it would have answered at a past moment.

        Only rows that were created by then are seen. A table whose rows are replaced in place
        shows its past by itself only where replaced rows stay; for one that does not, `reading`
        gives, by source, a query for the rows as they were.
        """
        return self._asking(as_of=to_microseconds(instant), reading=dict(reading or {}))

    def reading(self, queries: Mapping[str, str]) -> HistoricalJob:
        """The same job on other rows: by source, a query to read in its place."""
        return self._asking(reading=dict(queries))

    def _asking(self, **changed: Any) -> HistoricalJob:
        return HistoricalJob(
            self._session,
            replace(self._asked, **changed),
            on_demand_feature_views=self._computed,
            metadata=self._metadata,
        )

    def _scans(self, work: Work) -> list[Scan]:
        """Of a query of entity rows it is not known what times it gives: all days count then."""
        request = self._request(work)
        given = self._asked.entities
        if isinstance(given, EntityRows):
            return [scan_of_view(view, given.window) for view in request.views]
        times = given.window if isinstance(given, Range) else Window()
        views = [scan_of_view(view, times) for view in request.views]
        if isinstance(given, Range):
            keyed = [view for view in request.views if view.keys] or list(request.views[:1])
            return [*(scan_of_times(view, given.window) for view in keyed), *views]
        return [Scan(given.strip().rstrip(";")), *views]

    def _table(self, work: Work, timeout: float | None) -> pa.Table:
        request = self._request(work)
        if not request.views:
            raise InputError("No stored feature is asked for. Name some, as 'view:feature'.")
        given = self._asked.entities
        if isinstance(given, EntityRows):
            return self._beside(work, request, given, timeout)
        table = self._stage_query(work, request)
        if not table.rows:
            return _empty(table, request)
        join = self._join(request, table)
        unloaded = work.unload(join_sql(join, table.carried), timeout=timeout)
        found = results.read(work.run.storage, unloaded)
        assert found is not None
        return _named(results.in_order(found, table.rows, complete=True), table.carried, request)

    def _beside(
        self, work: Work, request: Request, rows: EntityRows, timeout: float | None
    ) -> pa.Table:
        """The caller's columns as they were, and the features beside them."""
        _check_names(rows.table.column_names, request)
        table = self._stage_keys(work, request, rows)
        count, features = rows.table.num_rows, None
        if count:
            sql = join_sql(self._join(request, table), sparse=True)
            unloaded = work.unload(sql, timeout=timeout)
            features = results.read(work.run.storage, unloaded)
        if features is None:
            found = results.empty(request.types, count)
        else:
            ordered = results.in_order(features, count, complete=len(request.views) > 1)
            found = results.typed(ordered, request.types)
        return _beside(rows.table, found)

    def _batches(self, work: Work, rows: int, timeout: float | None) -> Iterator[pa.Table]:
        request = self._request(work)
        given = self._asked.entities
        if isinstance(given, EntityRows):
            _check_names(given.table.column_names, request)
            table = self._stage_keys(work, request, given)
        else:
            table = self._stage_query(work, request)
        sql = join_sql(self._join(request, table), table.carried)
        unloaded = work.unload(sql, timeout=timeout) if table.rows else None
        for batch in results.stream(work.run.storage, unloaded, rows=rows) if unloaded else ():
            piece = pa.Table.from_batches([batch])
            ordinals, rest = piece[ROW], piece.drop_columns([ROW])
            if isinstance(given, EntityRows):
                features = results.typed(rest, request.types)
                whole = _beside(given.table.take(ordinals), features)
            else:
                whole = _named(rest, table.carried, request)
            yield whole if ROW in whole.column_names else whole.add_column(0, ROW, ordinals)

    def _full_sql(self, work: Work) -> str:
        """A dataframe's columns are uploaded for it, unless only the text is wanted."""
        request = self._request(work)
        given = self._asked.entities
        if isinstance(given, EntityRows):
            _check_names(given.table.column_names, request)
            table = self._stage_whole(work, request, given)
        else:
            table = self._stage_query(work, request)
        return join_sql(self._join(request, table), table.carried, ordinal=False)

    def to_sql(self) -> str:
        """The query that gives the result, complete in itself.

        Entity rows of a dataframe are written into it. Raises InputError when that makes it longer
        than Athena takes.
        """
        with self._working() as work:
            request = self._request(work)
            heading, table = self._written(work, request)
            body = join_sql(self._join(request, table), table.carried, ordinal=False)
        sql = f"WITH {heading}{',' if request.views else ''}\n{body.removeprefix('WITH ')}"
        if len(sql.encode()) > _LONGEST_SQL:
            raise InputError(
                f"The query with its {table.rows} entity rows is longer than Athena takes "
                f"({_LONGEST_SQL} bytes). Use persist() or to_remote_storage(), or give the entity "
                "rows as SQL."
            )
        return sql

    def _join(self, request: Request, table: EntityTable) -> Join:
        return Join(
            views=request.views,
            entities=table.relation,
            times=table.times,
            as_of=self._asked.as_of,
            by_created=self._asked.by_created,
            reach=table.reach,
        )

    # Entity rows as a table

    def _stage_keys(self, work: Work, request: Request, rows: EntityRows) -> EntityTable:
        staged = entities.staged_rows(rows, request.entity_keys)
        table = self._stage(work, rows, staged, entities.staged_types(request.entity_keys), ())
        return replace(table, reach=entities.reach_of(staged, request.entity_keys))

    def _stage_whole(self, work: Work, request: Request, rows: EntityRows) -> EntityTable:
        staged = entities.staged_rows(rows, request.entity_keys)
        types = entities.staged_types(request.entity_keys)
        data, own, carried = entities.carried_rows(rows)
        for column in data.column_names:
            staged = staged.append_column(column, data[column])
        table = self._stage(work, rows, staged, types | own, carried)
        return replace(table, reach=entities.reach_of(staged, request.entity_keys))

    def _stage(
        self,
        work: Work,
        rows: EntityRows,
        staged: pa.Table,
        types: Mapping[str, str],
        carried: tuple[Carried, ...],
    ) -> EntityTable:
        location = f"{work.run.prefix}entity/"
        with tempfile.TemporaryDirectory(prefix="mlops-entity-") as folder:
            path = Path(folder) / "rows.parquet"
            entities.write_rows(staged, path)
            work.run.storage.upload(path, f"{location}rows.parquet")
        table = work.run.create_table(types, location)
        return EntityTable(self._named(table), rows.window, staged.num_rows, carried)

    def _stage_query(self, work: Work, request: Request) -> EntityTable:
        """The query's rows are written down once, so that every view sees the same."""
        sql, types, carried = self._numbered(work, request)
        written = work.unload(sql)
        table = self._named(work.run.create_table(types, written.location))
        keys = entities.integer_keys(request.entity_keys)
        ends = ", ".join(f"min({column}), max({column})" for column in [AT, *keys])
        counted = work.first_row(f"SELECT count(*), {ends} FROM {table}")  # noqa: S608
        rows, first, last, *rest = (None if cell is None else int(cell) for cell in counted)
        reach = {
            key: (smallest, largest)
            for key, smallest, largest in zip(keys, rest[::2], rest[1::2], strict=True)
            if smallest is not None and largest is not None
        }
        return EntityTable(table, Window(first, last), rows or 0, carried, reach)

    def _numbered(
        self, work: Work, request: Request
    ) -> tuple[str, dict[str, str], tuple[Carried, ...]]:
        given = self._asked.entities
        if isinstance(given, Range):
            given = entities.range_sql(request.views, self._asked.join_keys, given.window)
        assert isinstance(given, str)
        relation = self._session.relations.query(given, work.run, title="The entity query")
        _check_names(list(relation.columns), request)
        return entities.numbered_sql(given, relation.columns, request.entity_keys)

    def _written(self, work: Work, request: Request) -> tuple[str, EntityTable]:
        """Entity rows as a common table expression."""
        given = self._asked.entities
        if not isinstance(given, EntityRows):
            sql, _, carried = self._numbered(work, request)
            columns = ", ".join(c.column for c in carried)
            # The rows are read once per view: equal ones may change places, others must not.
            sql = sql.replace("row_number() OVER ()", f"row_number() OVER (ORDER BY {columns})", 1)
            return f"entity_rows AS (\n{sql}\n)", EntityTable("entity_rows", Window(), 0, carried)
        _check_names(given.table.column_names, request)
        keys = entities.staged_rows(given, request.entity_keys)
        data, own, carried = entities.carried_rows(given)
        types = entities.staged_types(request.entity_keys) | own
        whole = pa.table(
            [*keys.columns, *data.columns], names=[*keys.column_names, *data.column_names]
        )
        values = entities.values_sql(whole, types)
        reach = entities.reach_of(keys, request.entity_keys)
        table = EntityTable("entity_rows", given.window, whole.num_rows, carried, reach)
        return f"entity_rows AS (\n{values}\n)", table

    def _named(self, table: str) -> str:
        return f"{name(self._session.database)}.{name(table)}"


def read_entities(
    entity_df: pd.DataFrame | str | None,
    views: Mapping[str, tuple[Any, list[str]]],
    window: tuple[datetime, datetime] | None,
) -> EntityRows | str | Range:
    """What a caller gave, checked as far as it can be without asking Athena."""
    if entity_df is None:
        assert window is not None
        return Range(*window)
    if isinstance(entity_df, str):
        return entity_df
    if not isinstance(entity_df, pd.DataFrame):
        raise InputError(
            f"Entity rows are a {type(entity_df).__name__}; give a pandas DataFrame, or SQL."
        )
    keys = dict.fromkeys(key for view, _ in views.values() for key in join_key_columns(view))
    return entities.read_entity_rows(entity_df, list(keys))


def _check_names(columns: Sequence[str], request: Request) -> None:
    taken = sorted(set(columns) & set(request.types))
    if taken:
        raise InputError(
            f"The entity rows and the features both have {', '.join(taken)}. Rename the entity "
            "rows' columns, or ask with full_feature_names=True."
        )


def _beside(rows: pa.Table, features: pa.Table) -> pa.Table:
    return pa.table(
        [*rows.columns, *features.columns], names=[*rows.column_names, *features.column_names]
    )


def _named(table: pa.Table, carried: Sequence[Carried], request: Request) -> pa.Table:
    """Columns by their names; Athena's own are lower-case."""
    columns = [
        values.cast(results.INSTANT) if c.instant else values
        for c, values in zip(carried, table.columns[: len(carried)], strict=True)
    ]
    own = results.in_utc(pa.table(columns, names=[c.output for c in carried]))
    rest = table.select(list(range(len(carried), table.num_columns)))
    return _beside(own, results.typed(rest, request.types))


def _empty(table: EntityTable, request: Request) -> pa.Table:
    own = pa.table({c.output: pa.nulls(0) for c in table.carried})
    return _beside(own, results.empty(request.types))
