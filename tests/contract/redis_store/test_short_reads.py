"""Feature reads without a task of their own answer as the app does, and leave it the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import pyarrow as pa
import pytest

from mlops.clock import FixedClock
from mlops.plan import FeaturePlan, PlannedField, PlannedView
from mlops.stores.redis.async_link import open_async_link
from mlops.stores.redis.batches import Batch
from mlops.stores.redis.link import Link
from mlops.stores.redis.reading import RedisFeatures
from mlops.stores.redis.target import RedisTarget
from mlops.stores.redis.views import stored_view
from mlops.stores.redis.writing import OnlineWriter
from serving.edge import Edge
from serving.proxy.app import ProxyDependencies, create_app
from serving.proxy.callers import Caller
from serving.proxy.keys import ApiKeys, CallerRate
from tests.feature_proxy import build_dependencies
from tests.serving_processes import MemoryKeys

AT = datetime(2018, 8, 8, tzinfo=UTC)
CUSTOMER = PlannedField(name="customer_id", dtype="String")
FEATURES = (PlannedField(name="count", dtype="Int64"), PlannedField(name="mean", dtype="Float64"))
URL, ID = "/v1/features/spend:read", "order-17"


@dataclass
class Asked:
    """A request that came whole, and what became of it (`serving.shortcuts.Exchange`)."""

    scope: dict[str, Any]
    body: bytes
    is_open: bool = True
    is_left: bool = False
    answers: list[tuple[int, bytes, dict[bytes, bytes]]] = field(default_factory=list)
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    def write(self, status: int, lines: bytes, body: bytes) -> bool:
        if not self.is_open:
            return False
        headers = dict(line.split(b": ", 1) for line in lines.removesuffix(b"\r\n").split(b"\r\n"))
        self.answers.append((status, body, headers))
        self.settled.set()
        return True

    def leave(self, **state: Any) -> None:
        self.is_left = True
        self.settled.set()


@dataclass
class Proxy:
    """The proxy in this process, by its shortcut and by its app."""

    edge: Edge
    dependencies: ProxyDependencies
    store: RedisFeatures
    keys: MemoryKeys
    key: str
    app: httpx.AsyncClient

    def asked(
        self, entities: Any, headers: Mapping[str, str] | None = None, query: str = "", **more: Any
    ) -> Asked:
        lines = {"x-api-key": self.key, "x-request-id": ID} | dict(headers or {})
        path, _, _ = URL.partition("?")
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in lines.items()],
            "state": {},
        }
        return Asked(scope | more, orjson.dumps({"entities": entities}))

    async def by_app(self, asked: Asked) -> tuple[int, bytes]:
        headers = [(name, value) for name, value in asked.scope["headers"]]
        query = asked.scope["query_string"].decode()
        answer = await self.app.post(f"{URL}?{query}", content=asked.body, headers=headers)
        return answer.status_code, answer.content

    def takes(self, asked: Asked) -> bool:
        """Whether there is a way for it, which takes it."""
        way = self.edge.way(asked.scope)
        return way is not None and way.take(asked)

    async def by_shortcut(self, asked: Asked) -> Asked:
        """It must be taken."""
        assert self.takes(asked)
        await asyncio.wait_for(asked.settled.wait(), 5)
        return asked


@pytest.fixture
async def proxy(target: RedisTarget, link: Link, project: str) -> AsyncIterator[Proxy]:
    view = PlannedView(name="spend", join_keys=("customer_id",), features=FEATURES, ttl_seconds=0)
    plan = FeaturePlan(
        service="spend",
        project=project,
        entities=(CUSTOMER,),
        request=(),
        views=(view,),
        transformations=(),
    )
    stored = stored_view(project, "spend", join_keys=[CUSTOMER], features=FEATURES, ttl_seconds=0)
    rows = pa.record_batch(
        {
            "customer_id": ["c1", "c2", "c3"],
            "count": pa.array([1, 2, None], pa.int64()),
            "mean": [0.5, 1.5, 2.5],
            "event_time": pa.array([AT] * 3, pa.timestamp("us", "UTC")),
        }
    )
    OnlineWriter(link, FixedClock(AT)).write(Batch(stored, rows, "event_time"))
    keys, key = ApiKeys().add(
        "shop", now=AT, permissions=["read:spend"], rate=CallerRate(per_second=0.01, burst=50)
    )
    store = RedisFeatures(open_async_link(target))
    registered = MemoryKeys(keys)
    dependencies = build_dependencies(store, [plan], registered, FixedClock(AT))
    await dependencies.doorkeeper.refresh()
    dependencies.services.follow({"spend": plan})
    edge = create_app(dependencies)
    transport = httpx.ASGITransport(edge)
    async with httpx.AsyncClient(transport=transport, base_url="http://proxy") as app:
        found = Proxy(edge, dependencies, store, registered, key, app)
        assert await found.by_app(found.asked({"customer_id": ["c1"]}))  # it connects
        yield found
    await store.close()


@pytest.mark.parametrize("query", ["", "statuses=false", "event_times=false"])
@pytest.mark.parametrize("ids", [["c1"], ["c1", "c2"], ["c3"], ["nobody", "c1"], ["c1"] * 20])
async def test_the_answer_is_the_apps(proxy: Proxy, ids: list[str], query: str) -> None:
    asked = await proxy.by_shortcut(proxy.asked({"customer_id": ids}, query=query))
    ((status, body, headers),) = asked.answers
    assert (status, body) == await proxy.by_app(asked)
    assert headers[b"x-request-id"] == ID.encode()
    assert headers[b"content-length"] == b"%d" % len(body)


@pytest.mark.parametrize(
    ("entities", "headers", "more", "status"),
    [
        ({"customer_id": ["c1"]}, {"x-api-key": "wrong"}, {}, 401),
        ({"customer_id": ["c1", ""]}, {}, {}, 200),
        ({"customer_id": [""]}, {}, {}, 422),
        ({"customer_id": "c1"}, {}, {}, 422),
        ({"customer_id": ["c1"]}, {"x-request-timeout-ms": "soon"}, {}, 422),
        ({"customer_id": ["c1"]}, {}, {"query_string": b"statuses=perhaps"}, 422),
    ],
)
async def test_what_is_not_as_it_should_be_is_the_apps(
    proxy: Proxy, entities: Any, headers: dict[str, str], more: dict[str, Any], status: int
) -> None:
    asked = proxy.asked(entities, headers, **more)
    assert not proxy.takes(asked)
    assert proxy.edge.under_way == 0
    assert (await proxy.by_app(asked))[0] == status


async def test_a_way_that_is_kept_is_closed_to_a_caller_that_is_no_more(proxy: Proxy) -> None:
    asked = proxy.asked({"customer_id": ["c1"]})
    way = proxy.edge.way(asked.scope)
    assert way is not None
    assert way.take(asked)
    keys = proxy.keys.load()
    proxy.keys.save(keys.remove("shop"))
    await proxy.dependencies.doorkeeper.refresh()
    assert not way.take(proxy.asked({"customer_id": ["c1"]}))
    assert (await proxy.by_app(asked))[0] == 401
    proxy.keys.save(keys)
    await proxy.dependencies.doorkeeper.refresh()
    assert way.take(proxy.asked({"customer_id": ["c1"]}))


async def test_a_way_that_is_kept_is_closed_where_features_become_personal(proxy: Proxy) -> None:
    asked, services = proxy.asked({"customer_id": ["c1"]}), proxy.dependencies.services
    way, plan = proxy.edge.way(asked.scope), services.get("spend").plan
    assert way is not None
    assert way.take(asked)
    personal = [field.model_copy(update={"pii": True}) for field in FEATURES]
    view = plan.views[0].model_copy(update={"features": tuple(personal)})
    services.follow({"spend": plan.model_copy(update={"views": (view,)})})
    assert not way.take(proxy.asked({"customer_id": ["c1"]}))
    assert (await proxy.by_app(asked))[0] == 403
    services.follow({})
    assert not way.take(proxy.asked({"customer_id": ["c1"]}))


async def test_a_token_is_looked_at_for_every_request(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    doorkeeper, seen = proxy.dependencies.doorkeeper, list[str | None]()
    caller = doorkeeper.recognize(proxy.key, None)

    def recognize(key: str | None, authorization: str | None) -> Caller:
        seen.append(authorization)
        return caller

    monkeypatch.setattr(doorkeeper, "recognize", recognize)
    headers = {"x-api-key": "", "authorization": "Bearer t"}
    way = proxy.edge.way(proxy.asked({}, headers).scope)
    assert way is not None
    for _ in range(2):
        assert way.take(proxy.asked({"customer_id": ["c1"]}, headers))
    assert seen == ["Bearer t"] * 2


@pytest.mark.parametrize("more", [{"method": "GET"}, {"path": "/v1/features/other:read"}])
async def test_other_requests_are_the_apps(proxy: Proxy, more: dict[str, Any]) -> None:
    assert not proxy.takes(proxy.asked({"customer_id": ["c1"]}, **more))


async def test_a_caller_asks_no_more_often_than_it_may(proxy: Proxy) -> None:
    taken = [proxy.takes(proxy.asked({"customer_id": ["c1"]})) for _ in range(60)]
    assert sum(taken) == 49  # of a burst of 50; the fixture asked once


async def test_a_read_that_is_lost_on_its_way_is_the_apps(proxy: Proxy) -> None:
    asked = proxy.asked({"customer_id": ["c1"]})
    assert proxy.takes(asked)
    proxy.store.link.reads.close()  # type: ignore[attr-defined]  # as when Redis goes
    await asyncio.wait_for(asked.settled.wait(), 5)
    assert asked.is_left
    assert not asked.answers
    assert (await proxy.by_app(asked))[0] == 200


async def test_without_an_open_connection_to_redis_the_app_waits_for_one(proxy: Proxy) -> None:
    proxy.store.link.reads.close()  # type: ignore[attr-defined]  # as when Redis goes
    assert not proxy.takes(proxy.asked({"customer_id": ["c1"]}))


async def test_what_is_late_is_a_504_and_answered_once(proxy: Proxy) -> None:
    asked = proxy.asked({"customer_id": ["c1"]}, {"x-request-timeout-ms": "0.0001"})
    asked = await proxy.by_shortcut(asked)
    await asyncio.sleep(0.05)
    ((status, body, _),) = asked.answers
    assert (status, orjson.loads(body)["error"]["code"]) == (504, "deadline_exceeded")
    assert not asked.is_left


async def test_a_caller_that_does_not_read_is_left_to_the_app_which_waits(proxy: Proxy) -> None:
    asked = proxy.asked({"customer_id": ["c1"]})
    asked.is_open = False
    await proxy.by_shortcut(asked)
    assert asked.is_left


async def test_it_is_counted_and_logged_like_any_other(proxy: Proxy) -> None:
    metrics = proxy.dependencies.metrics.registry
    labels = {"route": "/v1/features/{service}:read", "method": "POST", "status": "200"}

    def counted() -> float:
        return metrics.get_sample_value("mlops_proxy_requests_total", labels) or 0

    before = counted()
    await proxy.by_shortcut(proxy.asked({"customer_id": ["c1"]}))
    assert counted() == before + 1
    assert proxy.edge.under_way == 0
    rows = {"view": "spend", "status": "PRESENT"}
    assert metrics.get_sample_value("mlops_proxy_read_rows_total", rows) == 2
