"""Planning a run: what changed is unloaded once, in files by shard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from feast.feature_view import DUMMY_ENTITY_ID

from mlops.clock import Clock
from mlops.deletion import deleted_field
from mlops.objects import Documents
from mlops.plan import PlannedField
from mlops.stores.athena.cost import estimate, scan_of_pull
from mlops.stores.athena.pull import Pull
from mlops.stores.athena.pulled import Columns, read_pull
from mlops.stores.athena.relations import Relation
from mlops.stores.athena.results import unload_sql
from mlops.stores.athena.session import Session, Work
from mlops.stores.redis.schema import build_schema
from pipelines.features.buildlog import Piece, load_log
from pipelines.features.catalog import pieces_query
from pipelines.features.tables import TABLES
from pipelines.features.upsync import statements
from pipelines.features.upsync.changes import Selection
from pipelines.features.upsync.state import Position, RunPlan, Task

_SHARD_FOLDER = re.compile(rf"/{re.escape(statements.SHARD)}=(\d+)/")
_VARIABLE_BYTES = 16
"""What a value without a fixed size is taken to have, in an estimate."""


@dataclass(frozen=True)
class Planner:
    """Plans runs: reads Glue and the build logs, and has Athena unload."""

    project: str
    session: Session
    data: Documents
    """The data bucket, for the build logs."""
    clock: Clock
    """The machines'."""

    def pieces(self, view: Any) -> tuple[Piece, ...] | None:
        """What readers of the view's table see, by build; None for a table that we do not build."""
        table = view.batch_source.table
        if table not in TABLES:
            return None
        log, document = load_log(self.data, table)
        return log.pieces() if document is not None else None

    def plan(
        self,
        view: Any,
        selection: Selection,
        *,
        run: str,
        now: datetime,
        known: Position | None,
        pieces: tuple[Piece, ...] | None,
        shards: int,
    ) -> RunPlan:
        """Unload what is selected, and say what is to be loaded from where."""
        started = self.clock.now()
        with self.session.run() as work:
            reading = self.reading(view, work, pieces)
            staged = self._stage(view, work, reading, selection, run=run, shards=shards)
            tasks = tuple(staged)
            scanned = work.bill().scanned
        return RunPlan(
            run=run,
            view=view.name,
            project=self.project,
            join_keys=reading.keys,
            features=reading.features,
            ttl_seconds=int(view.ttl.total_seconds()) if view.ttl else 0,
            deleted=deleted_field(view),
            now=now,
            started=started,
            span=selection.span,
            reason=selection.reason,
            full=selection.full,
            ties=selection.full or reading.pull.created is None,
            previous=known.run if known and not selection.everything else None,
            pieces=pieces,
            scanned=scanned,
            tasks=tasks,
        )

    def estimate(
        self, view: Any, selection: Selection, pieces: tuple[Piece, ...] | None
    ) -> tuple[int, int, int]:
        """Rows, packed bytes and bytes that Athena would read, of a run that is not made."""
        with self.session.run() as work:
            reading = self.reading(view, work, pieces)
            sql = statements.rows_sql(reading, selection)
            [rows] = work.first_row(f"SELECT count(*) AS n FROM (\n{sql}\n)")  # noqa: S608  # ours
            window = statements.window_of(selection.span)
            scan = estimate(work, [scan_of_pull(reading.pull, window)])
        return int(rows or 0), int(rows or 0) * row_bytes(reading, view), scan.bytes

    def reading(
        self, view: Any, work: Work, pieces: tuple[Piece, ...] | None
    ) -> statements.Reading:
        """Raises NotFound where the source lacks what the view declares."""
        source = view.batch_source
        stored = {mapped: column for column, mapped in source.field_mapping.items()}
        keys = [field for field in view.entity_columns if field.name != DUMMY_ENTITY_ID]
        pull: Pull = read_pull(
            source,
            Columns(
                tuple(stored.get(field.name, field.name) for field in keys),
                tuple(stored.get(field.name, field.name) for field in view.features),
                stored.get(source.timestamp_field, source.timestamp_field),
                stored.get(source.created_timestamp_column, source.created_timestamp_column)
                or None,
            ),
            self._relation(view, work, pieces),
        )
        return statements.Reading(
            pull,
            tuple(_planned(field) for field in view.entity_columns),
            tuple(_planned(field) for field in view.features),
        )

    def _relation(self, view: Any, work: Work, pieces: tuple[Piece, ...] | None) -> Relation:
        """The source; of a table that we build, exactly what these builds wrote."""
        relation = self.session.relations.of(view.batch_source, work.run)
        if pieces is None:
            return relation
        database = self.session.relations.database_of(view.batch_source)
        table = view.batch_source.table
        log, _ = load_log(self.data, table)
        query = pieces_query(TABLES[table], log, pieces, database)
        return replace(relation, sql=f"(\n{query}\n)")

    def _stage(
        self,
        view: Any,
        work: Work,
        reading: statements.Reading,
        selection: Selection,
        *,
        run: str,
        shards: int,
    ) -> Iterator[Task]:
        place = f"{self.session.staging.rstrip('/')}/upsync/{view.name}/{run}"
        shards = shards if statements.is_hashable(reading.keys) else 1
        rows = statements.rows_sql(reading, selection, shards=shards)
        by = statements.SHARD if shards > 1 else None
        yield from by_shard(_unload(work, rows, f"{place}/rows/", partitioned_by=by))
        if selection.gone is not None:
            before = reading
            if selection.gone.pieces is not None:
                before = self.reading(view, work, selection.gone.pieces)
            sql = statements.exchanges_sql(before, reading, selection, selection.gone)
            files = _unload(work, sql, f"{place}/exchanges/")
            if files:
                yield Task(kind="exchanges", files=tuple(files))


def by_shard(files: list[tuple[str, int]]) -> list[Task]:
    """A task per shard that has rows."""
    shards: dict[str, list[tuple[str, int]]] = {}
    for uri, size in sorted(files):
        found = _SHARD_FOLDER.search(uri)
        shards.setdefault(found[1] if found else "", []).append((uri, size))
    return [Task(kind="rows", files=tuple(some)) for _, some in sorted(shards.items())]


def row_bytes(reading: statements.Reading, view: Any) -> int:
    """About how many bytes a row takes online, without its key."""
    schema = build_schema(view.name, reading.features)
    return schema.fixed.size + _VARIABLE_BYTES * len(schema.variable)


def _unload(
    work: Work, sql: str, target: str, *, partitioned_by: str | None = None
) -> list[tuple[str, int]]:
    storage = work.run.storage
    statement = unload_sql(sql, target, partitioned_by=partitioned_by)
    finished = work.session.executions.run(
        statement,
        output=work.run.results,
        before_retry=lambda: storage.delete(uri for uri, _ in storage.keys(target)),
    )
    work.run.note(finished.outputs)
    work.done.append(finished)
    return storage.data_files(target)


def _planned(field: Any) -> PlannedField:
    return PlannedField(name=field.name, dtype=str(field.dtype))
