"""Both services inside the test's process, wired to each other and to fakes of the rest."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from mlops.clock import FixedClock
from mlops.deployment import DeployedVersion
from mlops.downsync.log import EventLog
from mlops.downsync.online import MemoryWriter
from mlops.downsync.producer import Producer, ProducerLimits
from mlops.downsync.push import Pusher
from mlops.downsync.stream import MemorySink
from mlops.objects import MemoryDocuments
from mlops.plan import FeaturePlan, save_plan
from mlops.stores.online import MemoryOnlineStore
from serving.downsync_metrics import DownsyncMetrics
from serving.edge import Edge
from serving.http import HttpAnswer
from serving.inference.app import InferenceDependencies
from serving.inference.app import create_app as create_inference
from serving.inference.metrics import InferenceMetrics
from serving.inference.repository import ModelRepository, bucket_loader
from serving.inference.settings import InferenceSettings
from serving.proxy.app import Downsync, ProxyDependencies
from serving.proxy.app import create_app as create_proxy
from serving.proxy.catalog import Catalog, watch_plans
from serving.proxy.doorkeeper import Doorkeeper
from serving.proxy.feature_services import FeatureServices
from serving.proxy.inference import HttpInference
from serving.proxy.joined import JoinedInference
from serving.proxy.keys import ApiKeys
from serving.proxy.metrics import ProxyMetrics
from serving.proxy.observing import Observer
from serving.proxy.predict import Bounds, Predictor
from serving.proxy.served_log import ServedLog, watch_flows
from serving.proxy.settings import ProxySettings
from serving.spans import Tracing
from serving.watching import watch_deployments
from tests.serving_examples import (
    INSTANCE,
    NOW,
    build_manifest,
    build_plan,
    deploy,
    onnx_model,
    publish,
    write_repo,
)


@dataclass
class MemoryKeys:
    """A key store in memory."""

    stored: ApiKeys = field(default_factory=ApiKeys)
    down: Exception | None = None

    def load(self) -> ApiKeys:
        if self.down:
            raise self.down
        return self.stored

    def save(self, keys: ApiKeys) -> None:
        self.stored = keys


class BreakableWay:
    """The way from the proxy to inference, inside the process; a test may cut it."""

    def __init__(self, app: Any) -> None:
        self._client = client_of(app, "http://inference")
        self.cut: Exception | None = None
        self.headers: Mapping[str, str] = {}
        """Those of the last request."""

    async def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> HttpAnswer:
        if self.cut:
            raise self.cut
        self.headers = headers or {}
        answer = await self._client.request(method, path, headers=headers, content=body)
        named = {name.lower(): value for name, value in answer.headers.raw}
        return HttpAnswer(answer.status_code, answer.content, named)

    async def close(self) -> None:
        await self._client.aclose()


@dataclass
class Services:
    """The two services, what they stand on, and a caller with a key."""

    documents: MemoryDocuments
    models: MemoryDocuments
    plan: FeaturePlan
    store: MemoryOnlineStore
    keys: MemoryKeys
    repository: ModelRepository
    catalog: Catalog
    way: BreakableWay
    sink: MemorySink
    downsync: Downsync
    doorkeeper: Doorkeeper
    feature_services: FeatureServices
    proxy: httpx.AsyncClient
    inference: httpx.AsyncClient
    predictor: Predictor
    metrics: ProxyMetrics

    def publish(self, version: int, **changes: Any) -> DeployedVersion:
        """A version of its own weights; `changes` go into its manifest."""
        graph = onnx_model(seed=version)
        manifest = build_manifest(self.plan, graph, **changes)
        return publish(self.models, manifest, graph, version=version)

    def deploy(
        self, version: DeployedVersion | None, *history: DeployedVersion, **changes: Any
    ) -> None:
        deploy(self.documents, version, history=history, **changes)

    async def follow(self) -> None:
        """What the polling loops do."""
        self.repository.refresh()
        self.downsync.flows.refresh()
        await self.catalog.refresh()
        self.feature_services.follow(self.catalog.plans.current)

    async def predict(
        self, *instances: Any, explain: bool = False, **headers: str
    ) -> httpx.Response:
        return await self.proxy.post(
            "/v1/models/fraud:predict",
            json={"instances": list(instances or [INSTANCE])},
            params={"explain": "features"} if explain else {},
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )


def fill(store: MemoryOnlineStore) -> None:
    """Features of customer c1 and terminal t1."""
    store.put("spend", ("c1",), NOW, {"payments": 4, "mean_amount": 10.0, "unused": 1.0})
    store.put("risk", ("t1",), NOW, {"risk": 0.1})


@asynccontextmanager
async def serving(
    folder: Path,
    *,
    limits: dict[str, Any] | None = None,
    retire_seconds: float = 10.0,
    budget_bytes: int | None = None,
    tracing: Callable[[str], Tracing] | None = None,
    bounds: dict[str, Any] | None = None,
) -> AsyncIterator[Services]:
    """Version 1 deployed, loaded and active; the loops stand still: `follow` moves them."""
    repo = write_repo(folder)
    plan, documents, models = build_plan(repo), MemoryDocuments(), MemoryDocuments()
    save_plan(documents, plan)
    metrics = InferenceMetrics()
    repository = ModelRepository(
        watch_deployments(documents),
        bucket_loader(lambda _: models, threads=1),
        metrics=metrics,
        retire_seconds=retire_seconds,
        retry_seconds=0.0,
        budget_bytes=budget_bytes,
    )
    inference = create_inference(
        InferenceDependencies(
            repository,
            metrics,
            InferenceSettings(poll_seconds=3600),
            tracing("inference") if tracing else None,
        )
    )
    way = BreakableWay(inference)
    port = JoinedInference(HttpInference(way))
    store, keys = MemoryOnlineStore(), MemoryKeys()
    fill(store)
    keys.stored, key = keys.stored.add(
        "tester", now=datetime(2018, 1, 1, tzinfo=UTC), permissions=("predict", "read:*")
    )
    catalog = Catalog(
        watch_deployments(documents), watch_plans(documents), lambda _: models, store, port, repo
    )
    catalog.retry_seconds = 0.0
    proxy_metrics, clock, sink = ProxyMetrics(), FixedClock(NOW), MemorySink()
    producer = Producer(sink, limits=ProducerLimits(flush_seconds=0.01))
    flows, log = watch_flows(documents), EventLog(producer)
    downsync = Downsync(flows, log, Pusher(flows.current, MemoryWriter(store), log, clock))
    proxy_metrics.registry.register(DownsyncMetrics(log))
    served = ServedLog(flows.current, log, clock)
    feature_services = FeatureServices(store, repo)
    doorkeeper = Doorkeeper(keys, pause_seconds=0.0)
    predictor = Predictor(
        catalog,
        port,
        clock,
        proxy_metrics,
        served,
        Observer(documents),
        Bounds(**{"timeout_ms": 60_000} | (bounds or {})),
    )
    proxy = create_proxy(
        ProxyDependencies(
            predictor,
            feature_services,
            store,
            doorkeeper,
            proxy_metrics,
            downsync,
            ProxySettings(poll_seconds=3600, keys_poll_seconds=3600, **limits or {}),
            tracing("proxy") if tracing else None,
        )
    )
    async with AsyncExitStack() as stack:
        services = Services(
            documents,
            models,
            plan,
            store,
            keys,
            repository,
            catalog,
            way,
            sink,
            downsync,
            doorkeeper,
            feature_services,
            await stack.enter_async_context(
                client_of(proxy, "http://proxy", headers={"X-Api-Key": key})
            ),
            await stack.enter_async_context(client_of(inference, "http://inference")),
            predictor,
            proxy_metrics,
        )
        services.deploy(services.publish(1))
        for app in (inference, proxy):
            await stack.enter_async_context(running(app))
        await services.follow()
        yield services


def client_of(app: Any, url: str, **options: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url=url, **options
    )


@asynccontextmanager
async def running(app: Any) -> AsyncIterator[None]:
    """The app's lifespan."""
    assert isinstance(app, Edge)
    inner: Any = app.app
    while not hasattr(inner, "router"):
        inner = inner.app
    async with inner.router.lifespan_context(inner):
        yield
