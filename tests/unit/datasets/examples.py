"""A feature store in memory, and datasets built on it, that the tests of datasets share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from mlops.clock import FixedClock
from mlops.errors import NotFound
from mlops.objects import MemoryDocuments
from mlops.plan import (
    FeaturePlan,
    PlannedField,
    PlannedTransformation,
    PlannedView,
    Transformation,
)
from mlops.registry.versions import ModelVersion, Status, unknown_version
from mlops.training_rows import FEAST_TIME, ROW
from pipelines.data.ledger import Import, Ledger
from pipelines.datasets.cache import FileCache
from pipelines.datasets.desk import Datasets
from pipelines.datasets.features import Scan, Span, Take
from pipelines.datasets.lineage import Lineages
from pipelines.datasets.record import Cost, TableRead
from pipelines.datasets.store import DatasetStore
from pipelines.features.buildlog import Current, Days

START = datetime(2025, 3, 1, tzinfo=UTC)
PLAN = FeaturePlan(
    service="spend_v1",
    project="payments",
    entities=(PlannedField(name="customer_id", dtype="String", pii=True),),
    request=(
        PlannedField(name="amount", dtype="Float64"),
        PlannedField(name="event_time", dtype="UnixTimestamp"),
    ),
    views=(
        PlannedView(
            name="spend",
            join_keys=("customer_id",),
            features=(
                PlannedField(name="mean", dtype="Float64"),
                PlannedField(name="count", dtype="Int64"),
                PlannedField(name="country", dtype="String"),
            ),
            ttl_seconds=86_400,
        ),
    ),
    transformations=(
        PlannedTransformation(
            name="ratio",
            function="ratio",
            sha256="x",
            inputs=("amount", "mean", "event_time"),
            outputs=(
                PlannedField(name="over", dtype="Float64"),
                PlannedField(name="band", dtype="String"),
            ),
        ),
    ),
)


def _import(id_: str, day: str, retracted_in: int | None = None) -> Import:
    return Import(
        id=id_,
        sha256=id_,
        file=f"{id_}.parquet",
        rows=10,
        days=(day,),
        created=START,
        retracted=None if retracted_in is None else START,
        retracted_in=retracted_in,
    )


LEDGER = Ledger(
    commits=3,
    published=3,
    imports=(
        _import("00000001-a", "2025-01-01"),
        _import("00000001-b", "2025-01-02", retracted_in=2),
        _import("00000002-b", "2025-01-02"),
        _import("00000002-z", "2026-01-01"),
        _import("00000003-c", "2025-01-03"),
    ),
)
"""At commit 2 file b was corrected, and z brought payments of days that no dataset has read."""


def ratio(inputs: dict[str, list[object]]) -> dict[str, list[object]]:
    over = [
        None if mean is None else float(amount) / float(mean)  # type: ignore[arg-type]
        for amount, mean in zip(inputs["amount"], inputs["mean"], strict=True)
    ]
    assert all(isinstance(t, datetime) and t.tzinfo for t in inputs["event_time"])
    return {
        "over": list(over),
        "band": [None if o is None else "high" if o > 1 else "low" for o in over],
    }


@dataclass
class MemoryFeatures:
    """Answers as the Athena store does: in no order, in small batches, by pinned generation.

    Customer c<n> has mean n (in generation g0002 2n), count n and country 'KR' or 'FR'; every
    other customer has nothing.
    """

    plans: dict[str, FeaturePlan] = field(default_factory=lambda: {PLAN.service: PLAN})
    generation: str = "g0001"
    pinned: bool = True
    batch_rows: int = 7
    queries: dict[str, pa.Table] = field(default_factory=dict)
    joins: int = 0
    drop: int = 0
    """Rows that a broken join loses."""

    def plan(self, service: str) -> FeaturePlan:
        if service not in self.plans:
            raise NotFound(f"Feature service '{service}' is not applied.")
        return self.plans[service]

    def functions(self, plan: FeaturePlan) -> dict[str, Transformation]:
        return {"ratio": ratio} if plan.transformations else {}

    def tables(
        self, plan: FeaturePlan, span: Span, as_of: datetime | None
    ) -> tuple[TableRead, ...]:
        generation = self.generation if as_of is None else "g0001"
        days = Days(first=date(2025, 1, 1), last=date(2025, 12, 31))
        return (
            TableRead(
                view="spend",
                source="spend",
                table="spend",
                pinned=self.pinned,
                current=(Current(generation=generation, days=days),) if self.pinned else (),
                builds=(f"build-{generation}",),
                payments=(1 if generation == "g0001" else 2,),
            ),
        )

    def query(self, sql: str) -> tuple[pa.Table, Cost]:
        return self.queries[sql], Cost(queries=1, scanned_bytes=100, price=0.5)

    def join(
        self,
        plan: FeaturePlan,
        keys: pd.DataFrame,
        tables: Sequence[TableRead],
        as_of: datetime | None,
        take: Take,
    ) -> Cost:
        self.joins += 1
        assert list(keys.columns) == [ROW, FEAST_TIME, "customer_id"]
        generation = tables[0].current[0].generation if tables[0].pinned else self.generation
        rows = pa.Table.from_pylist(
            [
                _features(row, key, generation)
                for row, key in zip(keys[ROW], keys["customer_id"], strict=True)
            ],
            schema=_SCHEMA,
        )
        mixed = rows.take(np.random.default_rng(self.joins).permutation(len(keys)))
        kept = mixed.slice(self.drop)
        for batch in kept.to_batches(max_chunksize=self.batch_rows):
            take(batch)
        return Cost(queries=1, scanned_bytes=1_000, price=0.25)

    def scan(
        self, plan: FeaturePlan, entities: pd.DataFrame | str, tables: Sequence[TableRead]
    ) -> Scan:
        return Scan(bytes=2_000, price=0.01, currency="USD", tables=(("spend", 2_000),))


_SCHEMA = pa.schema(
    [(ROW, pa.int64()), ("mean", pa.float64()), ("count", pa.int64()), ("country", pa.string())]
)


def _features(row: int, key: str | None, generation: str) -> dict[str, object]:
    if not isinstance(key, str) or not key[1:].isdigit():
        return {ROW: row}
    number = int(key[1:])
    mean = float(number) * (2 if generation == "g0002" else 1)
    return {ROW: row, "mean": mean, "count": number, "country": "KR" if number % 2 else "FR"}


@dataclass
class MemoryRegistry:
    """Model versions that name their dataset, or none."""

    found: list[ModelVersion] = field(default_factory=list)

    def add(self, model: str, version: int, dataset: str | None) -> None:
        lineage = {"data_snapshot": "features-1-rows-2"} | ({"dataset": dataset} if dataset else {})
        self.found.append(
            ModelVersion(
                model=model,
                version=version,
                package_arn=f"arn:{model}/{version}",
                status=Status.PENDING,
                created=START,
                lineage=lineage,
            )
        )

    def models(self) -> list[str]:
        return sorted({version.model for version in self.found})

    def versions(self, model: str, *, limit: int | None = None) -> list[ModelVersion]:
        return [version for version in self.found if version.model == model][:limit]

    def get(self, model: str, version: int) -> ModelVersion:
        for found in self.found:
            if (found.model, found.version) == (model, version):
                return found
        raise unknown_version(model, version)

    def pointer(self, model: str) -> None:
        """None of them is called anything."""

    def set_status(self, version: ModelVersion, status: Status, *, note: str) -> None:
        raise NotImplementedError


@dataclass
class Place:
    """Datasets over everything in memory, with a cache folder of their own."""

    folder: Path
    features: MemoryFeatures = field(default_factory=MemoryFeatures)
    documents: MemoryDocuments = field(default_factory=MemoryDocuments)
    registry: MemoryRegistry = field(default_factory=MemoryRegistry)

    @property
    def datasets(self) -> Datasets:
        store = DatasetStore(self.documents)
        return Datasets(
            store=store,
            open_features=lambda: self.features,
            cache=FileCache(self.folder / "cache", 10**9),
            lineages=Lineages(store, self.registry, lambda: LEDGER),
            clock=FixedClock(START),
            identity=lambda: "arn:aws:sts::000000000000:assumed-role/mlops-dev-data-scientist/kim",
        )


def payments(count: int, *, seed: int = 0) -> pd.DataFrame:
    """Labelled entity rows of customers c1 to c9, some of them new, in no order."""
    random = np.random.default_rng(seed)
    seconds = random.integers(0, 86_400, count)
    return pd.DataFrame(
        {
            "payment_id": [f"p{n}" for n in range(count)],
            "event_time": [START + timedelta(seconds=int(s)) for s in seconds],
            "customer_id": [f"c{n}" if n < 10 else "new" for n in random.integers(1, 12, count)],
            "amount": random.gamma(2.0, 20.0, count).round(2),
            "is_fraud": random.random(count) < 0.1,
        }
    )
