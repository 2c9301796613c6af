"""Building feature tables: missing days by the clock, in chunks, swapped in at one step.

A chunk is unloaded under a prefix of its own. Then the build log takes it in, by a conditional
write; then its partitions are registered; then the view is replaced, and readers see it. Whatever
is interrupted before the log leaves files that nobody reads; after the log, the next run finishes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from pydantic import BaseModel

from mlops.athena import Queries
from mlops.errors import Conflict, InputError, NotFound
from mlops.names import Names
from mlops.objects import Document, Documents
from pipelines.data.ledger import Ledger
from pipelines.features.buildlog import (
    Build,
    BuildLog,
    Days,
    in_chunks,
    load_log,
    save_log,
)
from pipelines.features.tables import SEEN_DAYS, TABLES, FeatureTable, snapshot_sql

_PARTITIONS_PER_STATEMENT = 500
_ATTEMPTS = 5

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
    table: FeatureTable,
    request: BuildRequest,
    *,
    names: Names,
    queries: Queries,
    documents: Documents,
    payments: Ledger,
    progress: Progress = lambda *_: None,
) -> BuildReport:
    """Build a table's missing days (all requested days when rebuilding) and show them at once.

    documents: the data bucket.
    Raises NotFound without payments, InputError for days that cannot be built yet, and Conflict
    when someone else built the table meanwhile.
    """
    log, document = load_log(documents, table.name)
    wanted = buildable(payments.days, request)
    chunks = in_chunks([wanted] if request.rebuild else log.missing(wanted))
    generation = log.last_generation
    if chunks and (request.rebuild or generation is None):
        generation = log.next_generation
    stale = log.stale_from(payments, lookback=timedelta(days=SEEN_DAYS))
    if request.dry_run:
        return _report(table, generation, chunks, None, stale, dry_run=True)
    writer = _Writer(table, names, queries)
    if chunks or log.unpublished:
        writer.create_table()
    builds = _plan_builds(chunks, generation or "", request, payments)
    with _removed_on_failure(writer, builds, documents):
        _unload(writer, builds, progress)
        if builds:
            log = log.with_builds(builds)
            document = save_log(documents, log, replacing=document)
    if log.unpublished:
        log = _publish(writer, documents, log, document)
    stale = log.stale_from(payments, lookback=timedelta(days=SEEN_DAYS))
    return _report(table, generation, chunks, writer.count(chunks), stale)


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


@dataclass(frozen=True)
class _Writer:
    """The statements of one table."""

    table: FeatureTable
    names: Names
    queries: Queries

    def create_table(self) -> None:
        columns = ",\n  ".join(f"`{name}` {type_}" for name, type_ in self.table.columns.items())
        self.queries.run(
            f"CREATE EXTERNAL TABLE IF NOT EXISTS `{self._database}`.`{self.table.rows_table}` (\n"
            f"  {columns}\n)\nPARTITIONED BY (`generation` string, `day` string)\n"
            f"STORED AS PARQUET\nLOCATION 's3://{self.names.data_bucket}/{self._folder}'"
        )

    def unload(self, build: Build) -> None:
        select = snapshot_sql(
            self.table,
            build.days.first,
            build.days.last,
            created=f"{build.created:%Y-%m-%d %H:%M:%S}.{build.created.microsecond // 1000:03d}",
            database=self._database,
        )
        self.queries.run(
            f"UNLOAD (\n{select}\n)\nTO '{self._prefix(build)}'\n"
            "WITH (format = 'PARQUET', compression = 'SNAPPY', partitioned_by = ARRAY['day'])"
        )

    def register(self, builds: Iterable[Build]) -> None:
        """Name every day of every build as a partition; doing it twice does nothing."""
        clauses = [
            f"PARTITION (generation = '{build.generation}', day = '{day}') "
            f"LOCATION '{self._prefix(build)}day={day}/'"
            for build in builds
            for day in build.days
        ]
        for start in range(0, len(clauses), _PARTITIONS_PER_STATEMENT):
            some = "\n".join(clauses[start : start + _PARTITIONS_PER_STATEMENT])
            self.queries.run(
                f"ALTER TABLE `{self._database}`.`{self.table.rows_table}` "
                f"ADD IF NOT EXISTS\n{some}"
            )

    def replace_view(self, log: BuildLog) -> None:
        """One statement swaps everything that readers see."""
        query = view_query(self.table, log, self._database)
        self.queries.run(
            f'CREATE OR REPLACE VIEW "{self._database}"."{self.table.name}" AS\n{query}'
        )

    def count(self, chunks: Sequence[Days]) -> int:
        if not chunks:
            return 0
        days = " OR ".join(f"\"day\" BETWEEN '{c.first}' AND '{c.last}'" for c in chunks)
        view = f'"{self._database}"."{self.table.name}"'
        rows = self.queries.rows(f"SELECT count(*) FROM {view} WHERE {days}")  # noqa: S608  # ours
        return int(rows[0][0])

    @property
    def _database(self) -> str:
        return self.names.database

    def key_prefix(self, build: Build) -> str:
        """Where in the data bucket a build's files are."""
        return f"{self._folder}generation={build.generation}/build={build.id}/"

    @property
    def _folder(self) -> str:
        return f"features/{self.table.name}/"

    def _prefix(self, build: Build) -> str:
        return f"s3://{self.names.data_bucket}/{self.key_prefix(build)}"


