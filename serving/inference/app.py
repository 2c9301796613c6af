"""The inference endpoint over HTTP: Open Inference Protocol v2 and SageMaker's hosting contract."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from typing import Any

from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp

from mlops.errors import MlopsError, Unavailable
from serving.answers import answer_errors, json_response
from serving.edge import Edge
from serving.errors import InvalidRequest, UnknownModel, describe, headers_of, status_of
from serving.inference.metrics import InferenceMetrics
from serving.inference.model import FloatMatrix, LoadedModel
from serving.inference.protocol import infer_answer, model_metadata, parse_infer
from serving.inference.repository import ModelRepository
from serving.inference.sagemaker import parse_invocation, write_scores
from serving.inference.settings import InferenceSettings
from serving.logs import request_id
from serving.watching import repeating

NAME = "mlops-inference"
INLINE_SECONDS = 0.001
"""A run expected to be shorter stays on the event loop: a thread costs 40 to 80 µs more."""


@dataclass(frozen=True)
class InferenceDependencies:
    """All that the app needs, built by `compose` or by a test."""

    repository: ModelRepository
    metrics: InferenceMetrics
    settings: InferenceSettings


class Scorer:
    """Runs models: short runs at once, long ones on a thread."""

    def __init__(self, metrics: InferenceMetrics, *, workers: int) -> None:
        self._metrics = metrics
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="onnx")

    async def score(self, endpoint: str, model: LoadedModel, rows: FloatMatrix) -> FloatMatrix:
        started = time.perf_counter()
        if model.seconds_per_row * len(rows) <= INLINE_SECONDS:
            probabilities = model.predict(rows)
        else:
            loop = asyncio.get_running_loop()
            probabilities = await loop.run_in_executor(self._pool, model.predict, rows)
        self._metrics.observe_run(
            endpoint, model.version, rows=len(rows), seconds=time.perf_counter() - started
        )
        return probabilities

    def close(self) -> None:
        self._pool.shutdown(wait=True)


def create_app(dependencies: InferenceDependencies) -> ASGIApp:
    """The whole service: routes inside the edge that gives ids, limits and logs."""
    settings = dependencies.settings
    scorer = Scorer(dependencies.metrics, workers=settings.workers)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async def refresh() -> None:
            await asyncio.to_thread(dependencies.repository.refresh)

        async with repeating(refresh, seconds=settings.poll_seconds, name="follow deployments"):
            yield
        scorer.close()

    app = FastAPI(
        title="Inference",
        version=installed_version("feast-mlops"),
        description="Open Inference Protocol v2 and SageMaker's hosting contract.",
        lifespan=lifespan,
    )
    answer_errors(app)
    _answer_by_protocol(app)
    _add_health(app, dependencies)
    _add_models(app, dependencies.repository, scorer)
    _add_sagemaker(app, dependencies.repository, scorer)
    return Edge(
        app,
        max_body_bytes=settings.max_body_bytes,
        observe=dependencies.metrics.observe_request,
    )


def _answer_by_protocol(app: FastAPI) -> None:
    """Under /v2 an error's text stands at the top, as the protocol has it."""
    shaped = app.exception_handlers[MlopsError]

    @app.exception_handler(MlopsError)
    async def by_path(request: Request, error: MlopsError) -> Response:
        response: Response = await shaped(request, error)  # type: ignore[misc]  # it is async
        if not request.url.path.startswith("/v2"):
            return response
        parts = describe(error)
        body = {"error": parts.pop("message"), **parts, "request_id": request_id.get()}
        return json_response(body, status_of(error), headers=headers_of(error))


def _add_health(app: FastAPI, dependencies: InferenceDependencies) -> None:
    repository = dependencies.repository

    @app.get("/v2/health/live", tags=["health"])
    @app.get("/healthz", tags=["health"])
    async def live() -> Response:
        """The process runs."""
        return json_response({"live": True})

    @app.get("/v2/health/ready", tags=["health"])
    @app.get("/readyz", tags=["health"])
    async def ready() -> Response:
        """The documents were read and every deployed model has a version that can score."""
        state = readiness(repository)
        return json_response(state, 200 if state["ready"] else 503)

    @app.get("/metrics", tags=["health"])
    async def metrics() -> Response:
        """Prometheus."""
        return Response(
            generate_latest(dependencies.metrics.registry), media_type=CONTENT_TYPE_LATEST
        )


