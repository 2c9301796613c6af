"""Rows that Feast writes or pushes to the offline store are seen whole, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import FeatureStore, Field, PushSource
from feast.data_source import PushMode
from feast.types import Float64, Int64, String

from mlops.errors import InputError, JobFailed, Refused
from mlops.stores.athena.staging import Storage
from tests.feast_athena import CUSTOMER, SPEND_TYPES, Warehouse, environment, spend_view

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

pytestmark = pytest.mark.filterwarnings("ignore:::feast", "ignore:Config.*:DeprecationWarning")
FEATURES = ["spend:amount", "spend:payments"]
NOW = "2024-01-05T12:00:00Z"


@pytest.fixture
def warehouse(local_aws: LocalAws, tmp_path: Path) -> Iterator[Warehouse]:
    """With an empty table `pushed` by days."""
    with environment(local_aws):
        warehouse = Warehouse(local_aws, tmp_path)
        types = SPEND_TYPES | {"day": "string"}
        empty = pa.table({column: pa.array([], pa.string()) for column in types})
        warehouse.add("pushed", empty, types, days="day")
        yield warehouse


@pytest.fixture
def store(warehouse: Warehouse) -> FeatureStore:
    """A view that is pushed to, on a clock that stands in January 2024."""
    batch = warehouse.source("pushed", date_partition_column="day")
    view = spend_view(
        PushSource(name="pushes", batch_source=batch),
        schema=[
            Field(name="customer_id", dtype=String),
            Field(name="amount", dtype=Float64, tags={"min": "0"}),
            Field(name="payments", dtype=Int64, tags={"required": "true"}),
        ],
    )
    return warehouse.store([CUSTOMER, view], clock=NOW)


def frame(**changes: Any) -> pd.DataFrame:
    """Two rows, of two days."""
    given: dict[str, Any] = {
        "customer_id": ["a", "b"],
        "event_time": pd.to_datetime(["2024-01-01T04:00Z", "2024-01-02T04:00Z"]),
        "created": pd.to_datetime(["2024-01-03T00:00Z"] * 2),
        "amount": [1.5, 2.5],
        "payments": [1, 2],
        "day": ["2024-01-01", "2024-01-02"],
    }
    return pd.DataFrame(given | changes)


def push(store: FeatureStore, rows: pd.DataFrame) -> None:
    store.push("pushes", rows, to=PushMode.OFFLINE)


def seen(store: FeatureStore) -> list[tuple[Any, ...]]:
    """What readers find of a and b on January 4th."""
    at = datetime(2024, 1, 4, tzinfo=UTC)
    given = pd.DataFrame({"customer_id": ["a", "b"], "event_timestamp": [at] * 2})
    found = store.get_historical_features(given, FEATURES).to_arrow()
    return list(zip(found["amount"].to_pylist(), found["payments"].to_pylist(), strict=True))


def files(warehouse: Warehouse, store: FeatureStore) -> list[str]:
    from mlops.stores.athena.session import open_session

    place = f"s3://{warehouse.name}/tables/"
    return [uri for uri, _ in Storage(open_session(store.config).aws).keys(place)]


NOTHING = [(None, None), (None, None)]


def test_pushed_rows_that_fit_are_seen(warehouse: Warehouse, store: FeatureStore) -> None:
    push(store, frame())
    assert seen(store) == [(1.5, 1), (2.5, 2)]
    assert warehouse.left() == {"objects": [], "tables": []}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"customer_id": ["a", None]}, "'customer_id' is null in 1 rows"),
        ({"amount": [1.5, -1]}, r"'amount' is below 0 in 1 rows \(customer_id b, event_time 2024"),
        ({"payments": [None, 2]}, "'payments' is null in 1 rows"),
        ({"payments": ["one", "two"]}, "'payments' does not fit bigint"),
        (
            {"created": pd.to_datetime(["2024-01-03T00:00Z", "2024-01-05T12:06Z"])},
            "'created' is after 2024-01-05 12:05:00 UTC in 1 rows",
        ),
        ({"day": ["2024-01-01", "2024-01-01"]}, "'day' is not the UTC day of 'event_time' in 1"),
    ],
)
def test_pushed_rows_of_which_one_does_not_fit_are_not_seen(
    warehouse: Warehouse, store: FeatureStore, wrong: dict[str, Any], words: str
) -> None:
    before = files(warehouse, store)
    with pytest.raises(InputError, match=words):
        push(store, frame(**wrong))
    assert files(warehouse, store) == before
    assert seen(store) == NOTHING


def test_feast_s_own_write_is_held_against_the_same(store: FeatureStore) -> None:
    with pytest.raises(InputError, match="'amount' is below 0 in 2 rows"):
        store.write_to_offline_store("spend", frame(amount=[-1, -2]))
    store.write_to_offline_store("spend", frame())
    assert seen(store) == [(1.5, 1), (2.5, 2)]


def test_a_field_mapping_is_followed_back_to_the_table(warehouse: Warehouse) -> None:
    source = warehouse.source(
        "pushed", date_partition_column="day", field_mapping={"payments": "number"}
    )
    schema = [
        Field(name="customer_id", dtype=String),
        Field(name="amount", dtype=Float64),
        Field(name="number", dtype=Int64, tags={"max": "9"}),
    ]
    store = warehouse.store([CUSTOMER, spend_view(source, schema=schema)], clock=NOW)
    with pytest.raises(InputError, match="'payments' is above 9 in 1 rows"):
        store.write_to_offline_store("spend", frame(payments=[1, 10]))
    store.write_to_offline_store("spend", frame())
    at = datetime(2024, 1, 4, tzinfo=UTC)
    given = pd.DataFrame({"customer_id": ["b"], "event_timestamp": [at]})
    assert store.get_historical_features(given, ["spend:number"]).to_df()["number"].tolist() == [2]


def test_a_later_time_fits_where_the_store_allows_it(warehouse: Warehouse) -> None:
    source = warehouse.source("pushed", date_partition_column="day")
    store = warehouse.store(
        [CUSTOMER, spend_view(source)], clock="2023-01-01", future_tolerance_seconds=None
    )
    store.write_to_offline_store("spend", frame())
    assert seen(store) == [(1.5, 1), (2.5, 2)]


def test_a_write_that_fails_half_way_is_taken_back(
    warehouse: Warehouse, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, upload = files(warehouse, store), Storage.upload
    uploaded: list[str] = []

    def second_fails(self: Storage, path: Path, uri: str) -> None:
        if uploaded and "tables/" in uri:
            raise JobFailed("S3: no")
        upload(self, path, uri)
        uploaded.append(uri)

    monkeypatch.setattr(Storage, "upload", second_fails)
    with pytest.raises(JobFailed, match="S3: no"):
        push(store, frame())
    monkeypatch.setattr(Storage, "upload", upload)
    assert len(uploaded) == 1
    assert files(warehouse, store) == before
    assert seen(store) == NOTHING


def test_a_feature_table_s_view_is_not_written_to(warehouse: Warehouse) -> None:
    warehouse.aws.client("glue").create_table(
        DatabaseName=warehouse.name,
        TableInput={
            "Name": "shown",
            "TableType": "VIRTUAL_VIEW",
            "StorageDescriptor": {
                "Columns": [{"Name": n, "Type": t} for n, t in SPEND_TYPES.items()]
            },
        },
    )
    store = warehouse.store([CUSTOMER, spend_view(warehouse.source("shown"))], clock=NOW)
    with pytest.raises(Refused, match="is a view, and cannot be written to"):
        store.write_to_offline_store("spend", frame().drop(columns="day"))
