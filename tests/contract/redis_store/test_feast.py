"""All of Feast works on our store, as on its own; where its own is wrong, the fault has a name.

A test that takes `stores` runs over both. Faults of Feast's Redis store are expected failures with
their reasons: should one be mended there, its test says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import redis
from feast import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    PushSource,
    RepoConfig,
    RequestSource,
    ValueType,
)
from feast.data_source import PushMode
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Float32, Float64, Int64, Map, String, UnixTimestamp

from infra.local.redis import RedisServer
from mlops.errors import InputError, Refused
from mlops.stores.redis.keys import schemas_key
from mlops.stores.redis.target import RedisTarget

pytestmark = pytest.mark.filterwarnings(
    "ignore:::feast", "ignore:::dask", "ignore:::pandas", "ignore:::fastapi", "ignore:::starlette"
)
OURS, FEASTS = "ours", "feast's"
NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)
TTL = timedelta(days=3)
CUSTOMER = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)
SHOP = Entity(name="shop", join_keys=["shop_no"], value_type=ValueType.INT64)
FEATURES = ["spend:amount", "spend:payments", "spend:tags"]


def fault(reason: str) -> pytest.MarkDecorator:
    """Both stores, of which Feast's fails for this reason."""
    mark = pytest.mark.xfail(strict=True, reason=reason)
    return pytest.mark.parametrize("kind", [OURS, pytest.param(FEASTS, marks=mark)])


both = pytest.mark.parametrize("kind", [OURS, FEASTS])


def spend_source(folder: Path) -> FileSource:
    return FileSource(
        name="spend_source",
        path=str(folder / "spend.parquet"),
        timestamp_field="event_time",
        created_timestamp_column="created",
    )


def spend_view(source: Any, **changes: Any) -> FeatureView:
    return FeatureView(
        **{
            "name": "spend",
            "entities": [CUSTOMER],
            "ttl": TTL,
            "schema": [
                Field(name="customer_id", dtype=String),
                Field(name="amount", dtype=Float64),
                Field(name="payments", dtype=Int64),
                Field(name="tags", dtype=Array(String)),
            ],
            "source": source,
            **changes,
        }
    )


def rows(**columns: Any) -> pd.DataFrame:
    size = len(columns["customer_id"])
    usual = {
        "event_time": [NOW - HOUR] * size,
        "created": [NOW] * size,
        "amount": [1.5] * size,
        "payments": [3] * size,
        "tags": [["a", "b"]] * size,
    }
    return pd.DataFrame({**usual, **columns})


@dataclass
class Stores:
    """Makes feature stores of either kind, all on one Redis."""

    folder: Path
    server: RedisServer
    project: str
    made: int = 0

    def __call__(
        self, kind: str, objects: list[Any], *, project: str = "", **online: Any
    ) -> FeatureStore:
        self.made += 1
        registry = self.folder / f"registry{self.made}.db"
        config = RepoConfig(
            project=project or f"{self.project}_{kind[:4]}",
            provider="local",
            registry={"registry_type": "file", "path": str(registry), "cache_ttl_seconds": 0},
            online_store=self.online(kind) | online,
            offline_store={"type": "file"},
            entity_key_serialization_version=3,
        )
        store = FeatureStore(config=config)
        store.apply(objects)
        return store

    def online(self, kind: str) -> dict[str, Any]:
        if kind == FEASTS:
            address = f"127.0.0.1:{self.server.port},password={self.server.password}"
            return {"type": "redis", "connection_string": address}
        target = RedisTarget("127.0.0.1", self.server.port, password=self.server.password)
        return {"type": "mlops.stores.redis.store.RedisOnlineStore", "url": target.url}


@pytest.fixture
def stores(tmp_path: Path, redis_server: RedisServer, project: str) -> Stores:
    rows(customer_id=["a"]).to_parquet(tmp_path / "spend.parquet")
    return Stores(tmp_path, redis_server, project)


