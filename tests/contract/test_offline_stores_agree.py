"""One suite over our Athena store and Feast's file and DuckDB stores, where all promise the same.

Where one of Feast's answers otherwise, the difference has a name here: it is an expected failure
with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore, FileSource, RepoConfig

from tests.feast_athena import CUSTOMER, SPEND_TYPES, Warehouse, environment, spend_view

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

pytestmark = pytest.mark.filterwarnings(
    "ignore:::feast", "ignore:::dask", "ignore:::pandas", "ignore:fetch_arrow:DeprecationWarning"
)
FEATURES = ["spend:amount", "spend:payments"]
Row = tuple[str | None, datetime, datetime, float | None]


class Stores(Protocol):
    """Makes a feature store with a view `spend` over these rows."""

    def __call__(self, rows: Sequence[Row], **view: Any) -> FeatureStore: ...


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2024, 1, day, hour, minute, tzinfo=UTC)


def table(rows: Sequence[Row], unit: pa.DataType) -> pa.Table:
    columns = list(zip(*rows, strict=True))
    amounts = pa.array(columns[3], pa.float64())
    return pa.table(
        {
            "customer_id": pa.array(columns[0], pa.string()),
            "event_time": pa.array(columns[1], pa.timestamp("ms", tz="UTC")).cast(unit),
            "created": pa.array(columns[2], pa.timestamp("ms", tz="UTC")).cast(unit),
            "amount": amounts,
            "payments": amounts.cast(pa.int64()),
        }
    )


@dataclass
class AthenaStores:
    warehouse: Warehouse
    made: int = 0

    def __call__(self, rows: Sequence[Row], **view: Any) -> FeatureStore:
        self.made += 1
        name = f"spend{self.made}"
        self.warehouse.add(name, table(rows, pa.timestamp("ms")), SPEND_TYPES)
        return self.warehouse.store([CUSTOMER, spend_view(self.warehouse.source(name), **view)])


@dataclass
class FileStores:
    """Feast's stores over files: "dask" is the one that its documents call the file store."""

    folder: Path
    kind: str
    made: int = 0

    def __call__(self, rows: Sequence[Row], **view: Any) -> FeatureStore:
        self.made += 1
        path = self.folder / f"spend{self.made}.parquet"
        pq.write_table(table(rows, pa.timestamp("us", tz="UTC")), path)
        source = FileSource(
            name="spend_source",
            path=str(path),
            timestamp_field="event_time",
            created_timestamp_column="created",
        )
        store = FeatureStore(
            config=RepoConfig(
                project="tests",
                provider="local",
                registry=str(self.folder / f"registry{self.made}.db"),
                offline_store={"type": self.kind},
                online_store=None,
                entity_key_serialization_version=3,
            )
        )
        store.apply([CUSTOMER, spend_view(source, **view)])
        return store


@pytest.fixture(scope="module", params=["athena", "dask", "duckdb"])
def stores(
    request: pytest.FixtureRequest, local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stores]:
    folder = tmp_path_factory.mktemp(str(request.param))
    if request.param != "athena":
        yield FileStores(folder, request.param)
        return
    with environment(local_aws):
        yield AthenaStores(Warehouse(local_aws, folder))


def differs(request: pytest.FixtureRequest, stores: Stores, **reasons: str) -> None:
    """Expect one of Feast's stores, by its name, to answer otherwise."""
    reason = reasons.get(stores.kind) if isinstance(stores, FileStores) else None
    if reason is not None:
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))


def entity_rows(*rows: tuple[str | None, datetime]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "customer_id": [row[0] for row in rows],
            "event_timestamp": [row[1] for row in rows],
            "place": range(len(rows)),
        }
    )


def amounts(store: FeatureStore, *rows: tuple[str | None, datetime], **more: Any) -> list[Any]:
    found = store.get_historical_features(entity_rows(*rows), FEATURES, **more).to_df()
    values = found.sort_values("place")["amount"]
    return [None if pd.isna(value) else value for value in values]


