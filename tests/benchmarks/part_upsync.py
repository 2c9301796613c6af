"""From the offline table to readable rows: upsync, and Feast's `materialize` of the same data.

Both read the same tables of the same local Athena and write to the same redis-server, each in a
process of its own, which also says how much memory it took. Before anything is told, what stands
online is compared: ours by `verify`, Feast's by reading entities and comparing with the table.

    UPSYNC_ENTITIES=1000000 make bench PART=upsync     Feast's is measured on 50,000 all the same
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tests.benchmarks.measure import Measurement, peak, resident

if TYPE_CHECKING:
    from tests.feast_athena import Warehouse

PART = "upsync"
ENTITIES = int(os.environ.get("UPSYNC_ENTITIES", "50000"))
FEASTS_ENTITIES = 50_000
VIEWS, FEATURES = 5, 10
NOW = datetime(2018, 8, 8, tzinfo=UTC)
_CHECKED = 500
_TYPES = {
    "customer_id": "string",
    "event_time": "timestamp",
    "created": "timestamp",
    **{f"f{n}": "double" for n in range(FEATURES)},
}


def measure() -> Iterator[Measurement]:
    from infra.local import lifecycle
    from tests.feast_athena import Warehouse

    with tempfile.TemporaryDirectory() as folder, lifecycle.start(Path(folder) / "aws") as aws:
        warehouse = Warehouse(aws, Path(folder))
        for entities in sorted({ENTITIES, FEASTS_ENTITIES}):
            make_tables(warehouse, entities)
        ours = run("ours", warehouse, ENTITIES)
        feasts = run("feast", warehouse, FEASTS_ENTITIES)
    rate, peer = (found["entities"] / found["seconds"] for found in (ours, feasts))
    if ENTITIES == FEASTS_ENTITIES:
        yield Measurement(PART, "seconds", ours["seconds"], feasts["seconds"], "s")
    yield Measurement(PART, "rate", rate, peer, "entities/s", more_is_better=True)
    yield Measurement(PART, "memory", ours["megabytes"], feasts["megabytes"], "MB")


def make_tables(warehouse: Warehouse, entities: int) -> None:
    """A table per view, a row per entity, all of the day before."""
    rng = np.random.default_rng(7)
    moment = pa.array([NOW.replace(tzinfo=None) - timedelta(days=1)] * entities, pa.timestamp("ms"))
    for view in range(VIEWS):
        rows = {
            "customer_id": [f"c{n}" for n in range(entities)],
            "event_time": moment,
            "created": moment,
            **{f"f{n}": rng.random(entities) for n in range(FEATURES)},
        }
        warehouse.add(table_of(view, entities), pa.table(rows), _TYPES)


def run(who: str, warehouse: Warehouse, entities: int) -> dict[str, Any]:
    """In a process of its own: seconds, megabytes over what its imports take, entities."""
    asked = {"who": who, "warehouse": warehouse.name, "entities": entities}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.part_upsync", json.dumps(asked)],
        env=os.environ | warehouse.aws.environment() | {"WAREHOUSE": str(warehouse.aws.state.root)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def table_of(view: int, entities: int) -> str:
    return f"view{view}_of_{entities}"


# In the process that is measured


def main(asked: dict[str, Any]) -> dict[str, Any]:
    from infra.local import lifecycle
    from tests.feast_athena import Warehouse

    aws = lifecycle.find(Path(os.environ["WAREHOUSE"]))
    assert aws is not None
    with tempfile.TemporaryDirectory() as folder:
        warehouse = Warehouse(aws, Path(folder), name=asked["warehouse"], exists=True)
        measured = _ours if asked["who"] == "ours" else _feasts
        return measured(warehouse, asked["entities"]) | {"entities": asked["entities"]}


def _ours(warehouse: Warehouse, entities: int) -> dict[str, Any]:
    from mlops.stores.redis.link import DirectLink, open_link
    from mlops.stores.redis.target import RedisTarget
    from pipelines.features.upsync.running import Options
    from tests.upsync_place import Place

    host, port = "127.0.0.1", warehouse.aws.redis_port
    password = os.environ["MLOPS_REDIS_PASSWORD"]
    link = open_link(RedisTarget(host, port, password=password))
    assert isinstance(link, DirectLink)
    views = _views(warehouse, entities)
    places = [Place(warehouse.aws, warehouse, link, view, project="bench") for view in views]
    runner = replace(places[0].runner(NOW), registry=_registry(views))
    before = resident()
    began = time.perf_counter()
    reports = runner.run_all(views, Options(NOW))
    seconds = time.perf_counter() - began
    used = peak() - before
    assert [report.written for report in reports] == [entities] * VIEWS
    for place in places:
        verdict = place.verify(str(NOW.replace(tzinfo=None)))
        assert (verdict.checked, verdict.same) == (entities, entities), verdict
    return {"seconds": seconds, "megabytes": used}


def _registry(views: list[Any]) -> Any:
    from feast.protos.feast.core.Registry_pb2 import Registry

    from mlops.feast import REGISTRY_KEY
    from mlops.objects import MemoryDocuments

    registry, documents = Registry(), MemoryDocuments()
    for view in views:
        registry.feature_views.add().spec.name = view.name
    documents.put(REGISTRY_KEY, registry.SerializeToString())
    return documents


def _feasts(warehouse: Warehouse, entities: int) -> dict[str, Any]:
    import contextlib
    import io

    from tests.feast_athena import CUSTOMER, FEASTS

    views = _views(warehouse, entities)
    password = os.environ["MLOPS_REDIS_PASSWORD"]
    online = {
        "type": "redis",
        "connection_string": f"127.0.0.1:{warehouse.aws.redis_port},password={password}",
    }
    store = warehouse.store([CUSTOMER, *views], kind=FEASTS, online=online)
    before = resident()
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        store.materialize(NOW - timedelta(days=3), NOW)
    seconds = time.perf_counter() - began
    used = peak() - before
    _check(store, warehouse, entities)
    return {"seconds": seconds, "megabytes": used}


def _views(warehouse: Warehouse, entities: int) -> list[Any]:
    from feast import FeatureView, Field
    from feast.types import Float64, String

    from tests.feast_athena import CUSTOMER

    fields = [Field(name=f"f{n}", dtype=Float64) for n in range(FEATURES)]
    return [
        FeatureView(
            name=table_of(view, entities),
            entities=[CUSTOMER],
            ttl=timedelta(days=3),
            schema=[Field(name="customer_id", dtype=String), *fields],
            source=warehouse.source(table_of(view, entities)),
        )
        for view in range(VIEWS)
    ]


def _check(store: Any, warehouse: Warehouse, entities: int) -> None:
    """Feast's online store holds what the first table holds, of some entities."""
    rng = np.random.default_rng(7)
    wanted = [rng.random(entities) for _ in range(FEATURES)]
    chosen = np.random.default_rng(1).choice(entities, _CHECKED, replace=False)
    references = [f"{table_of(0, entities)}:f{n}" for n in range(FEATURES)]
    found = store.get_online_features(
        features=references, entity_rows=[{"customer_id": f"c{n}"} for n in chosen]
    ).to_dict()
    for n in range(FEATURES):
        assert found[f"f{n}"] == [wanted[n][row] for row in chosen], f"Feast's f{n} differs"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.loads(sys.argv[1]))) + "\n")
