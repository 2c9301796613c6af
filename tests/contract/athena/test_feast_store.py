"""Feast's own Athena offline store runs its SQL on the local Athena unchanged."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

if TYPE_CHECKING:
    from tests.contract.athena.conftest import Shop

CONFIG = """
project: shop
registry: {folder}/registry.db
provider: local
offline_store:
  type: athena
  data_source: AwsDataCatalog
  region: {region}
  database: {database}
  workgroup: {workgroup}
  s3_staging_location: s3://{bucket}/feast
online_store: null
entity_key_serialization_version: 3
"""


@pytest.fixture
def spend(shop: Shop, table_name: Callable[[], str]) -> str:
    """Daily sums per customer, as of the next day's start."""
    name = table_name()
    shop.made(
        f"CREATE TABLE {name} WITH (partitioned_by = ARRAY['day']) AS "
        "SELECT customer, date_trunc('day', at) + INTERVAL '1' DAY AS event_time, "
        "max(at) AS created, count(*) AS payments_1d, CAST(sum(amount) AS double) AS amount_1d, "
        "day "
        "FROM payments GROUP BY customer, date_trunc('day', at), day"
    )
    return name


@pytest.fixture
def store(shop: Shop, spend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    from feast import Entity, FeatureStore, FeatureView, ValueType
    from feast.infra.offline_stores.contrib.athena_offline_store.athena_source import AthenaSource

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.setenv(name, shop.environment[name])
    group = f"{shop.database}-{spend}".replace("_", "-")
    shop.client("athena").create_work_group(
        Name=group,
        Configuration={
            "ResultConfiguration": {"OutputLocation": f"s3://{shop.bucket}/feast-results/"}
        },
    )
    config = CONFIG.format(
        folder=tmp_path,
        region=shop.environment["AWS_REGION"],
        database=shop.database,
        workgroup=group,
        bucket=shop.bucket,
    )
    (tmp_path / "feature_store.yaml").write_text(config)
    customer = Entity(name="customer", join_keys=["customer"], value_type=ValueType.STRING)
    source = AthenaSource(
        name="spend",
        table=spend,
        database=shop.database,
        data_source="AwsDataCatalog",
        timestamp_field="event_time",
        created_timestamp_column="created",
        date_partition_column="day",
    )
    view = FeatureView(name="spend", entities=[customer], ttl=timedelta(days=3), source=source)
    opened = FeatureStore(repo_path=str(tmp_path))
    opened.apply([customer, source, view])
    return opened


def test_feast_infers_the_features_types(store: Any) -> None:
    fields = {field.name: str(field.dtype) for field in store.get_feature_view("spend").features}
    assert fields == {"payments_1d": "Int64", "amount_1d": "Float64"}


def test_feast_joins_to_the_latest_row_before_each_entity_row(store: Any) -> None:
    times = [datetime(2018, 4, 2, 12, tzinfo=UTC), datetime(2018, 4, 3, tzinfo=UTC)]
    rows = pd.DataFrame({"customer": ["c0", "c2"], "event_timestamp": times, "amount": [1.5, 2.5]})
    job = store.get_historical_features(rows, ["spend:payments_1d", "spend:amount_1d"])
    found = job.to_df().sort_values("customer").to_dict("list")
    assert found["payments_1d"] == [4, 3]
    assert found["amount_1d"] == [19.0, 15.75]
    assert found["amount"] == [1.5, 2.5]


def test_feast_leaves_no_temporary_table(shop: Shop, store: Any) -> None:
    rows = pd.DataFrame({"customer": ["c0"], "event_timestamp": [datetime(2018, 4, 3, tzinfo=UTC)]})
    table = store.get_historical_features(rows, ["spend:payments_1d"]).to_arrow()
    assert table.column("payments_1d").to_pylist() == [4]
    names = {name for (name,) in shop.rows("SHOW TABLES")}
    assert not {name for name in names if name.startswith(("feast_entity", "_"))}
