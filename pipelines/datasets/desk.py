"""Datasets of one environment, put together from the settings: for notebooks, commands and jobs.

from pipelines.datasets.desk import open_datasets

datasets = open_datasets()
week = datasets.build("fraud-week", service="fraud_v1", entities=payments)
week.to_pandas(), week.statistics, week.plot()
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import pandas as pd
from pydantic import BaseModel

from mlops.aws import Aws
from mlops.clock import Clock, parse_instant
from mlops.errors import InputError, JobFailed, Refused
from mlops.objects import Documents, S3Documents
from mlops.plan import FeaturePlan
from mlops.registry.opening import open_registry
from mlops.settings import Settings, load_settings
from pipelines.data.ledger import load_ledger
from pipelines.datasets.build import About, Recipe, make_draft, span_of, workspace
from pipelines.datasets.cache import FileCache
from pipelines.datasets.checksum import content_sha256
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.difference import Difference, compare
from pipelines.datasets.entities import EntityRows, arrange, from_file, from_frame
from pipelines.datasets.features import Features, Scan, Span, check_unchanged
from pipelines.datasets.files import WRITER
from pipelines.datasets.lineage import Lineages
from pipelines.datasets.record import (
    Cost,
    DatasetRecord,
    Reference,
    Removal,
    check_name,
    inputs_sha256,
)
from pipelines.datasets.store import DatasetStore, Progress


@dataclass(frozen=True)
class Rows:
    """Where entity rows come from; exactly one of these."""

    entities: pd.DataFrame | Path | str | None = None
    """A dataframe, or the path of a Parquet or CSV file."""
    query: str | None = None
    """For Athena."""
    like: str | None = None
    """'name@version' of a dataset, whose entity rows are taken."""

    def __post_init__(self) -> None:
        given = [value for value in (self.entities, self.query, self.like) if value is not None]
        if len(given) != 1:
            raise InputError(
                "Give the entity rows in one way: as a file or dataframe (entities), as SQL "
                "(query), or as those of another dataset (like)."
            )


class Rebuilt(BaseModel):
    """A dataset that was built again from its record."""

    dataset: str
    rows: int
    same_bytes: bool
    """False only where another version of the writer wrote the same rows as other bytes."""
    writer: str
    """Of the record; `writer_now` wrote what it was compared with."""
    writer_now: str
    restored: bool


@dataclass
class Datasets:
    """Training sets by name and version, as one identity."""

    store: DatasetStore
    open_features: Callable[[], Features]
    cache: FileCache
    lineages: Lineages
    clock: Clock
    identity: Callable[[], str]
    """Tells the ARN of whoever builds."""

    @cached_property
    def features(self) -> Features:
        """Opened when something is built; looking at datasets needs none."""
        return self.open_features()

    def build(
        self,
        name: str,
        *,
        service: str,
        entities: pd.DataFrame | Path | str | None = None,
        query: str | None = None,
        like: str | None = None,
        as_of: datetime | str | None = None,
        tags: Mapping[str, str] | None = None,
        force: bool = False,
    ) -> Dataset:
        """Join a service's features to entity rows, and keep the result as the next version.

        entities, query, like: see Rows. as_of: read the feature tables as readers saw them at a
        past moment. What was built from the same inputs before is returned as it is, unless forced.
        Raises InputError for entity rows that do not fit, NotFound for an unknown service.
        """
        return self.build_from(
            Rows(entities, query, like),
            name=name,
            service=service,
            as_of=as_of,
            tags=tags,
            force=force,
        )

    def build_from(
        self,
        rows: Rows,
        *,
        name: str,
        service: str,
        as_of: datetime | str | None = None,
        tags: Mapping[str, str] | None = None,
        force: bool = False,
        progress: Progress = lambda *_: None,
    ) -> Dataset:
        """`build`, with the entity rows as one value."""
        recipe, paid = self._recipe(rows, name=name, service=service, as_of=as_of)
        if not force and (same := self._built_before(name, recipe)):
            return self._handle(same)
        about = About(name, self.clock.now(), self.identity(), dict(tags or {}), paid)
        with workspace() as folder:
            draft = make_draft(recipe, about, self.features, folder, progress=progress)
            record = self.store.publish(draft, force=force, progress=progress)
            for file in draft.record.files:
                self.cache.adopt(file.sha256, folder / file.key)
        return self._handle(record)

    def _recipe(
        self, rows: Rows, *, name: str, service: str, as_of: datetime | str | None
    ) -> tuple[Recipe, Cost]:
        check_name(name)
        instant, plan = _instant(as_of), self.features.plan(service)
        found, paid = self._entity_rows(rows, plan)
        tables = self.features.tables(plan, span_of(found), instant)
        return Recipe(plan, found, tables, instant), paid

    def estimate(
        self, rows: Rows, *, name: str, service: str, as_of: datetime | str | None = None
    ) -> Scan:
        """What a build would scan and cost at most; nothing is scanned to tell."""
        if rows.query is None:
            recipe, _ = self._recipe(rows, name=name, service=service, as_of=as_of)
            keys = recipe.entities.keys(recipe.plan)
            return self.features.scan(recipe.plan, keys, recipe.tables)
        check_name(name)
        plan = self.features.plan(service)
        tables = self.features.tables(plan, Span(), _instant(as_of))
        return self.features.scan(plan, rows.query, tables)

    def get(self, reference: str) -> Dataset:
        """'name@version', or 'name' for the newest version. Raises NotFound."""
        return self._handle(self.record(reference))

    def record(self, reference: str) -> DatasetRecord:
        """What is known of a version, also of one whose rows were removed. Raises NotFound."""
        return self.store.get(Reference.parse(reference))

    def list(self, name: str | None = None) -> list[DatasetRecord]:
        """The records of every version that has its rows, by name and version."""
        if name is not None:
            check_name(name)
        return [record for record in self.store.records(name) if record.removed is None]

    def diff(self, first: str, second: str) -> Difference:
        """How two datasets differ; both are read."""
        return compare(self.get(first), self.get(second))

    def rebuild(
        self, reference: str, *, restore: bool = False, progress: Progress = lambda *_: None
    ) -> Rebuilt:
        """Build a dataset again from its record and compare it, byte by byte.

        restore: write its files anew, where something was lost or changed in S3.
        Raises JobFailed when other rows come of it, Refused and NotFound when what it was built on
        is no longer there.
        """
        dataset = self.get(reference)
        record = dataset.record
        check_unchanged(record.plan, self.features.plan(record.service))
        rows = EntityRows(
            dataset.entity_rows(),
            record.time_column,
            record.entities.origin,
            record.entities.source,
        )
        recipe = Recipe(record.plan, rows, record.tables, record.as_of)
        about = About(record.name, record.created, record.created_by, record.tags)
        with workspace() as folder:
            draft = make_draft(recipe, about, self.features, folder, progress=progress)
            same = _check_same(record, draft.record)
            if restore and same:
                self.store.restore(record, draft)
        return Rebuilt(
            dataset=record.reference,
            rows=record.rows,
            same_bytes=same,
            writer=record.writer,
            writer_now=WRITER,
            restored=restore and same,
        )

    def remove(self, reference: str, *, force: bool = False) -> DatasetRecord:
        """Delete a version's rows; its record stays, and its number is not used again.

        Raises Refused, naming them, while registered model versions were trained on it, unless
        forced.
        """
        wanted = Reference.parse(reference)
        if wanted.version is None:
            raise InputError(f"Say which version of '{wanted}' to remove, as {wanted}@1.")
        record = self.store.get(wanted)
        users = self.lineages.users([record])
        if users and not force:
            names = ", ".join(f"{v.model}/{v.version} ({v.status.value})" for v in users)
            raise Refused(
                f"Dataset '{record.reference}' trained {names}. Without its rows these cannot be "
                "trained again or explained; allow it with --force."
            )
        for file in (*record.files, *record.entities.files):
            self.cache.forget(file.sha256)
        return self.store.remove(wanted, Removal(at=self.clock.now(), by=self.identity()))

    def _handle(self, record: DatasetRecord) -> Dataset:
        return Dataset(record, self.store, self.cache)

    def _entity_rows(self, rows: Rows, plan: FeaturePlan) -> tuple[EntityRows, Cost]:
        if rows.query is not None:
            table, paid = self.features.query(rows.query)
            return arrange(table, plan, origin="query", source=rows.query), paid
        if rows.like is not None:
            other = self.get(rows.like)
            table = other.entity_rows()
            return arrange(table, plan, origin="dataset", source=other.reference), Cost()
        if isinstance(rows.entities, pd.DataFrame):
            return from_frame(rows.entities, plan), Cost()
        assert rows.entities is not None
        return from_file(Path(rows.entities), plan), Cost()

    def _built_before(self, name: str, recipe: Recipe) -> DatasetRecord | None:
        """What the same inputs made, where these decide the rows."""
        if not all(read.pinned for read in recipe.tables):
            return None
        inputs = inputs_sha256(
            recipe.plan,
            entities=content_sha256(recipe.entities.table),
            time_column=recipe.entities.time_column,
            as_of=recipe.as_of,
            tables=recipe.tables,
        )
        return self.store.find(name, inputs)


def open_datasets(
    settings: Settings | None = None, *, aws: Aws | None = None, cache: Path | None = None
) -> Datasets:
    """Everything as the environment says it: on AWS, and on the local AWS alike."""
    settings = settings or load_settings()
    aws = aws or Aws(region=settings.region)
    data = S3Documents(aws, settings.names.data_bucket)
    store = DatasetStore(data)
    return Datasets(
        store=store,
        open_features=lambda: _open_features(settings, aws, data),
        cache=FileCache(cache or settings.dataset_cache, settings.cache_bytes),
        lineages=Lineages(store, open_registry(settings, aws), lambda: load_ledger(data)[0]),
        clock=settings.build_clock(),
        identity=lambda: aws.identity,
    )


def _open_features(settings: Settings, aws: Aws, data: Documents) -> Features:
    from pipelines.datasets.athena import AthenaFeatures  # noqa: PLC0415  # Feast takes seconds

    artifacts = S3Documents(aws, settings.names.artifact_bucket)
    return AthenaFeatures(settings, aws, artifacts=artifacts, data=data)


def _instant(as_of: datetime | str | None) -> datetime | None:
    if isinstance(as_of, str):
        return parse_instant(as_of)
    if as_of is not None and as_of.tzinfo is None:
        raise InputError(f"as_of is {as_of}, without a time zone. Give it one, UTC for example.")
    return as_of


def _check_same(record: DatasetRecord, again: DatasetRecord) -> bool:
    """Whether the bytes are the same, too. Raises JobFailed when the rows are not."""
    if again.sha256 != record.sha256:
        raise JobFailed(
            f"Dataset '{record.reference}' came out as other rows: {again.rows} with checksum "
            f"{again.sha256[:12]}, not {record.rows} with {record.sha256[:12]}. "
            + (
                "Something that it reads was changed in place; see the build logs of its tables."
                if record.pinned
                else "It reads tables that keep no generations: "
                + ", ".join(read.table for read in record.tables if not read.pinned)
            )
        )
    return [f.sha256 for f in record.files] == [f.sha256 for f in again.files]
