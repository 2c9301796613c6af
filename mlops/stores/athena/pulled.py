"""Jobs that read a source for itself, as materialization and saved datasets do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL

from mlops.stores.athena import results
from mlops.stores.athena.cost import Scan, scan_of_pull
from mlops.stores.athena.job import AthenaJob
from mlops.stores.athena.join import Feature
from mlops.stores.athena.pull import Pull, all_sql, latest_sql
from mlops.stores.athena.relations import ORDER_TAG, Relation
from mlops.stores.athena.session import Session, Work
from mlops.stores.athena.sql import Window
from mlops.stores.athena.types import arrow_type


@dataclass(frozen=True)
class Columns:
    """What is pulled of a source; Feast has turned all names into the source's own."""

    join_keys: tuple[str, ...]
    features: tuple[str, ...]
    event_time: str
    created: str | None = None
    dummy_entity: bool = False
    """Whether a view without entities needs Feast's stand-in for one."""


class PullJob(AthenaJob):
    """Rows of one source."""

    def __init__(
        self,
        session: Session,
        source: Any,
        columns: Columns,
        *,
        window: Window,
        latest: bool = False,
    ) -> None:
        super().__init__(session)
        self._source = source
        self._columns = columns
        self._window = window
        self._latest = latest

    def _sql(self, pull: Pull) -> str:
        write = latest_sql if self._latest else all_sql
        return write(pull, self._window, as_of=self._session.as_of)

    def _scans(self, work: Work) -> list[Scan]:
        return [scan_of_pull(self._prepared(work)[0], self._window)]

    def _prepared(self, work: Work) -> tuple[Pull, dict[str, pa.DataType | None]]:
        relation = self._session.relations.of(self._source, work.run)
        pull = read_pull(self._source, self._columns, relation)
        return pull, {column: arrow_type(relation.type(column)) for column in pull.columns}

    def _table(self, work: Work, timeout: float | None) -> pa.Table:
        pull, types = self._prepared(work)
        unloaded = work.unload(self._sql(pull), timeout=timeout)
        found = results.read(work.run.storage, unloaded)
        return self._typed(results.empty(types) if found is None else found, types)

    def _batches(self, work: Work, rows: int, timeout: float | None) -> Iterator[pa.Table]:
        pull, types = self._prepared(work)
        unloaded = work.unload(self._sql(pull), timeout=timeout)
        for batch in results.stream(work.run.storage, unloaded, rows=rows):
            yield self._typed(pa.Table.from_batches([batch]), types)

    def _full_sql(self, work: Work) -> str:
        return self._sql(self._prepared(work)[0])

    def _typed(self, table: pa.Table, types: dict[str, pa.DataType | None]) -> pa.Table:
        found = results.typed(table, types)
        if not self._columns.dummy_entity:
            return found
        stand_in = pa.array([DUMMY_ENTITY_VAL] * found.num_rows, pa.string())
        return found.append_column(DUMMY_ENTITY_ID, stand_in)


def read_pull(source: Any, columns: Columns, relation: Relation) -> Pull:
    """Raises NotFound naming every column that the source has lost."""
    times = [columns.event_time, *([columns.created] if columns.created else [])]
    relation.require([*columns.join_keys, *columns.features, *times])
    order = source.tags.get(ORDER_TAG)
    return Pull(
        relation=relation.sql,
        keys=columns.join_keys,
        features=tuple(Feature(f, relation.type(f), f) for f in columns.features),
        event_time=relation.time(columns.event_time),
        created=relation.time(columns.created) if columns.created else None,
        order=relation.time(order) if order else None,
        day=relation.day(source.date_partition_column or None),
    )
