"""The inference endpoint over HTTP: Open Inference Protocol v2 and SageMaker's hosting contract."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import version as installed_version
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from mlops.errors import MlopsError
from serving.answers import answer_errors, json_response
from serving.deadline import TIMEOUT, deadline_of
from serving.edge import Edge
from serving.inference.grpc import grpc_server
from serving.inference.infer import INFER_PATHS, InferRoute
from serving.inference.metrics import InferenceMetrics
from serving.inference.plane import DataPlane
from serving.inference.protocol import EXTENSIONS, NAME
from serving.inference.repository import ModelRepository
from serving.inference.sagemaker import parse_invocation, write_scores
from serving.inference.schema import (
    INVOCATION,
    READY,
    SCORES,
    IndexEntry,
    ModelAnswer,
    errors,
    protocol_errors,
)
from serving.inference.scoring import Scorer
from serving.inference.settings import InferenceSettings
from serving.plain import document
from serving.schema import METRICS, Answers
from serving.spans import Tracing
from serving.watching import Look, Lookout


@dataclass(frozen=True)
class InferenceDependencies:
    """All that the app needs, built by `compose` or by a test."""

    repository: ModelRepository
    metrics: InferenceMetrics
    settings: InferenceSettings
    tracing: Tracing | None = None


def create_app(dependencies: InferenceDependencies) -> ASGIApp:
    """The whole service: routes inside the edge that gives ids, limits and logs."""
    settings = dependencies.settings
    plane = build_plane(dependencies)
    app = FastAPI(
        title="Inference",
        version=installed_version("feast-mlops"),
        description="Open Inference Protocol v2 and SageMaker's hosting contract.",
        lifespan=_lifespan(dependencies, plane),
    )
    answer_errors(app)
    _answer_by_protocol(app)
    _add_health(app, plane, dependencies.metrics)
    _add_models(app, plane)
    _add_repository(app, plane)
    _add_sagemaker(app, plane)
    document(app, INFER_PATHS)
    edge = Edge(
        InferRoute(app, plane),
        max_body_bytes=settings.max_body_bytes,
        observe=dependencies.metrics.observe_request,
        tracing=dependencies.tracing,
    )
    dependencies.metrics.watch(
        under_way=lambda: edge.under_way, waiting=lambda: plane.scorer.waiting
    )
    return edge


def build_plane(dependencies: InferenceDependencies) -> DataPlane:
    settings = dependencies.settings
    scorer = Scorer(
        dependencies.metrics,
        workers=settings.workers,
        batch_seconds=settings.batch_seconds,
        max_waiting=settings.max_waiting,
    )
    return DataPlane(dependencies.repository, scorer, dependencies.metrics)


def _lifespan(dependencies: InferenceDependencies, plane: DataPlane) -> Any:
    settings = dependencies.settings

    look = Look("follow deployments", plane.repository.refresh)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.callback(plane.scorer.close)
            await stack.enter_async_context(Lookout([look], seconds=settings.poll_seconds))
            if settings.grpc_port:
                await stack.enter_async_context(grpc_server(plane, settings, dependencies.tracing))
            yield
        if dependencies.tracing is not None:
            await asyncio.to_thread(dependencies.tracing.close)

    return lifespan


def _answer_by_protocol(app: FastAPI) -> None:
    """Under /v2 an error's text stands at the top, as the protocol has it."""
    for kind in (MlopsError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _by_path(app.exception_handlers[kind]))


def _by_path(shaped: Any) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, error: Exception) -> Response:
        usual: Response = await shaped(request, error)
        if not request.url.path.startswith("/v2"):
            return usual
        parts = orjson.loads(usual.body)["error"]
        headers = {k: v for k, v in usual.headers.items() if k == "retry-after"}
        body = {"error": parts.pop("message"), **parts}
        return json_response(body, usual.status_code, headers=headers)

    return answer


