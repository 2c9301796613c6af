"""A published finished join: loans with what was known of their zip codes (Feast's tutorial)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureView, Field, ValueType
from feast.types import Int64, String

from tests.feast_athena import Warehouse, environment

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

DATA = Path(os.environ.get("MLOPS_SHARED_DATA", "../shared/data")) / "feast_credit"
FEATURES = {
    "city": String,
    "state": String,
    "location_type": String,
    "tax_returns_filed": Int64,
    "population": Int64,
    "total_wages": Int64,
}
pytestmark = [
    pytest.mark.filterwarnings("ignore:::feast"),
    pytest.mark.skipif(
        not DATA.exists(), reason=f"needs {DATA}: set MLOPS_SHARED_DATA to the published data"
    ),
]


@pytest.fixture(scope="module")
def warehouse(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with environment(local_aws):
        warehouse = Warehouse(local_aws, tmp_path_factory.mktemp("credit"))
        rows = pq.read_table(DATA / "zipcode_table.parquet")
        names = {"event_timestamp": "event_time", "created_timestamp": "created"}
        rows = rows.rename_columns([names.get(c, c) for c in rows.column_names])
        for place, column in enumerate(rows.column_names):
            if pa.types.is_timestamp(rows[column].type):
                rows = rows.set_column(place, column, rows[column].cast(pa.timestamp("ms")))
        kinds = {
            c: "string" if rows[c].type == pa.string() else "bigint" for c in rows.column_names
        }
        types = kinds | {"event_time": "timestamp", "created": "timestamp"}
        warehouse.add("zipcodes", rows, types)
        yield warehouse


def test_the_loans_get_what_the_finished_join_says(warehouse: Warehouse) -> None:
    zipcode = Entity(name="zipcode", join_keys=["zipcode"], value_type=ValueType.INT64)
    view = FeatureView(
        name="zipcodes",
        entities=[zipcode],
        ttl=timedelta(days=3650),
        schema=[Field(name=f, dtype=kind) for f, kind in FEATURES.items()]
        + [Field(name="zipcode", dtype=Int64)],
        source=warehouse.source("zipcodes"),
    )
    store = warehouse.store([zipcode, view])
    loans = pq.read_table(DATA / "loan_table.parquet").to_pandas()
    references = [f"zipcodes:{feature}" for feature in FEATURES]
    found = store.get_historical_features(loans, references).to_arrow()
    assert found["loan_id"].to_pylist() == loans["loan_id"].tolist()
    finished = pq.read_table(DATA / "my_training_ds.parquet")
    columns = ["loan_id", "event_timestamp", *FEATURES]
    order = [("loan_id", "ascending")]
    assert (
        found.select(columns).sort_by(order).to_pylist()
        == finished.select(columns).sort_by(order).to_pylist()
    )
