"""The feature store on Athena: pinned generations, streamed joins, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow as pa
from feast import FeatureStore

from mlops.aws import Aws
from mlops.errors import NotFound, Refused
from mlops.feast import feast_errors, open_store
from mlops.objects import Documents
from mlops.plan import FeaturePlan, PlannedView, Transformation, load_plan, load_transformations
from mlops.settings import Settings
from mlops.stores.athena import results
from mlops.stores.athena.entities import plain_column
from mlops.stores.athena.historical import HistoricalJob
from mlops.stores.athena.session import Bill, Session, open_session
from mlops.stores.athena.sql import name
from mlops.training_rows import ROW
from pipelines.datasets.features import Scan, Span, Take
from pipelines.datasets.record import Cost, TableRead
from pipelines.features.buildlog import BuildLog, Current, Days, load_log
from pipelines.features.catalog import view_query
from pipelines.features.tables import TABLES

CURRENCY = "USD"
"""Of the offline store's prices."""


class AthenaFeatures:
    """One environment's feature store, as one identity."""

    def __init__(
        self, settings: Settings, aws: Aws, *, artifacts: Documents, data: Documents
    ) -> None:
        self._settings = settings
        self._aws = aws
        self._artifacts = artifacts
        self._data = data

    @cached_property
    def _feast(self) -> FeatureStore:
        return open_store(self._settings, self._aws)

    @cached_property
    def _session(self) -> Session:
        return open_session(self._feast.config, self._aws)

    def plan(self, service: str) -> FeaturePlan:
        return load_plan(self._artifacts, service)

    def functions(self, plan: FeaturePlan) -> dict[str, Transformation]:
        return load_transformations(plan, self._settings.feature_repo)

    def tables(
        self, plan: FeaturePlan, span: Span, as_of: datetime | None
    ) -> tuple[TableRead, ...]:
        return tuple(self._table(view, span, as_of) for view in plan.views)

    def _table(self, view: PlannedView, span: Span, as_of: datetime | None) -> TableRead:
        source = self._source(view.name)
        about = {"view": view.name, "source": source.name, "table": source.table or source.name}
        if source.table not in TABLES or source.database != self._settings.names.database:
            return TableRead(**about, pinned=False)
        log, _ = load_log(self._data, source.table)
        days = needed_days(view, span)
        read = read_log(log if as_of is None else log.as_of(as_of), days)
        if not read["current"]:
            then = "" if as_of is None else f" at {as_of:%Y-%m-%d %H:%M:%S} UTC"
            raise NotFound(
                f"Feature table '{source.table}' has no snapshot of {days.first} to {days.last}"
                f"{then}, which view '{view.name}' needs. Build it: mlops features build "
                f"{source.table} --from {days.first} --to {days.last}"
            )
        return TableRead(**about, pinned=True, **read)

    def _source(self, view: str) -> Any:
        with feast_errors(f"Reading view '{view}'"):
            return self._feast.get_feature_view(view).batch_source

    def query(self, sql: str) -> tuple[pa.Table, Cost]:
        with feast_errors("Running the entity query"), self._session.run() as work:
            relation = self._session.relations.query(sql, work.run, title="The entity query")
            columns = [f"{plain_column(c, t)} AS {name(c)}" for c, t in relation.columns.items()]
            unloaded = work.unload(f"SELECT {', '.join(columns)}\nFROM {relation.sql}")
            found = results.read(work.run.storage, unloaded)
            paid = _cost(work.bill())
        if found is None:
            return pa.table({column: pa.nulls(0) for column in relation.columns}), paid
        return results.in_utc(found), paid

    def join(
        self,
        plan: FeaturePlan,
        keys: pd.DataFrame,
        tables: Sequence[TableRead],
        as_of: datetime | None,
        take: Take,
    ) -> Cost:
        with feast_errors("Joining features to entity rows"):
            job = self._job(plan, keys, tables)
            if as_of is not None:
                job = job.as_of(as_of, self._reading(tables))
            for batch in job.to_arrow_batches():
                take(batch.select([ROW, *plan.stored]))
        assert job.bill is not None
        return _cost(job.bill)

    def scan(
        self, plan: FeaturePlan, entities: pd.DataFrame | str, tables: Sequence[TableRead]
    ) -> Scan:
        with feast_errors("Estimating the join"):
            found = self._job(plan, entities, tables).estimate()
        sizes = tuple((scan.table, scan.bytes) for scan in found.tables)
        return Scan(bytes=found.bytes, price=found.dollars, currency=CURRENCY, tables=sizes)

    def _job(
        self, plan: FeaturePlan, entities: pd.DataFrame | str, tables: Sequence[TableRead]
    ) -> HistoricalJob:
        job = self._feast.get_historical_features(entity_df=entities, features=plan.references)
        if not isinstance(job, HistoricalJob):
            raise Refused(
                f"The offline store is {type(job).__module__}, which cannot read what a dataset "
                "was built on. Set type: mlops.stores.athena.AthenaOfflineStore in "
                "feature_store.yaml."
            )
        return job.reading(self._reading(tables))

    def _reading(self, tables: Sequence[TableRead]) -> dict[str, str]:
        """By source: the pinned generations, in place of what is current."""
        found = {}
        for read in tables:
            if self._source(read.view).name != read.source:
                raise Refused(
                    f"View '{read.view}' read source '{read.source}' and now reads another one. "
                    "Apply the feature repo of that time to build the dataset again."
                )
            if read.pinned:
                log, database = self._kept(read), self._settings.names.database
                found[read.source] = view_query(TABLES[read.table], log, database)
        return found

    def _kept(self, read: TableRead) -> BuildLog:
        """The log as it was read. Raises NotFound when the table, or a build of it, is gone."""
        log, _ = load_log(self._data, read.table)
        gone = set(read.builds) - {build.id for build in log.builds}
        if read.table not in TABLES or gone:
            what = f"build {', '.join(sorted(gone))}" if gone else "the table"
            raise NotFound(
                f"Feature table '{read.table}' no longer holds what the dataset was built on: "
                f"{what} is gone. It cannot be built again as it was; build a new version."
            )
        schemas = tuple(v for v in log.schemas if v.number <= (read.schema_version or 0))
        return BuildLog(table=read.table, current=read.current, schemas=schemas)


