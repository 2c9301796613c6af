"""Feast's own remote online store works against our proxy, which answers as Feast's server does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
import uvicorn
from feast import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    RepoConfig,
    RequestSource,
)
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bool, Bytes, Float32, Float64, Int64, Map, String, UnixTimestamp
from feast.value_type import ValueType

from infra.local.redis import RedisServer
from mlops.clock import SystemClock
from mlops.plan import (
    TRANSFORMATIONS,
    FeaturePlan,
    PlannedField,
    PlannedTransformation,
    PlannedView,
    function_hashes,
    load_transformations,
)
from mlops.stores.redis.async_link import open_async_link
from mlops.stores.redis.feast_views import planned
from mlops.stores.redis.reading import RedisFeatures
from mlops.stores.redis.target import parse_target
from serving.proxy.app import create_app
from serving.proxy.keys import ApiKeys
from tests.feature_proxy import build_dependencies
from tests.serving_processes import MemoryKeys

pytestmark = pytest.mark.filterwarnings("ignore:::feast", "ignore:::pandas", "ignore:::starlette")
NOW = datetime.now(UTC).replace(microsecond=250_000)
CUSTOMER = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)
SHOP = Entity(name="shop", join_keys=["shop_no"], value_type=ValueType.INT64)
TYPES = {
    "amount": Float64,
    "single": Float32,
    "count": Int64,
    "flag": Bool,
    "text": String,
    "raw": Bytes,
    "at": UnixTimestamp,
    "numbers": Array(Float64),
    "map": Map,
}
VALUES = {
    "amount": 1.5,
    "single": 0.1,
    "count": 7,
    "flag": True,
    "text": "서울",
    "raw": b"\xff\x00",
    "at": datetime(2018, 8, 8, tzinfo=UTC),
    "numbers": [0.5, 2.5],
    "map": {"a": "1"},
}
FEATURES = [f"spend:{name}" for name in TYPES]


@dataclass
class Place:
    """One registry and Redis: read by our store, by Feast's server over it, and by our proxy."""

    store: FeatureStore
    remote: FeatureStore
    url: str
    key: str

    def ours(self, body: dict[str, Any]) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.post(self.url + "/get-online-features", json=body, headers=headers)

    async def feasts(self, body: dict[str, Any]) -> Any:
        from feast.feature_server import get_app

        transport = httpx.ASGITransport(get_app(self.store))
        async with httpx.AsyncClient(transport=transport, base_url="http://feast") as client:
            answer = await client.post("/get-online-features", json=body)
        await self.store.close()
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Place]:
    folder, project = tmp_path_factory.mktemp("remote"), "remote"
    target = parse_target(redis_server.url, redis_server.password)
    source = FileSource(path=str(folder / "none.parquet"), timestamp_field="event_time")
    views = [
        FeatureView(
            name="spend",
            entities=[CUSTOMER],
            ttl=timedelta(days=3),
            schema=[Field(name=name, dtype=dtype) for name, dtype in TYPES.items()],
            source=source,
        ),
        FeatureView(
            name="pair",
            entities=[CUSTOMER, SHOP],
            ttl=timedelta(0),
            schema=[Field(name="joint", dtype=Float64), Field(name="amount", dtype=Float64)],
            source=source,
        ),
    ]
    (folder / TRANSFORMATIONS).write_text(FUNCTION)
    computed = over_amount(views[0], folder)
    services = [
        FeatureService(name="everything", features=views[:1]),
        FeatureService(name="computed", features=[*views[:1], computed]),
    ]
    local = {"type": "mlops.stores.redis.store.RedisOnlineStore", "url": target.url}
    store = FeatureStore(config=config(folder, project, local))
    store.apply([CUSTOMER, SHOP, *views, computed, *services])
    fill(store)
    keys, key = ApiKeys().add("feast", now=NOW, permissions=["read:*"])
    dependencies = build_dependencies(
        RedisFeatures(open_async_link(target)),
        [
            plan_of(project, "everything", views[:1]),
            plan_of(project, "pairs", views[1:]),
            computing(plan_of(project, "computed", views[:1]), folder),
        ],
        MemoryKeys(keys),
        SystemClock(),
        repo=folder,
    )
    server = uvicorn.Server(
        uvicorn.Config(create_app(dependencies), port=0, log_config=None, lifespan="on")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    auth = {"type": "oidc", "token": key}
    remote = FeatureStore(
        config=config(folder, project, {"type": "remote", "path": url}, auth=auth)
    )
    yield Place(store, remote, url, key)
    server.should_exit = True
    thread.join()


def config(folder: Path, project: str, online: dict[str, Any], **more: Any) -> RepoConfig:
    return RepoConfig(
        project=project,
        provider="local",
        registry={"registry_type": "file", "path": str(folder / "registry.db")},
        online_store=online,
        offline_store={"type": "file"},
        entity_key_serialization_version=3,
        **more,
    )


def plan_of(project: str, service: str, views: list[FeatureView]) -> FeaturePlan:
    joins = {"customer": "customer_id", "shop": "shop_no"}
    return FeaturePlan(
        service=service,
        project=project,
        entities=(
            PlannedField(name="customer_id", dtype="String"),
            PlannedField(name="shop_no", dtype="Int64"),
        ),
        request=(),
        views=tuple(
            PlannedView(
                name=view.name,
                join_keys=tuple(joins[name] for name in view.entities),
                features=tuple(planned(view.features)),
                ttl_seconds=int(view.ttl.total_seconds()) if view.ttl else 0,
            )
            for view in views
        ),
        transformations=(),
    )


FUNCTION = """
def amounts(inputs):
    pairs = list(zip(inputs["amount"], inputs["paid"], strict=True))
    return {
        "over": [paid / amount if amount else None for amount, paid in pairs],
        "is_more": [int(paid > (amount or 0.0)) for amount, paid in pairs],
    }
"""


def over_amount(view: FeatureView, repo: Path) -> Any:
    """Feast keeps the source of the function, so that it must come of a file."""
    paid = RequestSource(name="payment", schema=[Field(name="paid", dtype=Float64)])
    outputs = [Field(name="over", dtype=Float64), Field(name="is_more", dtype=Int64)]
    decorate = on_demand_feature_view(
        name="against", sources=[paid, view[["amount"]]], schema=outputs, mode="python"
    )
    function = load_transformations(computing(plan_of("", "", []), repo), repo)["against"]
    return decorate(function)


def computing(plan: FeaturePlan, repo: Path) -> FeaturePlan:
    against = PlannedTransformation(
        name="against",
        function="amounts",
        sha256=function_hashes(repo)["amounts"],
        inputs=("paid", "amount"),
        outputs=(
            PlannedField(name="over", dtype="Float64"),
            PlannedField(name="is_more", dtype="Int64"),
        ),
    )
    request = (PlannedField(name="paid", dtype="Float64"),)
    return plan.model_copy(update={"request": request, "transformations": (against,)})


def fill(store: FeatureStore) -> None:
    whole: dict[str, list[Any]] = {name: [value] for name, value in VALUES.items()}
    gaps = whole | {"text": [None], "numbers": [None]}
    store.write_to_online_store("spend", frame("c-1", NOW, whole))
    store.write_to_online_store("spend", frame("c-2", NOW, gaps))
    store.write_to_online_store("spend", frame("c-3", NOW - timedelta(days=4), whole))
    pair: dict[str, list[Any]] = {"shop_no": [42], "joint": [2.5], "amount": [3.5]}
    store.write_to_online_store("pair", frame("c-1", NOW, pair))


def frame(customer: str, at: datetime, values: dict[str, list[Any]]) -> pd.DataFrame:
    return pd.DataFrame({"customer_id": [customer], "event_time": [at], **values})


CUSTOMERS = ["c-1", "nobody", "c-2", "c-3", "c-1"]


async def test_the_answer_is_the_json_of_feasts_own_server(place: Place) -> None:
    body = {"features": FEATURES, "entities": {"customer_id": CUSTOMERS}}
    assert by_name(place.ours(body).json()) == by_name(await place.feasts(body))


async def test_a_service_with_full_names_and_versions_is_answered_alike(place: Place) -> None:
    body = {
        "feature_service": "everything",
        "entities": {"customer_id": CUSTOMERS[:1]},
        "full_feature_names": True,
        "include_feature_view_version_metadata": True,
    }
    ours, feasts = place.ours(body).json(), await place.feasts(body)
    assert by_name(ours) == by_name(feasts)
    views = "feature_view_metadata"
    assert ours["metadata"][views] == feasts["metadata"][views]


@pytest.mark.parametrize(
    "asked",
    [
        {"feature_service": "computed"},
        {"features": ["against:over"]},
        {"features": ["spend:text", "against:is_more"]},
    ],
    ids=["service", "only computed", "some of each"],
)
async def test_what_is_computed_on_demand_is_answered_alike(
    place: Place, asked: dict[str, Any]
) -> None:
    entities = {"customer_id": CUSTOMERS, "paid": [3.0, 1.0, 0.5, 2.0, 0.0]}
    body = asked | {"entities": entities}
    ours, feasts = by_name(place.ours(body).json()), by_name(await place.feasts(body))
    assert ours == feasts
    assert {name for name in ours if name.endswith(("over", "is_more"))}


async def test_with_full_names_computed_features_are_there_which_feast_loses(place: Place) -> None:
    entities = {"customer_id": ["c-1"], "paid": [3.0]}
    body = {"feature_service": "computed", "full_feature_names": True, "entities": entities}
    ours, feasts = by_name(place.ours(body).json()), by_name(await place.feasts(body))
    computed = {name: ours.pop(name)["values"] for name in set(ours) - set(feasts)}
    assert computed == {"against__over": [2.0], "against__is_more": [1]}
    assert ours == feasts


def test_feasts_remote_store_reads_what_is_computed(place: Place) -> None:
    rows = [{"customer_id": "c-1", "paid": 3.0}, {"customer_id": "nobody", "paid": 1.0}]
    service = place.remote.get_feature_service("computed")
    found = place.remote.get_online_features(service, rows).to_dict()
    assert (found["over"], found["is_more"]) == ([2.0, None], [1, 1])


def by_name(answer: Any) -> dict[str, Any]:
    return dict(zip(answer["metadata"]["feature_names"], answer["results"], strict=True))


@pytest.mark.parametrize("features", [FEATURES, ["spend:amount"], ["pair:joint"]])
def test_feasts_remote_store_reads_what_is_stored(place: Place, features: list[str]) -> None:
    asked: list[dict[str, Any]] = [{"customer_id": name} for name in CUSTOMERS]
    if features == ["pair:joint"]:
        asked = [row | {"shop_no": 42} for row in asked]
    found = place.remote.get_online_features(features, asked).to_dict()
    expected = place.store.get_online_features(features, asked).to_dict()
    if "raw" in expected:
        # JSON has no bytes: Feast's client hands on the base64 of its server.
        expected["raw"] = ["/wA=" if value else None for value in expected["raw"]]
    assert _times_as_seconds(found) == _times_as_seconds(expected)


def _times_as_seconds(found: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {
        name: [int(v.timestamp()) if isinstance(v, datetime) else v for v in values]
        for name, values in found.items()
    }


def test_feasts_remote_store_reads_a_feature_service(place: Place) -> None:
    service = place.remote.get_feature_service("everything")
    found = place.remote.get_online_features(service, [{"customer_id": "c-1"}]).to_dict()
    assert (found["amount"], found["count"], found["text"]) == ([1.5], [7], ["서울"])


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"features": ["spend:nothing"]}, 404, "features"),
        ({"features": ["other:amount"]}, 404, "features"),
        ({"features": []}, 422, "features"),
        ({"features": ["spend:amount", "pair:amount"]}, 422, "features"),
        ({"features": [], "feature_service": "nobody"}, 404, "service"),
        ({"entities": {"customer_id": [7]}}, 422, "entities.customer_id[0]"),
        ({"entities": {}}, 422, "entities.customer_id"),
        ({"features": ["against:nothing"]}, 404, "features"),
        ({"features": ["against:over"]}, 422, "entities.paid"),
        (
            {"features": ["against:over"], "entities": {"customer_id": ["c-1"], "paid": ["3"]}},
            422,
            "entities.paid[0]",
        ),
        ({"full_feature_names": "yes"}, 422, "full_feature_names"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(
    place: Place, change: dict[str, Any], status: int, field: str
) -> None:
    body = {"features": ["spend:amount"], "entities": {"customer_id": ["c-1"]}} | change
    answer = place.ours(body)
    assert answer.status_code == status
    assert answer.json()["error"]["field"] == field


def test_without_a_key_nothing_is_read(place: Place) -> None:
    assert httpx.post(place.url + "/get-online-features", json={}).status_code == 401
