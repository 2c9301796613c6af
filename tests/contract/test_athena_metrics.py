"""What Feast's monitoring gets of our store: its own figures, computed and kept in Athena."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from feast import FeatureStore
from feast.monitoring.metrics_calculator import MetricsCalculator
from feast.monitoring.monitoring_service import MonitoringService

from mlops.stores.athena import AthenaOfflineStore
from tests.feast_athena import CUSTOMER, SPEND_TYPES, Warehouse, environment, spend_view

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

pytestmark = pytest.mark.filterwarnings("ignore:::feast")
DAYS = [datetime(2024, 1, 1 + n % 4, n % 24, tzinfo=UTC) for n in range(240)]
ROWS = pa.table(
    {
        "customer_id": pa.array([None if n % 60 == 7 else f"c{n % 23 % 14}" for n in range(240)]),
        "event_time": pa.array(DAYS, pa.timestamp("ms")),
        "created": pa.array(DAYS, pa.timestamp("ms")),
        "amount": pa.array([None if n % 11 == 0 else (n * 37 % 101) / 4 for n in range(240)]),
        "payments": pa.array([5] * 240),
    }
)
COLUMNS = [("amount", "numeric"), ("payments", "numeric"), ("customer_id", "categorical")]
SHARES = ("p50", "p75", "p90", "p95", "p99")


@pytest.fixture(scope="module")
def store(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureStore]:
    with environment(local_aws):
        warehouse = Warehouse(local_aws, tmp_path_factory.mktemp("metrics"))
        warehouse.add("spend", ROWS, SPEND_TYPES)
        yield warehouse.store([CUSTOMER, spend_view(warehouse.source("spend"))])


def computed(
    store: FeatureStore, first: datetime | None = None, last: datetime | None = None
) -> list[dict[str, Any]]:
    source = store.get_feature_view("spend").batch_source
    return AthenaOfflineStore.compute_monitoring_metrics(
        store.config, source, COLUMNS, "event_time", first, last
    )


def test_metrics_are_those_that_feast_computes_itself(store: FeatureStore) -> None:
    ours, theirs = computed(store), MetricsCalculator().compute_all(ROWS, COLUMNS)
    for mine, wanted in zip(ours, theirs, strict=True):
        shares = {share: wanted.pop(share) for share in SHARES}
        for share, value in shares.items():
            assert mine.pop(share) == (value if value is None else pytest.approx(value, abs=0.25))
        histogram, own = wanted.pop("histogram"), mine.pop("histogram")
        if "values" in histogram:
            histogram["values"].sort(key=lambda entry: (-entry["count"], entry["value"]))
            assert own["values"] == histogram["values"][:10]
            assert own["unique_count"] == histogram["unique_count"] == 14
            assert own["other_count"] == histogram["other_count"]
        elif mine["min_val"] < mine["max_val"]:
            assert own["counts"] == histogram["counts"]
            assert own["bins"] == pytest.approx(histogram["bins"])
        else:
            assert own == {"bins": [5.0, 5.0], "counts": [240], "bin_width": 0.0}
        assert mine == pytest.approx(wanted)


def test_metrics_are_of_a_range_of_time_and_may_be_of_nothing(store: FeatureStore) -> None:
    day = datetime(2024, 1, 2, tzinfo=UTC)
    assert [metric["row_count"] for metric in computed(store, day, day.replace(hour=23))] == [
        60
    ] * 3
    empty = computed(store, datetime(2023, 1, 1, tzinfo=UTC), datetime(2023, 1, 2, tzinfo=UTC))
    assert [(m["row_count"], m["null_rate"], m["histogram"]) for m in empty] == [(0, 0.0, None)] * 3


def test_the_last_event_time_of_a_source_is_known(store: FeatureStore) -> None:
    source = store.get_feature_view("spend").batch_source
    found = AthenaOfflineStore.get_monitoring_max_timestamp(store.config, source, "event_time")
    assert found == max(DAYS)


def test_feasts_monitoring_keeps_and_finds_its_metrics(store: FeatureStore) -> None:
    service = MonitoringService(store)
    service.compute_baseline(project="tests", feature_view_name="spend")
    service.compute_baseline(project="tests", feature_view_name="spend")
    kept = service.get_feature_metrics(project="tests", feature_view_name="spend")
    assert {(m["feature_name"], m["row_count"], m["is_baseline"]) for m in kept} == {
        ("amount", 240, True),
        ("payments", 240, True),
    }
    [view] = service.get_feature_view_metrics(project="tests", feature_view_name="spend")
    assert (view["total_features"], view["features_with_nulls"]) == (2, 1)
    AthenaOfflineStore.clear_monitoring_baseline(store.config, "tests", feature_name="amount")
    query = AthenaOfflineStore.query_monitoring_metrics
    baselines = query(store.config, "tests", "feature", {"is_baseline": True})
    assert [m["feature_name"] for m in baselines] == ["payments"]
    assert query(store.config, "tests", "feature", start_date=date(2200, 1, 1)) == []
    assert query(store.config, "another", "feature") == []