def needed_days(view: PlannedView, span: Span) -> Days:
    """The days of feature rows that entity rows between two times can see."""
    ttl, delay = view.ttl_seconds, view.publication_delay_seconds
    first, last = date.min, date.max
    if span.first is not None and ttl:
        first = (span.first - timedelta(seconds=ttl)).date()
    if span.last is not None:
        last = (span.last - timedelta(seconds=delay)).date()
    return Days(first=first, last=max(first, last))


def read_log(log: BuildLog, wanted: Days) -> dict[str, Any]:
    """What a log shows of some days: generations, and the builds and raw data behind them."""
    current = tuple(_within(log.current, wanted))
    builds = [
        build
        for build in log.builds
        if any(build.generation == c.generation and _meet(build.days, c.days) for c in current)
    ]
    return {
        "current": current,
        "builds": tuple(build.id for build in builds),
        "payments": tuple(sorted({build.payments for build in builds})),
        "schema_version": log.recorded.number if log.recorded else None,
    }


def _within(current: Sequence[Current], wanted: Days) -> Iterator[Current]:
    for piece in current:
        if (days := _meet(piece.days, wanted)) is not None:
            yield Current(generation=piece.generation, days=days)


def _meet(one: Days, other: Days) -> Days | None:
    first, last = max(one.first, other.first), min(one.last, other.last)
    return Days(first=first, last=last) if first <= last else None


def _cost(bill: Bill) -> Cost:
    return Cost(
        queries=bill.queries, scanned_bytes=bill.scanned, price=bill.dollars, currency=CURRENCY
    )