def spend(stores: Stores, kind: str, **changes: Any) -> FeatureStore:
    view = spend_view(spend_source(stores.folder), **changes)
    return stores(kind, [CUSTOMER, view])


def read(store: FeatureStore, *customers: str, features: Any = FEATURES) -> dict[str, list[Any]]:
    asked = [{"customer_id": customer} for customer in customers]
    found = store.get_online_features(features, asked)
    return {name: values for name, values in found.to_dict().items() if name != "customer_id"}


def statuses(store: FeatureStore, *customers: str) -> dict[str, list[int]]:
    asked = [{"customer_id": customer} for customer in customers]
    message = store.get_online_features(FEATURES, asked).proto
    names = message.metadata.feature_names.val
    return {n: list(r.statuses) for n, r in zip(names, message.results, strict=True)}


PRESENT, NULL, NOT_FOUND, OUTSIDE = 1, 2, 3, 4


@both
def test_materialize_loads_the_latest_row_of_each_key(stores: Stores, kind: str) -> None:
    frame = rows(
        customer_id=["a", "a", "b"],
        event_time=[NOW - 2 * HOUR, NOW - HOUR, NOW - HOUR],
        amount=[1.0, 2.0, 3.0],
    )
    frame.to_parquet(stores.folder / "spend.parquet")
    store = spend(stores, kind)
    store.materialize(NOW - TTL, NOW)
    assert read(store, "a", "b")["amount"] == [2.0, 3.0]
    assert read(store, "a", "b")["tags"] == [["a", "b"]] * 2


@both
def test_materialize_incremental_goes_on_where_the_last_ended(stores: Stores, kind: str) -> None:
    store = spend(stores, kind)
    store.materialize_incremental(NOW - HOUR / 2)
    later = rows(customer_id=["a", "b"], event_time=[NOW - HOUR / 4] * 2, amount=[2.0, 3.0])
    later.to_parquet(stores.folder / "spend.parquet")
    store.materialize_incremental(NOW)
    assert read(store, "a", "b")["amount"] == [2.0, 3.0]


@both
def test_what_is_written_is_read_synchronously_and_asynchronously(
    stores: Stores, kind: str
) -> None:
    import asyncio

    store = spend(stores, kind)
    store.write_to_online_store("spend", rows(customer_id=["a", "b"], amount=[1.0, 2.0]))
    asked = [{"customer_id": c} for c in ("b", "nobody", "a", "b")]

    async def later() -> Any:
        await store.initialize()
        found = await store.get_online_features_async(FEATURES, asked)
        await store.close()
        if kind == FEASTS:  # which leaves its connection open
            await store._get_provider().online_store._client_async.aclose()
        return found.to_dict()

    found = asyncio.run(later())
    assert found == store.get_online_features(FEATURES, asked).to_dict()
    assert found["amount"] == [2.0, None, 1.0, 2.0]


@both
def test_what_is_pushed_is_read(stores: Stores, kind: str) -> None:
    source = PushSource(name="spend_push", batch_source=spend_source(stores.folder))
    store = stores(kind, [CUSTOMER, spend_view(source)])
    store.push("spend_push", rows(customer_id=["a"], amount=[7.0]), to=PushMode.ONLINE)
    assert read(store, "a")["amount"] == [7.0]


async def test_what_is_pushed_asynchronously_is_read(stores: Stores) -> None:
    source = PushSource(name="spend_push", batch_source=spend_source(stores.folder))
    store = stores(OURS, [CUSTOMER, spend_view(source)])
    await store.push_async("spend_push", rows(customer_id=["a"], amount=[7.0]), to=PushMode.ONLINE)
    assert read(store, "a")["amount"] == [7.0]
    await store.close()


