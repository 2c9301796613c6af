"""What jobs of our Athena store cost: told before, limited while they run, and told after."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import FeatureStore

from mlops.errors import JobFailed, Refused
from mlops.stores.athena.cost import Estimate
from tests.feast_athena import CUSTOMER, SPEND_TYPES, Warehouse, environment, spend_view

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

pytestmark = pytest.mark.filterwarnings("ignore:::feast")
FEATURES = ["spend:amount"]
ENTITY_SQL = "SELECT DISTINCT customer_id, event_time AS event_timestamp FROM visits"


def at(day: int) -> datetime:
    return datetime(2024, 1, day, tzinfo=UTC)


@pytest.fixture(scope="module")
def warehouse(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """Four days of 2,000 rows each, and a table of visits to take entity rows from."""
    with environment(local_aws):
        warehouse = Warehouse(local_aws, tmp_path_factory.mktemp("costs"))
        days = pa.array([at(1 + n % 4) for n in range(8000)], pa.timestamp("ms"))
        rows = {
            "customer_id": pa.array([f"customer-{n // 4}" for n in range(8000)]),
            "event_time": days,
            "created": days,
            "amount": pa.array([float(n * 7919 % 1009) for n in range(8000)]),
            "payments": pa.array(range(8000)),
        }
        written = [f"2024-01-0{1 + n % 4}" for n in range(8000)]
        by_day = pa.table(rows | {"day": pa.array(written)})
        warehouse.add("spend", by_day, SPEND_TYPES | {"day": "string"}, days="day")
        warehouse.add("visits", pa.table(rows).slice(0, 400), SPEND_TYPES)
        yield warehouse


@pytest.fixture(scope="module")
def store(warehouse: Warehouse) -> FeatureStore:
    source = warehouse.source("spend", date_partition_column="day")
    return warehouse.store([CUSTOMER, spend_view(source)])


def entity_rows(*days: int) -> pd.DataFrame:
    moments = [at(day) for day in days]
    return pd.DataFrame({"customer_id": ["customer-1"] * len(days), "event_timestamp": moments})


ASKED: dict[str, dict[str, Any]] = {
    "dataframe": {"entity_df": entity_rows(1, 4)},
    "query": {"entity_df": ENTITY_SQL},
    "range": {"start_date": at(1), "end_date": at(2)},
}


@pytest.mark.parametrize("kind", ASKED)
def test_no_kind_of_entity_rows_scans_more_than_was_estimated(
    store: FeatureStore, kind: str
) -> None:
    job = store.get_historical_features(features=FEATURES, **ASKED[kind])
    before: Estimate = job.estimate()
    staged = 2_000 + 30 * job.to_arrow().num_rows
    assert 20_000 < job.bill.scanned <= before.bytes + staged
    assert before.dollars > 0


def test_a_query_of_entity_rows_counts_with_all_of_its_tables(store: FeatureStore) -> None:
    found = store.get_historical_features(ENTITY_SQL, FEATURES).estimate()
    assert [scan.table.split(".")[1] for scan in found.tables] == ["visits", "spend"]


def test_a_range_of_time_counts_only_the_days_in_it_and_in_the_ttl(store: FeatureStore) -> None:
    job = store.get_historical_features(features=FEATURES, start_date=at(1), end_date=at(2))
    assert [scan.partitions for scan in job.estimate().tables] == [2, 2]


@pytest.mark.parametrize(
    "pull", ["pull_all_from_table_or_query", "pull_latest_from_table_or_query"]
)
def test_a_pull_is_estimated_by_its_days_and_columns(store: FeatureStore, pull: str) -> None:
    def asked(first: int, last: int) -> Any:
        return getattr(store._get_provider().offline_store, pull)(
            store.config,
            store.get_feature_view("spend").batch_source,
            ["customer_id"],
            ["amount"],
            "event_time",
            "created",
            at(first),
            at(last),
        )

    one, job = asked(2, 2).estimate(), asked(2, 3)
    two = job.estimate()
    assert [scan.partitions for scan in (*one.tables, *two.tables)] == [1, 2]
    job.to_arrow()
    assert one.bytes < job.bill.scanned <= two.bytes + 2_000


def test_a_broken_query_is_told_by_its_estimate(store: FeatureStore) -> None:
    with pytest.raises(JobFailed, match="mismatched input"):
        store.get_historical_features("SELEKT 1", FEATURES).estimate()


def test_a_query_past_its_scan_limit_is_stopped_with_the_remedy(warehouse: Warehouse) -> None:
    slow = (
        "SELECT s.customer_id, s.event_time, s.created, s.payments, sum(ln(x.n + y.n)) AS amount "
        "FROM spend s CROSS JOIN UNNEST(sequence(1, 10000)) AS x (n) "
        "CROSS JOIN UNNEST(sequence(1, 1000)) AS y (n) GROUP BY 1, 2, 3, 4"
    )
    view = spend_view(warehouse.query(slow))
    store = warehouse.store([CUSTOMER, view], max_scan_bytes=10, timeout_seconds=60)
    with pytest.raises(Refused, match=r"more than the limit of 10, .*Raise max_scan_bytes"):
        store.get_historical_features(entity_rows(2), FEATURES).to_arrow()
    assert warehouse.left() == {"objects": [], "tables": []}
