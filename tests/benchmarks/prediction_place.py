"""What both sides of the prediction benchmark stand on: one Redis, one model, the same payments.

Features lie in Redis twice: packed, as ours, and as Feast's own store writes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from infra.local import lifecycle
from infra.local import redis as local_redis
from infra.local.lifecycle import LocalAws
from infra.local.redis import RedisServer
from mlops.clock import FixedClock
from mlops.objects import S3Documents
from mlops.plan import FeaturePlan, save_plan
from mlops.stores.redis.batches import Batch
from mlops.stores.redis.link import open_link
from mlops.stores.redis.target import parse_target
from mlops.stores.redis.views import stored_view
from mlops.stores.redis.writing import OnlineWriter
from pipelines.fraud.settings import DEFAULTS
from serving.proxy.keys import ApiKeys, FileKeys
from tests.fraud_plan import REPO, fraud_plan
from tests.integration.serving.conftest import prepare_bucket
from tests.serving_examples import build_manifest, deploy, publish

NOW = datetime(2018, 8, 8, tzinfo=UTC)
PEOPLE = 2000
_FEAST_YAML = """
project: bench
provider: local
registry: {folder}/registry.db
online_store:
  type: redis
  connection_string: "127.0.0.1:{port},password={password}"
offline_store:
  type: file
entity_key_serialization_version: 3
"""


@dataclass(frozen=True)
class Place:
    """Where everything is."""

    folder: Path
    local: LocalAws
    redis: RedisServer
    plan: FeaturePlan
    environment: dict[str, str]
    key: str
    documents: S3Documents

    def deploy(self) -> None:
        graph = (self.folder / "model.onnx").read_bytes()
        manifest = build_manifest(
            self.plan, graph, columns=DEFAULTS.inputs, opset=17, graph_input="X"
        )
        bucket = self.documents.bucket
        deploy(self.documents, publish(self.documents, manifest, graph, version=1, bucket=bucket))


@contextmanager
def prepared(graph: bytes) -> Iterator[Place]:
    """The model's files are there, and not deployed yet."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="mlops-bench-") as name:
        folder = Path(name)
        (folder / "model.onnx").write_bytes(graph)
        server = local_redis.start(folder / "redis-data", log=folder / "redis.log")
        try:
            with lifecycle.start(folder / "aws") as local:
                yield _fill(folder, local, server)
        finally:
            server.stop()


def _fill(folder: Path, local: LocalAws, server: RedisServer) -> Place:
    keys, key = ApiKeys().add("bench", now=NOW, permissions=["predict:*"])
    FileKeys(folder / "keys.json").save(keys)
    environment = local.environment() | {
        "MLOPS_PROJECT": "bench",
        "MLOPS_CLOCK": NOW.isoformat(),
        "MLOPS_REDIS_URL": server.url,
        "MLOPS_REDIS_PASSWORD": server.password,
        "MLOPS_FEATURE_REPO": str(REPO),
        "MLOPS_PROXY_API_KEYS_FILE": str(folder / "keys.json"),
        "OMP_NUM_THREADS": "1",
    }
    plan, documents = fraud_plan(), prepare_bucket(local, environment)
    save_plan(documents, plan)
    rows = {view.name: view_rows(plan, view.name) for view in plan.views}
    write_packed(server, plan, rows)
    write_feasts(folder, server, plan, rows)
    return Place(folder, local, server, plan, environment, key, documents)


def view_rows(plan: FeaturePlan, name: str) -> pa.RecordBatch:
    """Counts, amounts and shares of everybody, an hour old."""
    (view,) = [view for view in plan.views if view.name == name]
    rng = np.random.default_rng(len(name))
    columns: dict[str, Any] = {view.join_keys[0]: [str(n) for n in range(PEOPLE)]}
    for feature in view.features:
        counts, amounts = rng.integers(0, 90, PEOPLE), rng.gamma(2.0, 30.0, PEOPLE)
        columns[feature.name] = pa.array(counts if feature.dtype == "Int64" else amounts)
    hour_ago = NOW - timedelta(hours=1)
    columns["event_time"] = pa.array([hour_ago] * PEOPLE, pa.timestamp("us", "UTC"))
    return pa.record_batch(columns)


def write_packed(server: RedisServer, plan: FeaturePlan, rows: dict[str, pa.RecordBatch]) -> None:
    entities = {field.name: field for field in plan.entities}
    with closing(open_link(parse_target(server.url, server.password))) as link:
        writer = OnlineWriter(link, FixedClock(NOW))
        for view in plan.views:
            stored = stored_view(
                plan.project,
                view.name,
                join_keys=[entities[name] for name in view.join_keys],
                features=view.features,
                ttl_seconds=view.ttl_seconds,
            )
            assert not writer.write(Batch(stored, rows[view.name], "event_time")).refused


def write_feasts(
    folder: Path, server: RedisServer, plan: FeaturePlan, rows: dict[str, pa.RecordBatch]
) -> None:
    from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource
    from feast.types import Float64, Int64
    from feast.value_type import ValueType

    repo = folder / "feast"
    repo.mkdir()
    yaml = _FEAST_YAML.format(folder=repo, port=server.port, password=server.password)
    (repo / "feature_store.yaml").write_text(yaml)
    types = {"Int64": Int64, "Float64": Float64}
    entities, views = [], []
    for view in plan.views:
        join_key = view.join_keys[0]
        entities.append(Entity(name=join_key, join_keys=[join_key], value_type=ValueType.STRING))
        source = FileSource(
            name=f"{view.name}_source",
            path=str(repo / "none.parquet"),
            timestamp_field="event_time",
        )
        schema = [Field(name=f.name, dtype=types[f.dtype]) for f in view.features]
        made = FeatureView(
            name=view.name,
            entities=entities[-1:],
            ttl=timedelta(0),
            schema=schema,
            source=source,
        )
        views.append(made)
    store = FeatureStore(repo_path=str(repo))
    store.apply([*entities, *views, FeatureService(name=plan.service, features=views)])
    for name, batch in rows.items():
        store.write_to_online_store(name, df=batch.to_pandas())
