"""`python -m tests.benchmarks.inference FOLDER PORT`: our endpoint over FOLDER/model.onnx.

Everything is the endpoint's own; only the bucket is a folder in memory.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mlops.manifest import ModelInput
from mlops.objects import MemoryDocuments
from serving.inference.app import InferenceDependencies, create_app
from serving.inference.metrics import InferenceMetrics
from serving.inference.repository import ModelRepository, bucket_loader
from serving.inference.settings import InferenceSettings
from serving.logs import configure_logging
from serving.server import bind, run
from serving.watching import watch_deployments
from tests.serving_examples import build_manifest, build_plan, deploy, publish, write_repo

WIDTH = 15


def main(folder: Path, port: int) -> None:
    columns = tuple(
        ModelInput(name=f"f{n}", origin="request", source=f"f{n}") for n in range(WIDTH)
    )
    graph = (folder / "model.onnx").read_bytes()
    manifest = build_manifest(build_plan(write_repo(folder / "repo")), graph, columns=columns)
    documents, files = MemoryDocuments(), MemoryDocuments()
    version = publish(files, manifest, graph, version=1, endpoint="forest")
    deploy(documents, version, endpoint="forest")
    metrics, settings = InferenceMetrics(), InferenceSettings()
    repository = ModelRepository(
        watch_deployments(documents),
        bucket_loader(lambda _: files, threads=settings.threads),
        metrics=metrics,
        retire_seconds=settings.retire_seconds,
        retry_seconds=settings.retry_seconds,
    )
    configure_logging(settings.log_level)
    listener = bind("127.0.0.1", port, setting="PORT")
    app = create_app(InferenceDependencies(repository, metrics, settings))
    run(app, listener, drain_seconds=1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