@both
def test_values_of_many_types_come_back_alike(stores: Stores, kind: str) -> None:
    view = spend_view(
        spend_source(stores.folder),
        schema=[
            Field(name="customer_id", dtype=String),
            Field(name="at", dtype=UnixTimestamp),
            Field(name="map", dtype=Map),
            Field(name="numbers", dtype=Array(Float64)),
            Field(name="nested", dtype=Array(Array(Int64))),
            Field(name="none", dtype=String),
        ],
    )
    store = stores(kind, [CUSTOMER, view])
    values = {
        "at": [datetime(2018, 8, 8, tzinfo=UTC)],
        "map": [{"a": "1", "b": "2"}],
        "numbers": [[1.5, 2.5]],
        "nested": [[[1, 2], [3]]],
        "none": [None],
    }
    store.write_to_online_store("spend", rows(customer_id=["a"], **values))
    asked = [f"spend:{name}" for name in values]
    assert read(store, "a", features=asked) == values


@both
def test_many_rows_of_floats_come_back_alike(stores: Stores, kind: str) -> None:
    wide, narrow = Field(name="amount", dtype=Float64), Field(name="share", dtype=Float32)
    source = spend_source(stores.folder)
    schema = [Field(name="customer_id", dtype=String), wide, narrow]
    store = stores(kind, [CUSTOMER, spend_view(source, schema=schema)])
    customers = [f"c{n}" for n in range(20)]
    values = {"amount": [n / 3 for n in range(20)], "share": [n / 4 for n in range(20)]}
    store.write_to_online_store("spend", rows(customer_id=customers, **values))
    asked = [{"customer_id": customer} for customer in customers]
    found = store.get_online_features(["spend:amount", "spend:share"], asked)
    assert found.to_dict() == {"customer_id": customers, **values}


@both
def test_a_composite_key_is_found_by_all_its_parts(stores: Stores, kind: str) -> None:
    view = FeatureView(
        name="pair",
        entities=[CUSTOMER, SHOP],
        schema=[
            Field(name="customer_id", dtype=String),
            Field(name="shop_no", dtype=Int64),
            Field(name="joint", dtype=Float64),
        ],
        source=spend_source(stores.folder),
    )
    store = stores(kind, [CUSTOMER, SHOP, view])
    frame = rows(customer_id=["1", "12"], shop_no=[23, 3], joint=[1.0, 2.0])
    store.write_to_online_store("pair", frame)
    asked = [{"shop_no": 3, "customer_id": "12"}, {"shop_no": 23, "customer_id": "1"}]
    found = store.get_online_features(["pair:joint"], asked).to_dict()
    assert found["joint"] == [2.0, 1.0]


@both
def test_a_view_without_an_entity_is_materialized_and_read(stores: Stores, kind: str) -> None:
    path = stores.folder / "world.parquet"
    rows(customer_id=["x"], rate=[1.25]).to_parquet(path)
    source = FileSource(name="world_source", path=str(path), timestamp_field="event_time")
    view = FeatureView(
        name="world", entities=[], schema=[Field(name="rate", dtype=Float64)], source=source
    )
    store = stores(kind, [view])
    store.materialize(NOW - TTL, NOW)
    found = store.get_online_features(["world:rate"], [{"any": 1}]).to_dict()
    assert found["rate"] == [1.25]


@both
def test_an_entity_under_another_name_is_found(stores: Stores, kind: str) -> None:
    view = spend_view(spend_source(stores.folder))
    plain = view.with_name("plain")[["amount"]]
    payer = view.with_name("payer").with_join_key_map({"customer_id": "payer_id"})[["amount"]]
    service = FeatureService(name="two", features=[plain, payer])
    store = stores(kind, [CUSTOMER, view, service])
    store.write_to_online_store("spend", rows(customer_id=["a", "b"], amount=[1.0, 2.0]))
    found = store.get_online_features(
        store.get_feature_service("two"),
        [{"customer_id": "a", "payer_id": "b"}, {"customer_id": "b", "payer_id": "b"}],
        full_feature_names=True,
    ).to_dict()
    assert found["plain__amount"] == [1.0, 2.0]
    assert found["payer__amount"] == [2.0, 2.0]


