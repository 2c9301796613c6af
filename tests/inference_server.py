"""The inference endpoint on real ports, over REST and gRPC, in the test's own event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import uvicorn

from mlops.manifest import Manifest
from mlops.objects import MemoryDocuments
from serving.inference.app import InferenceDependencies, create_app
from serving.inference.metrics import InferenceMetrics
from serving.inference.repository import ModelRepository, bucket_loader
from serving.inference.settings import InferenceSettings
from serving.server import configure
from serving.tls import Tls
from serving.watching import watch_deployments
from tests.ports import free_port
from tests.serving_examples import deploy, publish


@dataclass(frozen=True)
class Addresses:
    """host:port of each protocol."""

    http: str
    grpc: str


@asynccontextmanager
async def inference_server(
    models: Mapping[str, tuple[Manifest, bytes]], *, tls: Tls | None = None
) -> AsyncIterator[Addresses]:
    """Version 1 of each model, by endpoint, loaded and ready."""
    documents, files = MemoryDocuments(), MemoryDocuments()
    for endpoint, (manifest, graph) in models.items():
        deploy(
            documents,
            publish(files, manifest, graph, version=1, endpoint=endpoint),
            endpoint=endpoint,
        )
    metrics = InferenceMetrics()
    repository = ModelRepository(
        watch_deployments(documents),
        bucket_loader(lambda _: files, threads=1),
        metrics=metrics,
        retire_seconds=10.0,
        retry_seconds=0.0,
    )
    listener = socket.create_server(("127.0.0.1", 0))
    settings = InferenceSettings(
        poll_seconds=3600,
        grpc_port=free_port(),
        tls_certificate_file=tls and tls.certificate,
        tls_key_file=tls and tls.key,
        tls_clients_ca_file=tls and tls.clients_ca,
    )
    app = create_app(InferenceDependencies(repository, metrics, settings))
    server = uvicorn.Server(configure(app, drain_seconds=1, tls=tls))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        assert not serving.done(), "the server did not start"
        await asyncio.sleep(0.01)
    try:
        port = listener.getsockname()[1]
        yield Addresses(f"127.0.0.1:{port}", f"127.0.0.1:{settings.grpc_port}")
    finally:
        server.should_exit = True
        await serving
