"""Building feature tables: missing days by the clock, in chunks, swapped in at one step.

A chunk is unloaded under a prefix of its own and checked against the schema. Then the build log
takes it in, by a conditional write; then its partitions are registered; then the view is replaced,
and readers see it. Whatever is interrupted before the log leaves files that nobody reads; after the
log, the next run finishes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from pydantic import BaseModel

from mlops.athena import Queries
from mlops.errors import InputError, NotFound
from mlops.names import Names
from mlops.objects import Documents
from pipelines.data.ledger import Ledger
from pipelines.features.buildlog import Build, BuildLog, Days, in_chunks, load_log, save_log
from pipelines.features.catalog import CatalogTable, view_query
from pipelines.features.publication import publish
from pipelines.features.schemas.columns import SchemaVersion, first_version
from pipelines.features.schemas.evolution import check_schema
from pipelines.features.tables import SEEN_DAYS, TABLES, DeclaredTable
from pipelines.features.verification import Footers, check_builds

Progress = Callable[[str, int, int], None]
"""Called with a table's name, how many of its chunks are done, and how many there are."""


@dataclass(frozen=True)
class BuildRequest:
    """Which days to build; by default those that are missing, up to the clock."""

    now: datetime
    built_by: str
    new_id: Callable[[], str]
    first: date | None = None
    last: date | None = None
    rebuild: bool = False
    dry_run: bool = False


class BuildReport(BaseModel):
    """What a run did, or would do, for one table."""

    table: str
    generation: str | None
    days: int
    first: date | None
    last: date | None
    rows: int | None
    """Rows of the days that were built; None in a dry run."""
    stale_from: date | None
    """From here on snapshots lack payments that arrived late or were corrected; rebuild them."""
    dry_run: bool = False


def build_table(
    table: DeclaredTable,
    request: BuildRequest,
    *,
    names: Names,
    queries: Queries,
    documents: Documents,
    footers: Footers,
    payments: Ledger,
    progress: Progress = lambda *_: None,
) -> BuildReport:
    """Build a table's missing days (all requested days when rebuilding) and show them at once.

    documents: the data bucket.
    Raises NotFound without payments, InputError for days that cannot be built yet, Refused when the
    declared schema is not the one on record or what was written does not fit it, and Conflict when
    someone else built or evolved the table meanwhile.
    """
    log, document = load_log(documents, table.name)
    check_schema(table, log)
    wanted = buildable(payments.days, request)
    chunks = in_chunks([wanted] if request.rebuild else log.missing(wanted))
    generation = log.last_generation
    if chunks and (request.rebuild or generation is None):
        generation = log.next_generation
    stale = log.stale_from(payments, lookback=timedelta(days=SEEN_DAYS))
    if request.dry_run:
        return _report(table, generation, chunks, None, stale, dry_run=True)
    catalog = CatalogTable(table, names, queries)
    planned = log if log.recorded else log.with_schema(_first_schema(table, request))
    builds = _plan_builds(chunks, generation or "", request, payments, planned)
    if builds or not planned.is_published:
        catalog.create(planned)
    rows = 0
    if builds or planned is not log:
        with _removed_on_failure(catalog, builds, documents):
            rows = _write(catalog, builds, planned, payments, footers, progress)
            log = planned.with_builds(builds)
            document = save_log(documents, log, replacing=document)
    if not log.is_published:
        log = publish(catalog, documents, log, document)
    stale = log.stale_from(payments, lookback=timedelta(days=SEEN_DAYS))
    return _report(table, generation, chunks, rows, stale)