def test_the_latest_row_at_or_before_the_entity_time_is_found(stores: Stores) -> None:
    store = stores([("a", at(1), at(1), 1.0), ("a", at(2), at(2), 2.0), ("b", at(1), at(1), 5.0)])
    asked = [("a", at(1)), ("a", at(1, 23)), ("a", at(2)), ("b", at(2)), ("c", at(2))]
    assert amounts(store, *asked) == [1.0, 1.0, 2.0, 5.0, None]


def test_nothing_is_known_before_the_first_row(
    request: pytest.FixtureRequest, stores: Stores
) -> None:
    differs(request, stores, dask="it drops an entity row that only later feature rows match")
    assert amounts(stores([("a", at(2), at(2), 2.0)]), ("a", at(1, 23, 59))) == [None]


def test_the_ttl_includes_its_last_moment(request: pytest.FixtureRequest, stores: Stores) -> None:
    differs(request, stores, dask="it drops an entity row that only expired feature rows match")
    store = stores([("a", at(1), at(1), 1.0)], ttl=timedelta(hours=5))
    assert amounts(store, ("a", at(1, 5)), ("a", at(1, 5, 1))) == [1.0, None]


def test_without_a_ttl_a_row_holds_for_ever(stores: Stores) -> None:
    store = stores([("a", at(1), at(1), 1.0)], ttl=timedelta(0))
    assert amounts(store, ("a", at(1) + timedelta(days=4000))) == [1.0]


def test_of_rows_at_one_time_the_latest_created_counts(stores: Stores) -> None:
    store = stores([("a", at(1), at(3), 3.0), ("a", at(1), at(5), 5.0), ("a", at(1), at(4), 4.0)])
    assert amounts(store, ("a", at(2))) == [5.0]


def test_a_missing_value_is_a_value(stores: Stores) -> None:
    store = stores([("a", at(1), at(1), 1.0), ("a", at(2), at(2), None)])
    assert amounts(store, ("a", at(3))) == [None]


def test_a_null_key_matches_nothing(request: pytest.FixtureRequest, stores: Stores) -> None:
    differs(request, stores, dask="it matches null with null")
    store = stores([(None, at(1), at(1), 1.0), ("a", at(1), at(1), 2.0)])
    assert amounts(store, (None, at(2)), ("a", at(2))) == [None, 2.0]


def test_equal_entity_rows_are_answered_each(
    request: pytest.FixtureRequest, stores: Stores
) -> None:
    differs(request, stores, dask="it answers equal keys and times once")
    store = stores([("a", at(1), at(1), 1.0)])
    assert amounts(store, ("a", at(2)), ("a", at(2)), ("a", at(2))) == [1.0] * 3


def test_rows_can_be_required_to_be_created_by_then(stores: Stores) -> None:
    store = stores([("a", at(1), at(1), 1.0), ("a", at(2), at(9), 2.0)])
    asked = [("a", at(3)), ("a", at(9))]
    if not store._get_provider().offline_store.supports_filter_by_created_timestamp:
        pytest.skip("this store does not filter by created time; it says so to Feast")
    store.get_feature_view("spend").ttl = timedelta(days=30)
    assert amounts(store, asked[0], filter_by_created_timestamp=True) == [1.0]


def test_rows_come_in_the_callers_order(stores: Stores) -> None:
    store = stores([("a", at(1), at(1), 1.0), ("b", at(1), at(1), 2.0)])
    asked = entity_rows(("b", at(4)), ("a", at(2)), ("b", at(3)))
    assert store.get_historical_features(asked, FEATURES).to_df()["place"].tolist() == [0, 1, 2]


def test_the_latest_rows_of_a_window_are_pulled(stores: Stores) -> None:
    store = stores([("a", at(1), at(1), 1.0), ("a", at(2), at(2), 2.0), ("b", at(1), at(1), 5.0)])
    source = store.get_feature_view("spend").batch_source
    job = store._get_provider().offline_store.pull_latest_from_table_or_query(
        store.config, source, ["customer_id"], ["amount"], "event_time", "created", at(1), at(2)
    )
    found = job.to_arrow()
    pulled = zip(found["customer_id"].to_pylist(), found["amount"].to_pylist(), strict=True)
    assert sorted(pulled) == [("a", 2.0), ("b", 5.0)]
