"""Our online store and Feast's on one redis-server, each in a database of its own."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64, Int64
from feast.utils import _convert_arrow_to_proto

from mlops.clock import SystemClock
from mlops.plan import FeaturePlan, PlannedField, PlannedView
from mlops.stores.online import ViewTable
from mlops.stores.redis.batches import Batch
from mlops.stores.redis.feast_views import online_view, planned
from mlops.stores.redis.link import Link, open_link
from mlops.stores.redis.reading import BlockingReader, compile_read
from mlops.stores.redis.schema_book import SchemaBook
from mlops.stores.redis.target import RedisTarget, parse_target
from mlops.stores.redis.writing import OnlineWriter

KEY = "customer_id"
CUSTOMER = Entity(name="customer", join_keys=[KEY], value_type=ValueType.INT64)
BATCH = 5_000
"""Rows that are encoded at once, by us and by Feast."""
TTL = timedelta(days=3)
EntityRows = list[dict[str, Any]]
Chunks = Sequence[Sequence[pa.RecordBatch]]
"""Feature rows, by some entities and then by view."""


@dataclass(frozen=True)
class Shape:
    """Views of one entity, whose features are all of one type."""

    name: str
    views: int
    features: int
    dtype: Any

    @property
    def view_names(self) -> list[str]:
        return [f"{self.name}{view}" for view in range(self.views)]

    def columns(self, view: str) -> list[str]:
        return [f"{view}_f{n}" for n in range(self.features)]

    @property
    def references(self) -> list[str]:
        return [f"{view}:{c}" for view in self.view_names for c in self.columns(view)]

    def rows(self, entities: int, now: datetime) -> Chunks:
        """Some entities' rows of every view, then the next ones'."""
        starts = range(0, entities, BATCH)
        return [self._chunk(start, min(entities - start, BATCH), now) for start in starts]

    def _chunk(self, start: int, count: int, now: datetime) -> list[pa.RecordBatch]:
        chance = np.random.default_rng(start)
        moment = pa.array(np.full(count, np.datetime64(now.replace(tzinfo=None), "us")))
        moment = moment.cast(pa.timestamp("us", "UTC"))
        keys = {KEY: np.arange(start, start + count), "event_time": moment, "created": moment}
        return [
            pa.RecordBatch.from_pydict(
                keys | {name: self._values(chance, count) for name in self.columns(view)}
            )
            for view in self.view_names
        ]

    def _values(self, chance: np.random.Generator, count: int) -> Any:
        return chance.integers(0, 10**6, count) if self.dtype == Int64 else chance.random(count)

    def feast_views(self) -> list[FeatureView]:
        source = FileSource(
            path="unused.parquet",
            timestamp_field="event_time",
            created_timestamp_column="created",
        )
        return [
            FeatureView(
                name=view,
                entities=[CUSTOMER],
                ttl=TTL,
                schema=[
                    Field(name=KEY, dtype=Int64),
                    *(Field(name=name, dtype=self.dtype) for name in self.columns(view)),
                ],
                source=source,
            )
            for view in self.view_names
        ]


FIFTY = Shape("fifty", 5, 10, Float64)
WIDE = Shape("wide", 1, 200, Float64)
WIDEST = Shape("widest", 3, 200, Float64)
"""More fields than Feast's hash may have to stay compact (`hash-max-ziplist-entries`, 512)."""
GRID = Shape("grid", 25, 10, Int64)