def buildable(days: Sequence[date], request: BuildRequest) -> Days:
    """The requested days for which payments are there.

    days: those with payments. The snapshot of day D needs the payments up to D - 1, and that D
    has begun by the clock.
    """
    if not days:
        raise NotFound(
            "There are no payments to build features from. Import some: 'mlops data import FILE', "
            "or 'mlops data simulate'."
        )
    first, last = min(days) + timedelta(days=1), max(days) + timedelta(days=1)
    today = request.now.date()
    if request.last is not None and request.last > min(last, today):
        raise InputError(
            f"The snapshot of {request.last} cannot be built: payments reach to {max(days)}, and "
            f"the platform's clock stands at {request.now:%Y-%m-%d %H:%M}."
        )
    first = max(first, request.first or first)
    last = min(last, today, request.last or last)
    if first > last:
        raise InputError(
            f"No day to build: payments reach from {min(days)} to {max(days)}, the platform's "
            f"clock stands at {request.now:%Y-%m-%d}, and the days asked for are "
            f"{request.first or 'the first'} to {request.last or 'the last'}."
        )
    return Days(first=first, last=last)


def past_queries(documents: Documents, database: str, instant: datetime) -> dict[str, str]:
    """By source: a query for the feature table as readers saw it at a past moment.

    For `HistoricalJob.as_of(instant, reading)`: the views show only what is current.
    """
    return {
        name: view_query(table, load_log(documents, name)[0].as_of(instant), database)
        for name, table in TABLES.items()
    }


def _first_schema(table: DeclaredTable, request: BuildRequest) -> SchemaVersion:
    return first_version(table.schema, at=request.now, by=request.built_by)


def _plan_builds(
    chunks: Sequence[Days],
    generation: str,
    request: BuildRequest,
    payments: Ledger,
    log: BuildLog,
) -> list[Build]:
    return [
        Build(
            id=request.new_id(),
            generation=generation,
            days=days,
            created=request.now,
            built_by=request.built_by,
            payments=payments.published,
            schema_version=log.schemas[-1].number,
        )
        for days in chunks
    ]


def _write(
    catalog: CatalogTable,
    builds: Sequence[Build],
    log: BuildLog,
    payments: Ledger,
    footers: Footers,
    progress: Progress,
) -> int:
    """Unload the builds and check them; how many rows there are. Raises Refused."""
    for done, build in enumerate(builds):
        progress(catalog.table.name, done, len(builds))
        catalog.unload(build, log.schemas[-1])
        progress(catalog.table.name, done + 1, len(builds))
    if not builds:
        return 0
    expected = _days_with_rows(builds, payments.days)
    return check_builds(catalog, log.schemas[-1], builds, footers, expected=expected)


def _days_with_rows(builds: Sequence[Build], days: Sequence[date]) -> list[date]:
    """The days on which some entity must be known: it paid within the days that are remembered."""
    paid = sorted(days)
    found = []
    for day in (day for build in builds for day in build.days):
        before = bisect_left(paid, day)
        if before and paid[before - 1] >= day - timedelta(days=SEEN_DAYS):
            found.append(day)
    return found


@contextmanager
def _removed_on_failure(
    catalog: CatalogTable, builds: Sequence[Build], documents: Documents
) -> Iterator[None]:
    """What was written by a build that did not come into the log is removed again.

    The log is asked, since a write may succeed and its answer be lost. A killed process removes
    nothing; what it leaves is read by nobody.
    """
    try:
        yield
    except BaseException:
        log, _ = load_log(documents, catalog.table.name)
        logged = {build.id for build in log.builds}
        for build in builds:
            keys = () if build.id in logged else list(documents.keys(catalog.key_prefix(build)))
            for key in keys:
                documents.delete(key)
        raise


def _report(
    table: DeclaredTable,
    generation: str | None,
    chunks: Sequence[Days],
    rows: int | None,
    stale: date | None,
    *,
    dry_run: bool = False,
) -> BuildReport:
    return BuildReport(
        table=table.name,
        generation=generation,
        days=sum(len(c) for c in chunks),
        first=chunks[0].first if chunks else None,
        last=chunks[-1].last if chunks else None,
        rows=rows,
        stale_from=stale,
        dry_run=dry_run,
    )