def view_query(table: FeatureTable, log: BuildLog, database: str) -> str:
    """What readers of a table see by its log: the current generation of each day."""
    columns = ", ".join(table.columns)
    current = "\n  OR ".join(
        f"(generation = '{c.generation}' AND \"day\" BETWEEN '{c.days.first}' AND '{c.days.last}')"
        for c in log.current
    )
    rows = f'"{database}"."{table.rows_table}"'
    return f'SELECT {columns}, "day"\nFROM {rows}\nWHERE {current or "false"}'


def past_queries(documents: Documents, database: str, instant: datetime) -> dict[str, str]:
    """By source: a query for the feature table as readers saw it at a past moment.

    For `HistoricalJob.as_of(instant, reading)`: the views show only what is current.
    """
    return {
        name: view_query(table, load_log(documents, name)[0].as_of(instant), database)
        for name, table in TABLES.items()
    }


def _plan_builds(
    chunks: Sequence[Days], generation: str, request: BuildRequest, payments: Ledger
) -> list[Build]:
    return [
        Build(
            id=request.new_id(),
            generation=generation,
            days=days,
            created=request.now,
            built_by=request.built_by,
            payments=payments.published,
        )
        for days in chunks
    ]


def _unload(writer: _Writer, builds: Sequence[Build], progress: Progress) -> None:
    for done, build in enumerate(builds):
        progress(writer.table.name, done, len(builds))
        writer.unload(build)
        progress(writer.table.name, done + 1, len(builds))


@contextmanager
def _removed_on_failure(
    writer: _Writer, builds: Sequence[Build], documents: Documents
) -> Iterator[None]:
    """What was written by a build that did not come into the log is removed again.

    The log is asked, since a write may succeed and its answer be lost. A killed process removes
    nothing; what it leaves is read by nobody.
    """
    try:
        yield
    except BaseException:
        log, _ = load_log(documents, writer.table.name)
        logged = {build.id for build in log.builds}
        for build in builds:
            keys = () if build.id in logged else list(documents.keys(writer.key_prefix(build)))
            for key in keys:
                documents.delete(key)
        raise


def _publish(
    writer: _Writer, documents: Documents, log: BuildLog, document: Document | None
) -> BuildLog:
    """Show readers what the log says.

    When the log changed meanwhile, the view that was just written may be behind it: again.
    """
    for _ in range(_ATTEMPTS):
        writer.register(log.unpublished)
        writer.replace_view(log)
        try:
            save_log(documents, log.as_published(), replacing=document)
        except Conflict:
            log, document = load_log(documents, writer.table.name)
        else:
            return log.as_published()
    raise Conflict(
        f"The build log of '{writer.table.name}' keeps changing. Wait for the other builds, then "
        "run 'mlops features build' again."
    )


def _report(
    table: FeatureTable,
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
