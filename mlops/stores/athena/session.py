"""One store configuration at work: its clients, limits, and how it reads results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from mlops.aws import Aws
from mlops.clock import Clock, SystemClock, parse_clock, parse_instant
from mlops.stores.athena.execution import Executions, Finished, Limits
from mlops.stores.athena.relations import Relations
from mlops.stores.athena.results import Unloaded, Way, unload
from mlops.stores.athena.sql import to_microseconds
from mlops.stores.athena.staging import Run, start_run


@dataclass(frozen=True)
class Bill:
    """What a job cost: bytes that Athena scanned, and the estimated price in US dollars."""

    queries: int
    scanned: int
    dollars: float
    milliseconds: int


@dataclass
class Session:
    """Clients of one configuration; made when they are first needed."""

    region: str
    workgroup: str
    catalog: str
    database: str
    staging: str
    limits: Limits
    way: Way = "auto"
    as_of: int | None = None
    """Microseconds; what the configuration says for every query."""
    clock: Clock = field(default_factory=SystemClock)
    future_tolerance: timedelta | None = None
    """How far in the future a written row's times may lie; None allows any."""
    aws_: Aws | None = field(default=None, repr=False)

    @cached_property
    def aws(self) -> Aws:
        return self.aws_ or Aws(region=self.region)

    @cached_property
    def executions(self) -> Executions:
        return Executions(
            self.aws,
            workgroup=self.workgroup,
            catalog=self.catalog,
            database=self.database,
            limits=self.limits,
        )

    @cached_property
    def relations(self) -> Relations:
        return Relations(self.aws, self.executions, catalog=self.catalog, database=self.database)

    @property
    def latest(self) -> datetime | None:
        """The latest time that a written row may have."""
        if self.future_tolerance is None:
            return None
        return self.clock.now() + self.future_tolerance

    @contextmanager
    def run(self) -> Iterator[Work]:
        """Scratch space that is gone afterwards, whatever happens."""
        with start_run(self.aws, database=self.database, base=self.staging) as run:
            yield Work(self, run)


@dataclass
class Work:
    """The queries of one run, and what they cost together."""

    session: Session
    run: Run
    done: list[Finished] = field(default_factory=list)

    def execute(self, sql: str, *, timeout: float | None = None) -> Finished:
        finished = self.session.executions.run(sql, output=self.run.results, timeout=timeout)
        self.run.note(finished.outputs)
        self.done.append(finished)
        return finished

    def unload(
        self, sql: str, *, location: str | None = None, timeout: float | None = None
    ) -> Unloaded:
        found = unload(
            self.session.executions,
            self.run,
            sql,
            way=self.session.way,
            location=location,
            timeout=timeout,
        )
        self.done.append(found.query)
        return found

    def first_row(self, sql: str) -> list[str | None]:
        row, finished = self.session.executions.first_row(sql, output=self.run.results)
        self.run.note(finished.outputs)
        self.done.append(finished)
        return row

    def bill(self) -> Bill:
        scanned = sum(query.scanned for query in self.done)
        took = sum(query.milliseconds for query in self.done)
        dollars = sum(self.session.limits.price(query.scanned) for query in self.done)
        return Bill(len(self.done), scanned, dollars, took)


def open_session(config: Any, aws: Aws | None = None) -> Session:
    """From the store's part of a Feast configuration."""
    store = config.offline_store
    as_of = getattr(store, "as_of", None)
    tolerance = getattr(store, "future_tolerance_seconds", None)
    return Session(
        region=store.region,
        workgroup=store.workgroup,
        catalog=store.data_source,
        database=store.database,
        staging=store.s3_staging_location,
        limits=Limits(
            timeout_seconds=getattr(store, "timeout_seconds", None),
            scan_bytes=getattr(store, "max_scan_bytes", None),
            price_per_terabyte=getattr(store, "price_per_terabyte", 5.0),
        ),
        way=getattr(store, "results", "auto"),
        as_of=to_microseconds(parse_instant(as_of)) if as_of else None,
        clock=parse_clock(getattr(store, "clock", "system")),
        future_tolerance=None if tolerance is None else timedelta(seconds=tolerance),
        aws_=aws,
    )