def on_demand(view: FeatureView, *, writes: bool) -> Any:
    asked = RequestSource(name="asked", schema=[Field(name="factor", dtype=Float64)])

    @on_demand_feature_view(  # type: ignore[untyped-decorator]  # Feast is untyped
        sources=[view] if writes else [view, asked],
        entities=[CUSTOMER],
        schema=[Field(name="doubled", dtype=Float64)],
        mode="python",
        write_to_online_store=writes,
    )
    def computed(inputs: dict[str, Any]) -> dict[str, Any]:
        factors = inputs.get("factor") or [2.0] * len(inputs["amount"])
        pairs = zip(inputs["amount"], factors, strict=True)
        return {"doubled": [None if a is None else a * f for a, f in pairs]}

    return computed


@both
def test_an_on_demand_view_computes_from_what_is_read(stores: Stores, kind: str) -> None:
    view = spend_view(spend_source(stores.folder))
    store = stores(kind, [CUSTOMER, view, on_demand(view, writes=False)])
    store.write_to_online_store("spend", rows(customer_id=["a"], amount=[4.0]))
    found = store.get_online_features(
        ["computed:doubled", "spend:amount"], [{"customer_id": "a", "factor": 3.0}]
    ).to_dict()
    assert found["doubled"] == [12.0]


@both
def test_an_on_demand_view_that_is_written_is_read(stores: Stores, kind: str) -> None:
    view = spend_view(spend_source(stores.folder))
    store = stores(kind, [CUSTOMER, view, on_demand(view, writes=True)])
    frame = pd.DataFrame({"customer_id": ["a"], "amount": [4.0], "event_timestamp": [NOW]})
    store.write_to_online_store("computed", frame, transform_on_write=True)
    found = store.get_online_features(["computed:doubled"], [{"customer_id": "a"}]).to_dict()
    assert found["doubled"] == [8.0]


@both
def test_feasts_server_answers_with_values_and_statuses(stores: Stores, kind: str) -> None:
    from fastapi.testclient import TestClient
    from feast.feature_server import get_app

    store = spend(stores, kind)
    store.write_to_online_store("spend", rows(customer_id=["a"], amount=[7.0]))
    with TestClient(get_app(store)) as http:
        body = {"features": ["spend:amount"], "entities": {"customer_id": ["a"]}}
        answer = http.post("/get-online-features", json=body)
    assert answer.status_code == 200, answer.text
    names = answer.json()["metadata"]["feature_names"]
    result = answer.json()["results"][names.index("amount")]
    assert (result["values"], result["statuses"]) == ([7.0], ["PRESENT"])


# Where Feast's own store is wrong


@fault("Feast's Redis store answers that an entity without a row is PRESENT")
def test_an_unknown_entity_is_not_found(stores: Stores, kind: str) -> None:
    store = spend(stores, kind)
    store.write_to_online_store("spend", rows(customer_id=["a"]))
    assert statuses(store, "nobody", "a")["amount"] == [NOT_FOUND, PRESENT]


@fault("Feast's Redis store answers that a value that is none is PRESENT")
def test_a_missing_value_is_null(stores: Stores, kind: str) -> None:
    store = spend(stores, kind)
    store.write_to_online_store("spend", rows(customer_id=["a"], amount=[float("nan")]))
    assert statuses(store, "a") == {
        "customer_id": [PRESENT],
        "amount": [NULL],
        "payments": [PRESENT],
        "tags": [PRESENT],
    }


@fault("Feast's Redis store ignores a view's TTL when it is read")
def test_a_row_beyond_its_ttl_is_outside_its_age(stores: Stores, kind: str) -> None:
    store = spend(stores, kind)
    store.write_to_online_store("spend", rows(customer_id=["a"], event_time=[NOW - TTL - HOUR]))
    assert statuses(store, "a")["amount"] == [OUTSIDE]
    assert read(store, "a")["amount"] == [None]


