"""Making the schema on record the declared one: the next version, then what readers see.

The version goes into the build log by a conditional write; then the rows table gets the stored
columns that it lacks; then the view is replaced. Whatever is interrupted after the log, the next
run or the next build finishes. Of two runs at once one finds the other's version on record, and
compares with that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from mlops.athena import Queries
from mlops.errors import Conflict, Refused
from mlops.names import Names
from mlops.objects import Documents
from pipelines.features.buildlog import BuildLog, load_log, save_log
from pipelines.features.catalog import CatalogTable
from pipelines.features.publication import publish
from pipelines.features.schemas.columns import check_declared
from pipelines.features.schemas.consumers import Consumer
from pipelines.features.schemas.differences import Difference, blocks_builds, compare, next_version
from pipelines.features.tables import DeclaredTable

_ATTEMPTS = 5

State = Literal["not recorded", "as declared", "unfinished", "differs", "evolved", "finished"]
"""not recorded: the next build records version 1. unfinished: readers do not see all that is on
record, since a run was interrupted; finished: now they do."""

FindConsumers = Callable[[str, Collection[str]], Sequence[Consumer]]
"""Who reads one of the columns of a table."""


@dataclass(frozen=True)
class EvolveRequest:
    """Who changes the schema, when by the platform's clock, and why."""

    now: datetime
    by: str
    why: str
    allow_breaking: bool = False
    dry_run: bool = False


class SchemaReport(BaseModel):
    """How a table's declared schema stands to the one on record."""

    table: str
    state: State
    version: int | None
    """The newest on record."""
    differences: tuple[Difference, ...] = ()
    consumers: tuple[Consumer, ...] = ()
    """Who reads the columns that a breaking difference is about."""

    @property
    def breaking(self) -> list[Difference]:
        return [difference for difference in self.differences if difference.breaking]


def check_schema(table: DeclaredTable, log: BuildLog) -> None:
    """Raises Refused when a build would write something else than what is on record."""
    check_declared(table.name, table.schema)
    if log.recorded is None:
        return
    differences = compare(log.recorded, table.schema)
    if blocks_builds(differences):
        raise Refused(
            f"The declared schema of feature table '{table.name}' is not version "
            f"{log.recorded.number}, which is on record: "
            f"{'; '.join(d.words for d in differences)}. Nothing was built. See whom it concerns: "
            f"'mlops features schema diff {table.name}'; make it the next version: 'mlops features "
            f"schema evolve {table.name}'."
        )


def report_schema(table: DeclaredTable, log: BuildLog, find: FindConsumers) -> SchemaReport:
    """What differs, and whom it breaks. Raises InputError for a declaration that contradicts."""
    check_declared(table.name, table.schema)
    if log.recorded is None:
        return SchemaReport(table=table.name, state="not recorded", version=None)
    differences = tuple(compare(log.recorded, table.schema))
    broken = {difference.column for difference in differences if difference.breaking}
    agreed: State = "as declared" if log.is_published else "unfinished"
    return SchemaReport(
        table=table.name,
        state="differs" if differences else agreed,
        version=log.recorded.number,
        differences=differences,
        consumers=tuple(find(table.name, broken)) if broken else (),
    )


def evolve_tables(
    tables: Sequence[DeclaredTable],
    request: EvolveRequest,
    *,
    names: Names,
    queries: Queries,
    documents: Documents,
    find: FindConsumers,
) -> list[SchemaReport]:
    """Record what is declared and show it to readers; doing it twice changes nothing.

    documents: the data bucket. Raises Refused, before anything is changed, when a difference of
    any table breaks somebody and that was not allowed.
    """
    reports = [report_schema(t, load_log(documents, t.name)[0], find) for t in tables]
    _check_allowed(reports, request)
    if request.dry_run:
        return reports
    return [
        _evolve(CatalogTable(table, names, queries), request, documents, find) for table in tables
    ]


def _evolve(
    catalog: CatalogTable, request: EvolveRequest, documents: Documents, find: FindConsumers
) -> SchemaReport:
    table = catalog.table
    for _ in range(_ATTEMPTS):
        log, document = load_log(documents, table.name)
        report = report_schema(table, log, find)
        _check_allowed([report], request)
        if report.state in {"not recorded", "as declared"}:
            return report
        if report.differences:
            version = next_version(
                log.schemas, table.schema, at=request.now, by=request.by, why=request.why
            )
            log = log.with_schema(version)
            try:
                document = save_log(documents, log, replacing=document)
            except Conflict:
                continue
        log = publish(catalog, documents, log, document)
        state: State = "evolved" if report.differences else "finished"
        return report.model_copy(update={"state": state, "version": log.schemas[-1].number})
    raise Conflict(
        f"The build log of '{table.name}' keeps changing. Wait for the builds that run, then run "
        f"'mlops features schema evolve {table.name}' again."
    )


def _check_allowed(reports: Sequence[SchemaReport], request: EvolveRequest) -> None:
    broken = [report for report in reports if report.breaking]
    if broken and not request.allow_breaking:
        raise Refused(
            f"Evolving would break readers. {' '.join(map(_broken, broken))} Nothing was changed. "
            "If that is meant, run 'mlops features schema evolve --allow-breaking --why REASON'."
        )


def _broken(report: SchemaReport) -> str:
    changes = "; ".join(difference.words for difference in report.breaking)
    readers = ", ".join(consumer.words for consumer in report.consumers)
    return f"'{report.table}': {changes}; read by {readers or 'nobody that is known'}."
