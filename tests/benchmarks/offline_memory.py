"""The memory that a join takes in a process of its own: streamed to a file, or as one table.

`python -m tests.benchmarks.offline_memory DATABASE ROWS stream|table` prints mebibytes beyond what
the process had before the join.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
from feast import FeatureStore, FeatureView, RepoConfig
from feast.infra.offline_stores.contrib.athena_offline_store.athena_source import AthenaSource

from tests.benchmarks.measure import peak, resident
from tests.feast_athena import CUSTOMER, OURS, SPEND_TYPES, Warehouse, spend_view

_FEATURES = ["spend:amount", "spend:payments"]


def prepare(warehouse: Warehouse) -> None:
    """A small feature table: what grows is the number of entity rows."""
    days = pa.array([86_400_000 * n for n in range(100)], pa.timestamp("ms"))
    rows = {
        "customer_id": pa.array(["a", "b"] * 50),
        "event_time": days,
        "created": days,
        "amount": pa.array([n / 3 for n in range(100)]),
        "payments": pa.array(range(100)),
    }
    warehouse.add("spend", pa.table(rows), SPEND_TYPES)


def measure(warehouse: Warehouse, rows: int, way: str) -> float:
    """Mebibytes at the peak."""
    command = [sys.executable, "-W", "ignore", "-m", __name__, warehouse.name, str(rows), way]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def main(database: str, rows: int, way: str) -> None:
    with tempfile.TemporaryDirectory(prefix="mlops-memory-") as folder:
        job = _store(database, Path(folder)).get_historical_features(_entities(rows), _FEATURES)
        before = resident()
        if way == "stream":
            done = job.to_file(Path(folder) / "set.parquet")
        else:
            done = job.to_arrow().num_rows
        assert done == rows, f"{done} rows of {rows}"
    sys.stdout.write(f"{peak() - before}\n")


def _store(database: str, folder: Path) -> FeatureStore:
    source = AthenaSource(
        name="spend",
        table="spend",
        database=database,
        data_source="AwsDataCatalog",
        timestamp_field="event_time",
        created_timestamp_column="created",
    )
    view: FeatureView = spend_view(source)
    offline = {
        "type": OURS,
        "region": "ap-northeast-2",
        "data_source": "AwsDataCatalog",
        "database": database,
        "workgroup": database,
        "s3_staging_location": f"s3://{database}/staging",
    }
    store = FeatureStore(
        config=RepoConfig(
            project="memory",
            provider="local",
            registry=str(folder / "registry.db"),
            offline_store=offline,
            online_store=None,
            entity_key_serialization_version=3,
        )
    )
    store.apply([CUSTOMER, view])
    return store


def _entities(rows: int) -> str:
    return (
        "SELECT IF(n % 2 = 0, 'a', 'b') AS customer_id, n * 1000 + m AS id, "
        "date_add('second', n * 1000 + m, TIMESTAMP '1970-01-01 00:00:00') AS event_timestamp "
        f"FROM UNNEST(sequence(1, {rows // 1000})) AS x (n) "
        "CROSS JOIN UNNEST(sequence(1, 1000)) AS y (m)"
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
