"""Loading Feast's own Redis store through its `materialize`, by the platform's clock.

Where feature_store.yaml names ours, `upsync` loads it instead.

A run loads, per view, the latest row of each key that was published by now. It begins where the
last successful run ended; the first one begins at now less the view's TTL. A run is recorded in S3
and marked in Redis. Where the two disagree, Redis was replaced, and the view is loaded anew.

Feast's Redis store keeps a stored row that is as new as the one that comes. So a rebuilt table
(another generation of the day that was loaded last) is loaded anew, overwriting; and a clock that
went back is refused unless the run is full. A full run overwrites every key that has a row within
the TTL; a key without one keeps the later row that it had.
"""

from __future__ import annotations

import contextlib
import io
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from mlops.athena import Queries
from mlops.errors import InputError, NotFound, Refused
from mlops.feast import feast_errors
from mlops.objects import Document, Documents
from mlops.stores.athena.views import publication_delay
from pipelines.features.buildlog import load_log

_PREFIX = "feast/upsync/"


class UpsyncRecord(BaseModel):
    """The last successful run of a view."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    view: str
    until: datetime
    """Rows published by then were looked for: the clock less the publication delay."""
    through: datetime
    """Event time of the newest row that was loaded."""
    generation: str | None
    """Of the day `through`, where the source is a table that we build."""
    rows: int
    full: bool


class UpsyncReport(BaseModel):
    """What a run did for one view, or would do."""

    view: str
    state: Literal["loaded", "up to date", "would load"]
    start: datetime
    until: datetime
    through: datetime | None
    rows: int
    full: bool
    reason: str
    """Why the window begins where it does."""
    seconds: float


class OnlineMarks(Protocol):
    """Redis, as far as runs are marked in it."""

    def get(self, view: str) -> str | None:
        """The last run of the view that this Redis holds."""

    def set(self, view: str, run: str) -> None:
        """Remember the run."""


@dataclass(frozen=True)
class RedisMarks:
    """Marks in Redis itself, which go when its data go."""

    client: Any
    project: str

    def get(self, view: str) -> str | None:
        with feast_errors(f"Reading the state of view '{view}'"):
            found = self.client.get(self._key(view))
        return found.decode() if found else None

    def set(self, view: str, run: str) -> None:
        with feast_errors(f"Recording the run of view '{view}'"):
            self.client.set(self._key(view), run)

    def _key(self, view: str) -> str:
        return f"mlops:upsync:{self.project}:{view}"


@dataclass(frozen=True)
class Stores:
    """Everything that a run reads and writes."""

    feast: Any
    queries: Queries
    data: Documents
    """The data bucket, for the build logs."""
    artifacts: Documents
    """The artifact bucket, for the records."""
    marks: OnlineMarks


@dataclass(frozen=True)
class Window:
    """What a run loads: event times from start to until, both included, in whole seconds."""

    start: datetime
    until: datetime
    overwrite: bool
    reason: str
    after: datetime | None = None
    """Rows up to and with this time are loaded already."""


def upsync_view(
    view: Any, stores: Stores, *, now: datetime, full: bool = False, dry_run: bool = False
) -> UpsyncReport:
    """Load what was published of a view since its last run.

    Raises Refused when the clock stands before the last run and the run is not full, and
    Unavailable when Redis does not answer; then nothing is recorded.
    """
    began = time.monotonic()
    record, document = load_record(stores.artifacts, view.name)
    known = record if record and stores.marks.get(view.name) == record.run else None
    window = choose_window(view, known, now=now, full=full, source=_generation_of(view, stores))
    rows, through = _count(view, window, stores.queries)

    def report(state: Literal["loaded", "up to date", "would load"]) -> UpsyncReport:
        return UpsyncReport(
            view=view.name,
            state=state,
            start=window.start,
            until=window.until,
            through=through or (known.through if known else None),
            rows=rows,
            full=window.overwrite,
            reason=window.reason,
            seconds=round(time.monotonic() - began, 2),
        )

    if through is None:
        return report("up to date")
    if dry_run:
        return report("would load")
    _materialize(view, window, stores.feast)
    done = UpsyncRecord(
        run=uuid.uuid4().hex,
        view=view.name,
        until=window.until,
        through=through,
        generation=_generation_of(view, stores).at(through),
        rows=rows,
        full=window.overwrite,
    )
    _record(stores, done, document)
    return report("loaded")


def choose_window(
    view: Any, known: UpsyncRecord | None, *, now: datetime, full: bool, source: Generations
) -> Window:
    """Which rows to load: pure, by the clock, the last run and what it loaded."""
    until = (now.astimezone(UTC) - publication_delay(view)).replace(microsecond=0)
    if not view.ttl:
        raise InputError(f"View '{view.name}' has no ttl, so it is unknown where to begin.")
    oldest = until - view.ttl
    if full:
        return Window(oldest, until, overwrite=True, reason="everything within the ttl, as asked")
    if known is None:
        return Window(oldest, until, overwrite=False, reason="everything within the ttl: first run")
    if until < known.until:
        raise Refused(
            f"The clock allows rows up to {until:%Y-%m-%d %H:%M:%S}, but '{view.name}' was loaded "
            f"up to {known.until:%Y-%m-%d %H:%M:%S}. To go back, run 'mlops features upsync "
            f"{view.name} --full'."
        )
    if source.at(known.through) != known.generation:
        return Window(oldest, until, overwrite=True, reason="everything: its table was rebuilt")
    start = max(known.through.replace(microsecond=0), oldest)
    return Window(start, until, overwrite=False, reason="since the last run", after=known.through)


class Generations:
    """Which generation readers of a table see on a day; None for a table that we do not build."""

    def __init__(self, current: Sequence[tuple[str, Any]] = ()) -> None:
        self._current = current

    def at(self, moment: datetime) -> str | None:
        day = moment.date()
        for generation, days in self._current:
            if days.first <= day <= days.last:
                return generation
        return None


def _generation_of(view: Any, stores: Stores) -> Generations:
    log, _ = load_log(stores.data, view.batch_source.table)
    return Generations([(c.generation, c.days) for c in log.current])


def _count(view: Any, window: Window, queries: Queries) -> tuple[int, datetime | None]:
    """How many keys have a row in the window, and the newest row's event time."""
    source = view.batch_source
    keys = ", ".join(f'"{column.name}"' for column in view.entity_columns)
    moment = f'"{source.timestamp_field}"'
    conditions = [f"{moment} BETWEEN {_literal(window.start)} AND {_literal(window.until)}"]
    if window.after is not None:
        conditions.append(f"{moment} > {_literal(window.after)}")
    if source.date_partition_column:
        conditions.append(
            f"\"{source.date_partition_column}\" BETWEEN '{window.start:%Y-%m-%d}' "
            f"AND '{window.until:%Y-%m-%d}'"
        )
    sql = (
        f"SELECT count(*), max(latest) FROM (SELECT {keys}, max({moment}) AS latest "  # noqa: S608  # ours
        f"FROM {source.get_table_query_string()} WHERE {' AND '.join(conditions)} GROUP BY {keys})"
    )
    [(rows, newest)] = queries.rows(sql)
    return int(rows), newest.replace(tzinfo=UTC) if newest is not None else None