@dataclass(frozen=True)
class Peer:
    """A Feast store of a shape's views, over one kind of online store."""

    shape: Shape
    folder: Path
    target: RedisTarget

    @property
    def project(self) -> str:
        """Not the same for both: Feast keeps the last plan of a project, in one place."""
        return f"bench{self.target.db}"

    @functools.cached_property
    def store(self) -> FeatureStore:
        """As a process has it that finds the registry as another one left it."""
        config = RepoConfig(
            project=self.project,
            provider="local",
            registry={
                "registry_type": "file",
                "path": str(self.folder / f"{self.shape.name}-{self.target.db}.db"),
                "cache_ttl_seconds": 3600,
            },
            online_store=self.online_store(),
            entity_key_serialization_version=3,
        )
        FeatureStore(config=config).apply([CUSTOMER, *self.shape.feast_views()])
        return FeatureStore(config=config)

    @functools.cached_property
    def views(self) -> list[Any]:
        """As the registry has them."""
        return [self.store.get_feature_view(name) for name in self.shape.view_names]

    @functools.cached_property
    def link(self) -> Link:
        return open_link(self.target)

    def online_store(self) -> dict[str, Any]:
        raise NotImplementedError

    def ask_feast(self, rows: EntityRows) -> Any:
        return self.store.get_online_features(self.shape.references, rows)

    def memory(self) -> int:
        """Bytes that the redis-server uses, of all databases."""
        return int(self.link.command("INFO", "memory")["used_memory"])

    def memory_per_entity(self, sample: int) -> float:
        """Median of MEMORY USAGE, counting every element."""
        usage = [self.link.command("MEMORY", "USAGE", k, "SAMPLES", 0) for k in self._keys(sample)]
        return float(np.median(usage))

    def encodings(self, sample: int) -> str:
        """What OBJECT ENCODING says of the hashes of entities."""
        found = {self.link.command("OBJECT", "ENCODING", key) for key in self._keys(sample)}
        return " and ".join(sorted(encoding.decode() for encoding in found))

    def most_compact_fields(self) -> int:
        """Fields up to which a hash is compact, as the server is set."""
        _, most = self.link.command("CONFIG", "GET", "hash-max-ziplist-entries")
        return int(most)

    def _keys(self, sample: int) -> list[bytes]:
        """Of entities, at random; ours has a hash of schemas beside them."""
        keys = [self.link.command("RANDOMKEY") for _ in range(sample)]
        return [key for key in keys if not key.startswith(b"fs-schemas:")]


class Feasts(Peer):
    """Feast's Redis store."""

    def online_store(self) -> dict[str, Any]:
        at = self.target
        text = f"{at.host}:{at.port},db={at.db},password={at.password}"
        return {"type": "redis", "connection_string": text}

    def write(self, chunks: Chunks) -> None:
        """Arrow to rows in Redis, as Feast's `materialize` does it, view by view."""
        online = self.store._get_provider().online_store
        for place, view in enumerate(self.views):
            for chunk in chunks:
                rows = _convert_arrow_to_proto(chunk[place], view, {KEY: ValueType.INT64})
                online.online_write_batch(self.store.config, view, rows, None)


class Ours(Peer):
    """The packed rows."""

    def online_store(self) -> dict[str, Any]:
        return {"type": "mlops.stores.redis.store.RedisOnlineStore", "url": self.target.url}

    def write(self, chunks: Chunks) -> None:
        """Arrow to rows in Redis, the views of an entity side by side."""
        self._write(self._batches(chunk) for chunk in chunks)

    def write_by_view(self, chunks: Chunks) -> None:
        """The same, one view after another."""
        for place in range(self.shape.views):
            self._write([self._batches(chunk)[place]] for chunk in chunks)

    def _batches(self, chunk: Sequence[pa.RecordBatch]) -> list[Batch]:
        views = zip(self._stored, chunk, strict=True)
        return [Batch(view, rows, "event_time", created="created") for view, rows in views]

    @functools.cached_property
    def _stored(self) -> list[Any]:
        return [online_view(self.project, view) for view in self.views]

    def _write(self, batches: Iterable[list[Batch]]) -> None:
        reports = OnlineWriter(self.link, SystemClock()).write_all(batches)
        assert not any(report.skipped or report.refused for report in reports.values()), reports

    @functools.cached_property
    def reader(self) -> BlockingReader:
        compiled = compile_read(self._plan(), self.shape.references, SchemaBook(self.project))
        return BlockingReader(self.link, compiled)

    def _plan(self) -> FeaturePlan:
        views = tuple(
            PlannedView(
                name=view.name,
                join_keys=(KEY,),
                features=tuple(planned(view.features)),
                ttl_seconds=int(TTL.total_seconds()),
            )
            for view in self.views
        )
        return FeaturePlan(
            service="bench",
            project=self.project,
            entities=(PlannedField(name=KEY, dtype="Int64"),),
            request=(),
            views=views,
            transformations=(),
        )

    def read(self, rows: EntityRows) -> list[ViewTable]:
        """View by view in columns, as models take them."""
        entities = {KEY: [row[KEY] for row in rows]}
        return self.reader.read_columns(entities, now=datetime.now(UTC))


def by_name(tables: Sequence[ViewTable]) -> dict[str, list[Any]]:
    """Python values by feature."""
    return {
        name: np.asarray(values).tolist()
        for table in tables
        for name, values in zip(table.read.features, table.values, strict=True)
    }


def open_peers(shape: Shape, folder: Path, url: str, password: str) -> tuple[Ours, Feasts]:
    """Ours in database 0, Feast's in database 1 of a server."""
    return (
        Ours(shape, folder, parse_target(f"{url}/0", password)),
        Feasts(shape, folder, parse_target(f"{url}/1", password)),
    )