def readiness(repository: ModelRepository) -> dict[str, Any]:
    """Which models serve which versions, and which versions could not be loaded and why."""
    models = {
        name: {
            "ready": endpoint.is_ready,
            "stable": endpoint.stable,
            "versions": sorted(endpoint.loaded),
            "failed": {str(v): f.reason for v, f in endpoint.failures.items()},
        }
        for name, endpoint in list(repository.endpoints.items())
    }
    ready = repository.is_started and all(model["ready"] for model in models.values())
    return {"ready": ready, "models": models}


def _add_models(app: FastAPI, repository: ModelRepository, scorer: Scorer) -> None:
    @app.get("/v2", tags=["protocol v2"])
    async def server() -> Response:
        """Name, version and extensions of this server."""
        return json_response({"name": NAME, "version": app.version, "extensions": []})

    @app.get("/v2/models/{model}", tags=["protocol v2"])
    @app.get("/v2/models/{model}/versions/{version}", tags=["protocol v2"])
    async def metadata(model: str, version: str | None = None) -> Response:
        """The model's tensors, and the versions that are loaded."""
        loaded = repository.get(model, read_version(version))
        return json_response(model_metadata(model, loaded, repository.endpoints[model].loaded))

    @app.get("/v2/models/{model}/ready", tags=["protocol v2"])
    @app.get("/v2/models/{model}/versions/{version}/ready", tags=["protocol v2"])
    async def ready(model: str, version: str | None = None) -> Response:
        """Whether this version can score now."""
        loaded = repository.get(model, read_version(version))
        return json_response({"name": model, "version": str(loaded.version), "ready": True})

    @app.post("/v2/models/{model}/infer", tags=["protocol v2"])
    @app.post("/v2/models/{model}/versions/{version}/infer", tags=["protocol v2"])
    async def infer(request: Request, model: str, version: str | None = None) -> Response:
        """Score rows: one FP32 tensor [rows, columns] in, probabilities [rows, 2] out."""
        loaded = repository.get(model, read_version(version))
        asked = parse_infer(await request.body(), loaded.manifest)
        request.state.log |= {"model": model, "version": loaded.version, "rows": len(asked.rows)}
        probabilities = await scorer.score(model, loaded, asked.rows)
        return json_response(infer_answer(model, loaded, asked, probabilities))


def _add_sagemaker(app: FastAPI, repository: ModelRepository, scorer: Scorer) -> None:
    @app.get("/ping", tags=["sagemaker"])
    async def ping() -> Response:
        """200 where there is a model to invoke."""
        only_model(repository)
        return json_response({"ready": True})

    @app.post("/invocations", tags=["sagemaker"])
    async def invocations(request: Request) -> Response:
        """Score rows of the one deployed model, as JSON or CSV."""
        name, loaded = only_model(repository)
        kind = request.headers.get("content-type", "")
        rows = parse_invocation(await request.body(), kind, loaded.manifest)
        request.state.log |= {"model": name, "version": loaded.version, "rows": len(rows)}
        probabilities = await scorer.score(name, loaded, rows)
        accept = request.headers.get("accept", "")
        body, media_type = write_scores(probabilities[:, 1].tolist(), accept)
        if isinstance(body, bytes):
            return Response(body, media_type=media_type)
        return json_response(body)


def only_model(repository: ModelRepository) -> tuple[str, LoadedModel]:
    """SageMaker hosts one model per container. Raises UnknownModel, InvalidRequest."""
    ready = [name for name, endpoint in list(repository.endpoints.items()) if endpoint.is_ready]
    if not ready:
        raise Unavailable("No model is loaded yet.")
    if len(ready) > 1:
        raise InvalidRequest(
            f"Several models are deployed here ({', '.join(sorted(ready))}): "
            "use /v2/models/{model}/infer."
        )
    return ready[0], repository.get(ready[0])


def read_version(text: str | None) -> int | None:
    """The registry's version number in a path. Raises UnknownModel for anything else."""
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise UnknownModel(f"There is no version '{text[:20]}'.", field="version")
    return int(text)
