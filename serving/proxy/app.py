"""The proxy over HTTP: a thin shell round the predictor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from typing import Any

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from mlops.downsync.flow import Flow
from mlops.downsync.log import EventLog
from mlops.downsync.push import Pusher
from mlops.errors import MlopsError
from mlops.stores.online import OnlineStore
from serving.answers import answer_errors, json_response
from serving.edge import Edge
from serving.plain import document
from serving.proxy.doorkeeper import Doorkeeper
from serving.proxy.feast_route import FeastRoute
from serving.proxy.feature_services import FeatureServices
from serving.proxy.metrics import ProxyMetrics
from serving.proxy.predict import Predictor
from serving.proxy.predict_route import PredictRoute
from serving.proxy.pushing import add_push
from serving.proxy.read_log import ReadLog
from serving.proxy.read_route import FeatureReads, ReadRoute
from serving.proxy.read_schema import READ_PATHS
from serving.proxy.schema import PREDICT_MODELS, PREDICT_PATHS, READY
from serving.proxy.settings import ProxySettings
from serving.proxy.short_reads import ShortReads
from serving.schema import METRICS
from serving.spans import Tracing
from serving.watching import DocumentWatcher, Look, Lookout, repeating

_CHECK_SECONDS = 2.0
"""How long readiness waits for what it asks."""


@dataclass(frozen=True)
class Downsync:
    """The way of values to the offline store."""

    flows: DocumentWatcher[Flow]
    log: EventLog
    pusher: Pusher


@dataclass(frozen=True)
class ProxyDependencies:
    """All that the app needs, built by `compose` or by a test."""

    predictor: Predictor
    services: FeatureServices
    store: OnlineStore
    doorkeeper: Doorkeeper
    metrics: ProxyMetrics
    downsync: Downsync
    settings: ProxySettings
    tracing: Tracing | None = None


def create_app(dependencies: ProxyDependencies) -> Edge:
    """The whole service: routes inside the edge that gives ids, limits and logs.

    Its `way` is the shortcut of feature reads; the app answers them, too.
    """
    app = FastAPI(
        title="Predictions",
        version=installed_version("feast-mlops"),
        description="Scores by entity ids: the proxy finds the features and asks the model.",
        lifespan=_lifespan(dependencies),
    )
    answer_errors(app)
    _add_health(app, dependencies)
    add_push(
        app,
        dependencies.downsync.pusher,
        dependencies.doorkeeper,
        dependencies.metrics,
        dependencies.settings,
    )
    document(app, PREDICT_PATHS | READ_PATHS, PREDICT_MODELS)
    reads = build_reads(dependencies)
    predicting = PredictRoute(
        app, dependencies.predictor, dependencies.doorkeeper, dependencies.settings
    )
    edge = Edge(
        ReadRoute(FeastRoute(predicting, reads), reads),
        max_body_bytes=dependencies.settings.max_body_bytes,
        observe=dependencies.metrics.observe_request,
        tracing=dependencies.tracing,
        shortcut=ShortReads(reads),
    )
    dependencies.metrics.watch(lambda: edge.under_way)
    return edge


def build_reads(dependencies: ProxyDependencies) -> FeatureReads:
    """Feature reads, whatever protocol asks for them."""
    return FeatureReads(
        dependencies.services,
        dependencies.doorkeeper,
        dependencies.predictor.clock,
        dependencies.settings.max_rows,
        ReadLog(dependencies.downsync.flows.current, dependencies.downsync.log),
        dependencies.metrics.reads,
    )


def _lifespan(dependencies: ProxyDependencies) -> Any:
    settings, catalog = dependencies.settings, dependencies.predictor.catalog
    producer = dependencies.downsync.log.producer

    def followed() -> None:
        dependencies.services.follow(catalog.plans.current)
        dependencies.metrics.show_endpoints(catalog.state())

    catalog.listeners.append(followed)

    async def observe() -> None:
        await dependencies.predictor.observer.write(catalog)

    looks = [
        Look("follow deployments", catalog.look, catalog.follow),
        Look("follow flows", dependencies.downsync.flows.refresh),
    ]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        keys = dependencies.doorkeeper.refresh
        async with (
            repeating(keys, seconds=settings.keys_poll_seconds, name="read API keys"),
            Lookout(looks, seconds=settings.poll_seconds),
            repeating(observe, seconds=settings.observe_seconds, name="write figures"),
            _grpc(dependencies),
        ):
            yield
        await asyncio.to_thread(producer.close, settings.downsync_drain_seconds)
        await dependencies.predictor.shadows.close()
        await dependencies.predictor.features.close()
        await dependencies.predictor.inference.close()
        await dependencies.store.close()
        await asyncio.to_thread(dependencies.downsync.pusher.writer.close)
        if dependencies.tracing is not None:
            await asyncio.to_thread(dependencies.tracing.close)

    return lifespan


def _grpc(dependencies: ProxyDependencies) -> AbstractAsyncContextManager[None]:
    """Feature reads over gRPC, where there is a port for them."""
    settings, metrics = dependencies.settings, dependencies.metrics
    if not settings.grpc_port:
        return nullcontext()
    from serving.proxy.read_grpc import grpc_reads  # noqa: PLC0415  # gRPC takes 10 MB

    reads = build_reads(dependencies)
    return grpc_reads(reads, metrics.observe_request, settings, dependencies.tracing)


def _add_health(app: FastAPI, dependencies: ProxyDependencies) -> None:
    @app.get("/healthz", tags=["health"])
    async def healthz() -> Response:
        """The process runs."""
        return json_response({"live": True})

    @app.get("/readyz", tags=["health"], responses=READY)
    async def readyz() -> Response:
        """Redis and inference answer now, and every deployed model has a version that fits."""
        state = await readiness(dependencies)
        return json_response(state, 200 if state["ready"] else 503)

    @app.get("/metrics", tags=["health"], response_class=Response, responses=METRICS)
    async def metrics() -> Response:
        """Prometheus."""
        return Response(
            generate_latest(dependencies.metrics.registry), media_type=CONTENT_TYPE_LATEST
        )


async def readiness(dependencies: ProxyDependencies) -> dict[str, Any]:
    """What the proxy leans on, asked now, and what it serves."""
    predictor, doorkeeper = dependencies.predictor, dependencies.doorkeeper
    redis, inference = await asyncio.gather(
        _check(dependencies.store.ping()), _check(predictor.inference.ping())
    )
    models = predictor.catalog.state()
    ready = (
        redis is None
        and inference is None
        and bool(models)
        and all(model["ready"] for model in models.values())
    )
    return {
        "ready": ready,
        "redis": redis or "ok",
        "inference": inference or "ok",
        "models": models or "nothing is deployed; approve a version: 'mlops models approve'",
        "api_keys": doorkeeper.problem or "ok",
    }


async def _check(asked: Awaitable[None]) -> str | None:
    """What is wrong, or None."""
    try:
        await asyncio.wait_for(asked, _CHECK_SECONDS)
    except MlopsError as exc:
        return str(exc)
    except TimeoutError:
        return f"no answer within {_CHECK_SECONDS:g} s"
    return None
