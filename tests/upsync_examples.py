"""What tests of upsync share: staged files in memory, and a planner that stages from there."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mlops.plan import PlannedField
from pipelines.features.buildlog import Piece
from pipelines.features.upsync.changes import Selection
from pipelines.features.upsync.state import (
    CREATED,
    EVENT,
    OLD_CREATED,
    OLD_EVENT,
    Position,
    RunPlan,
    Task,
)

KEYS = (PlannedField(name="customer_id", dtype="String"),)
FEATURES = (PlannedField(name="amount", dtype="Float64"),)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def micro(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)


def rows(*rows: tuple[str, str | None, str | None, float | None]) -> pa.Table:
    """Staged rows: key, event time, created time, amount."""
    return pa.table(
        {
            "customer_id": pa.array([row[0] for row in rows], pa.string()),
            "amount": pa.array([row[3] for row in rows], pa.float64()),
            EVENT: pa.array([None if r[1] is None else micro(at(r[1])) for r in rows], pa.int64()),
            CREATED: pa.array(
                [None if r[2] is None else micro(at(r[2])) for r in rows], pa.int64()
            ),
        }
    )


def exchanges(table: pa.Table, *old: tuple[str, str]) -> pa.Table:
    """The rows, each for an older one of these times."""
    events = pa.array([micro(at(event)) for event, _ in old], pa.int64())
    created = pa.array([micro(at(made)) for _, made in old], pa.int64())
    return table.append_column(OLD_EVENT, events).append_column(OLD_CREATED, created)


@dataclass
class StagedFiles:
    """S3 as far as staged files are read, listed and removed."""

    files: dict[str, bytes] = field(default_factory=dict)

    def add(self, uri: str, table: pa.Table) -> tuple[str, int]:
        body = io.BytesIO()
        pq.write_table(table, body)
        self.files[uri] = body.getvalue()
        return uri, len(self.files[uri])

    def read(self, uri: str) -> bytes:
        return self.files[uri]

    def keys(self, uri: str) -> list[tuple[str, int]]:
        return [(name, len(body)) for name, body in self.files.items() if name.startswith(uri)]

    def delete(self, uris: Any) -> None:
        for uri in list(uris):
            self.files.pop(uri, None)


def make_plan(tasks: Sequence[Task], **changes: Any) -> RunPlan:
    given: dict[str, Any] = {
        "run": "r1",
        "view": "spend",
        "project": "tests",
        "join_keys": KEYS,
        "features": FEATURES,
        "ttl_seconds": 3 * 86400,
        "now": at("2018-08-08"),
        "started": at("2018-08-08"),
        "span": {"oldest": at("2018-08-05"), "until": at("2018-08-08")},
        "reason": "everything",
        "full": False,
        "ties": False,
        "previous": None,
        "pieces": None,
        "scanned": 0,
        "tasks": tuple(tasks),
    }
    return RunPlan(**(given | changes))


def make_view(**changes: Any) -> Any:
    source = SimpleNamespace(table="spend", created_timestamp_column="created")
    values: dict[str, Any] = {
        "name": "spend",
        "ttl": timedelta(days=3),
        "tags": {"publication_delay": "0s"},
        "batch_source": source,
        "online": True,
    }
    return SimpleNamespace(**values | changes)


@dataclass
class MemoryPlanner:
    """Plans runs over rows in memory: each view's are staged in shards by turns."""

    files: StagedFiles
    table: pa.Table
    shown: tuple[Piece, ...] | None = None
    gone: pa.Table | None = None
    """Exchanges to stage when rows may be gone."""
    plans: list[Selection] = field(default_factory=list)

    def pieces(self, view: Any) -> tuple[Piece, ...] | None:
        return self.shown

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
        self.plans.append(selection)
        folder = f"s3://staging/{view.name}/{run}"
        tasks = []
        for n in range(shards):
            part = self.table.take(list(range(n, self.table.num_rows, shards)))
            if part.num_rows:
                tasks.append(Task(kind="rows", files=(self.files.add(f"{folder}/{n}", part),)))
        if selection.gone is not None and self.gone is not None:
            file = self.files.add(f"{folder}/gone", self.gone)
            tasks.append(Task(kind="exchanges", files=(file,)))
        previous = known.run if known and not selection.everything else None
        return make_plan(
            tasks,
            run=run,
            view=view.name,
            now=now,
            span=selection.span,
            reason=selection.reason,
            full=selection.full,
            previous=previous,
            pieces=pieces,
        )

    def estimate(self, *_: Any) -> tuple[int, int, int]:
        return self.table.num_rows, 10 * self.table.num_rows, 1000