@fault("Feast's Redis store keeps a row whose event time is equal, whatever its created time")
def test_a_correction_overwrites_the_row_of_the_same_time(stores: Stores, kind: str) -> None:
    store = spend(stores, kind)
    for hours, amount in ((2, 1.0), (1, 2.0)):
        frame = rows(customer_id=["a"], created=[NOW - hours * HOUR], amount=[amount])
        store.write_to_online_store("spend", frame)
    assert read(store, "a")["amount"] == [2.0]


@fault("Feast's teardown of a project removes the keys of every project whose name ends like it")
def test_tearing_a_project_down_leaves_every_other_alone(stores: Stores, kind: str) -> None:
    view = spend_view(spend_source(stores.folder))
    short, long = f"{stores.project}{kind[:4]}", f"team_{stores.project}{kind[:4]}"
    torn, kept = (stores(kind, [CUSTOMER, view], project=name) for name in (short, long))
    for store in (torn, kept):
        store.write_to_online_store("spend", rows(customer_id=["a"]))
    torn.teardown()
    assert read(kept, "a")["amount"] == [1.5]


@fault("Feast's Redis store does not say the event time of a row beyond its TTL as such")
def test_a_row_beyond_its_ttl_still_says_its_event_time(stores: Stores, kind: str) -> None:
    store = spend(stores, kind)
    old = NOW - TTL - HOUR
    store.write_to_online_store("spend", rows(customer_id=["a"], event_time=[old]))
    message = store.get_online_features(["spend:amount"], [{"customer_id": "a"}]).proto
    assert message.results[1].event_timestamps[0].seconds == old.timestamp()
    assert message.results[1].statuses[0] == OUTSIDE


@fault("Feast writes a view without an entity under another key than it reads it from")
def test_a_view_without_an_entity_is_read(stores: Stores, kind: str) -> None:
    view = FeatureView(
        name="world",
        entities=[],
        schema=[Field(name="rate", dtype=Float64)],
        source=spend_source(stores.folder),
    )
    store = stores(kind, [CUSTOMER, view, spend_view(spend_source(stores.folder))])
    frame = rows(customer_id=["x"], rate=[1.25])
    store.write_to_online_store("world", frame)
    store.write_to_online_store("spend", rows(customer_id=["a"]))
    found = store.get_online_features(
        ["world:rate", "spend:amount"], [{"customer_id": "a"}, {"customer_id": "b"}]
    ).to_dict()
    assert found["rate"] == [1.25, 1.25]
    assert found["amount"] == [1.5, None]


# Ours alone


def test_deleting_a_view_removes_its_rows_and_no_others(
    stores: Stores, client: redis.Redis
) -> None:
    source = spend_source(stores.folder)
    store = stores(OURS, [CUSTOMER, spend_view(source), spend_view(source, name="spend2")])
    for name in ("spend", "spend2"):
        store.write_to_online_store(name, rows(customer_id=["a", "b"]))
    store.write_to_online_store("spend", rows(customer_id=["c"]))
    store.apply([CUSTOMER], objects_to_delete=[store.get_feature_view("spend")], partial=False)
    keys = sorted(client.scan_iter(match=f"fs:{store.project}:*"))
    assert [client.hkeys(key) for key in keys] == [[b"spend2"]] * 2


def test_tearing_down_removes_everything_of_the_project(
    stores: Stores, client: redis.Redis
) -> None:
    store = spend(stores, OURS)
    store.write_to_online_store("spend", rows(customer_id=["a", "b"]))
    store.teardown()
    assert list(client.scan_iter(match=f"fs:{store.project}:*")) == []
    assert not client.exists(schemas_key(store.project))


def test_applying_does_not_need_redis(stores: Stores) -> None:
    view = spend_view(spend_source(stores.folder))
    stores(OURS, [CUSTOMER, view], url="redis://127.0.0.1:1")