def _add_health(app: FastAPI, plane: DataPlane, shown: InferenceMetrics) -> None:
    @app.get("/v2/health/live", tags=["health"])
    @app.get("/healthz", tags=["health"])
    async def live() -> Response:
        """The process runs."""
        return json_response({"live": True})

    @app.get("/v2/health/ready", tags=["health"], responses=READY)
    @app.get("/readyz", tags=["health"], responses=READY)
    async def ready() -> Response:
        """The documents were read and every deployed model has a version that can score."""
        state = plane.readiness()
        return json_response(state, 200 if state["ready"] else 503)

    @app.get("/metrics", tags=["health"], response_class=Response, responses=METRICS)
    async def metrics() -> Response:
        """Prometheus."""
        return Response(generate_latest(shown.registry), media_type=CONTENT_TYPE_LATEST)


def _add_models(app: FastAPI, plane: DataPlane) -> None:
    @app.get("/v2", tags=["protocol v2"])
    async def server() -> Response:
        """Name, version and extensions of this server."""
        body = {"name": NAME, "version": app.version, "extensions": EXTENSIONS}
        return json_response(body)

    described: Answers = {200: {"model": ModelAnswer}, **protocol_errors(404)}

    @app.get("/v2/models/{model}", tags=["protocol v2"], responses=described)
    @app.get("/v2/models/{model}/versions/{version}", tags=["protocol v2"], responses=described)
    async def metadata(model: str, version: str | None = None) -> Response:
        """The model's tensors, and the versions that are loaded."""
        return json_response(plane.metadata(model, version))

    unknown = protocol_errors(404)

    @app.get("/v2/models/{model}/ready", tags=["protocol v2"], responses=unknown)
    @app.get("/v2/models/{model}/versions/{version}/ready", tags=["protocol v2"], responses=unknown)
    async def ready(model: str, version: str | None = None) -> Response:
        """Whether this version can score now."""
        loaded = plane.model(model, version)
        return json_response({"name": model, "version": str(loaded.version), "ready": True})


class IndexRequest(BaseModel):
    """Which versions the index lists."""

    ready: bool = False


def _add_repository(app: FastAPI, plane: DataPlane) -> None:
    tags: list[str | Enum] = ["model repository"]
    listed: Answers = {200: {"model": list[IndexEntry]}, **protocol_errors(413)}

    @app.post("/v2/repository/index", tags=tags, responses=listed)
    async def index(asked: IndexRequest | None = None) -> Response:
        """Every version that is deployed here, and why one is not served."""
        return json_response(plane.index(ready_only=asked is not None and asked.ready))

    @app.post(
        "/v2/repository/models/{model}/load",
        tags=tags,
        responses=protocol_errors(403, 404, 413, 503),
    )
    async def load(model: str) -> Response:
        """Look at the model's deployment now, and try again what failed to load."""
        await plane.load(model)
        return json_response({})

    @app.post(
        "/v2/repository/models/{model}/unload", tags=tags, responses=protocol_errors(403, 413)
    )
    async def unload(model: str) -> Response:
        """Refused: deployments say what is served."""
        plane.unload(model)
        return json_response({})


def _add_sagemaker(app: FastAPI, plane: DataPlane) -> None:
    @app.get("/ping", tags=["sagemaker"], responses=errors(503))
    async def ping() -> Response:
        """200 where there is a model to invoke."""
        plane.only_model()
        return json_response({"ready": True})

    @app.post("/invocations", tags=["sagemaker"], responses=SCORES, openapi_extra=INVOCATION)
    async def invocations(request: Request) -> Response:
        """Score rows of the one deployed model, as JSON, JSON Lines or CSV."""
        since = time.monotonic()
        name, model = plane.only_model()
        deadline = deadline_of(request.headers.get(TIMEOUT), since=since)
        kind = request.headers.get("content-type", "")
        asked = parse_invocation(await request.body(), kind, model)
        request.state.log |= {"model": name, "version": model.version, "rows": asked.rows}
        found = await plane.infer(name, model, asked, deadline=deadline)
        body, media_type = write_scores(
            model.manifest,
            found.outputs[model.answer],
            accept=request.headers.get("accept", ""),
            content_type=kind,
        )
        return Response(body, media_type=media_type)