def _literal(moment: datetime) -> str:
    return f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}'"


def _materialize(view: Any, window: Window, store: Any) -> None:
    store.config.online_store.skip_dedup = window.overwrite
    doing = f"Loading view '{view.name}' into Redis"
    # Feast prints what it does; the command's own output is for whoever reads it.
    with feast_errors(doing), contextlib.redirect_stdout(io.StringIO()):
        store.materialize(window.start, window.until, feature_views=[view.name])


def _record(stores: Stores, record: UpsyncRecord, replacing: Document | None) -> None:
    """S3 first: a run that is not marked in Redis is loaded again, and never missed."""
    key, body = f"{_PREFIX}{record.view}.json", record.model_dump_json(indent=1).encode()
    if replacing is None:
        stores.artifacts.create(key, body)
    else:
        stores.artifacts.put(key, body, etag=replacing.etag)
    stores.marks.set(record.view, record.run)


def load_record(documents: Documents, view: str) -> tuple[UpsyncRecord | None, Document | None]:
    try:
        document = documents.get(f"{_PREFIX}{view}.json")
    except NotFound:
        return None, None
    return UpsyncRecord.model_validate_json(document.body), document


def select_views(available: Sequence[Any], names: Sequence[str]) -> Iterator[Any]:
    """The named views, or all that are online. Raises NotFound."""
    online = {view.name: view for view in available if view.online}
    unknown = [name for name in names if name not in online]
    if unknown:
        raise NotFound(
            f"No online view is named {', '.join(unknown)}. There are "
            f"{', '.join(sorted(online)) or 'none'}; see 'mlops features list'."
        )
    yield from (online[name] for name in names or sorted(online))