def test_rows_that_are_refused_are_told_and_the_others_are_written(stores: Stores) -> None:
    store = spend(stores, OURS)
    frame = rows(customer_id=["a", "b"], event_time=[NOW, NOW + 2 * HOUR])
    with pytest.raises(
        InputError, match=r"1 of 2 rows of view 'spend' were refused: row 1: .* ahead .*1 were"
    ):
        store.write_to_online_store("spend", frame)
    assert read(store, "a", "b")["amount"] == [1.5, None]


def test_a_row_of_another_schema_is_refused_by_name(stores: Stores) -> None:
    store = spend(stores, OURS)
    table = store.get_feature_view("spend")
    write: Callable[..., None] = store._get_provider().online_store.online_write_batch
    key, value = messages()
    for values, reason in (
        ({"amount": value(string_val="1.5")}, "'amount' is Float64, not string_val"),
        ({"other": value(double_val=1.5)}, "'spend' has no feature other; it has amount"),
    ):
        with pytest.raises(InputError, match=reason):
            write(store.config, table, [(key, values, NOW, None)], None)


def test_a_join_key_of_another_type_is_refused_by_name(stores: Stores) -> None:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey

    store = spend(stores, OURS)
    table = store.get_feature_view("spend")
    _, value = messages()
    key = EntityKey(join_keys=["customer_id"], entity_values=[value(int64_val=1)])
    online = store._get_provider().online_store
    with pytest.raises(InputError, match="'customer_id' of view 'spend' must be text"):
        online.online_write_batch(store.config, table, [(key, {}, NOW, None)], None)
    with pytest.raises(InputError, match="'customer_id' of view 'spend' must be text"):
        online.online_read(store.config, table, [key])


def messages() -> tuple[Any, Any]:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    return EntityKey(join_keys=["customer_id"], entity_values=[Value(string_val="a")]), Value


def test_a_single_view_is_read_by_feasts_entity_keys(stores: Stores) -> None:
    store = spend(stores, OURS)
    store.write_to_online_store("spend", rows(customer_id=["a"], amount=[7.0]))
    table = store.get_feature_view("spend")
    key, value = messages()
    other = type(key)(join_keys=["customer_id"], entity_values=[value(string_val="b")])
    online = store._get_provider().online_store
    found = online.online_read(store.config, table, [other, key], ["amount"])
    assert found == [(None, None), (NOW - HOUR, {"amount": value(double_val=7.0)})]


def test_a_missing_join_key_is_named(stores: Stores) -> None:
    store = spend(stores, OURS)
    with pytest.raises(KeyError, match="customer_id"):
        store.get_online_features(FEATURES, [{"shop_no": 1}])


def test_searching_documents_is_refused_clearly(stores: Stores) -> None:
    online = spend(stores, OURS)._get_provider().online_store
    with pytest.raises(Refused, match="searches no vectors"):
        online.retrieve_online_documents(None, None, [], [], 1)
    with pytest.raises(Refused, match="searches no vectors"):
        online.retrieve_online_documents_v2(None, None, [], [], 1)


def test_the_clock_of_the_settings_decides_what_is_too_old_and_what_is_too_early(
    stores: Stores,
) -> None:
    view = spend_view(spend_source(stores.folder))
    then = datetime(2018, 8, 8, tzinfo=UTC)
    store = stores(OURS, [CUSTOMER, view], clock=then.isoformat())
    with pytest.raises(InputError, match="ahead of the clock"):
        store.write_to_online_store("spend", rows(customer_id=["a"]))
    frame = rows(customer_id=["a"], event_time=[then - HOUR])
    store.write_to_online_store("spend", frame)
    assert statuses(store, "a")["amount"] == [PRESENT]
    store.config.online_store.clock = (then + TTL).isoformat()
    assert statuses(store, "a")["amount"] == [OUTSIDE]
    store.config.online_store.clock = then.isoformat()
    assert statuses(store, "a")["amount"] == [PRESENT], "a clock that goes back"
