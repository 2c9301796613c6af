"""The export job: ONNX, its parity with the native model, the manifest, what is registered."""

from __future__ import annotations

import json
import logging

from mlops.aws import Aws
from mlops.manifest import MANIFEST, Manifest
from mlops.objects import S3Documents
from mlops.registry.opening import open_registry
from mlops.registry.report import REPORT
from mlops.registry.scorecard import METADATA, SCORECARD, Examination, Scorecard
from mlops.settings import load_settings
from pipelines.training import layout
from pipelines.training.comparison import EVALUATION, Evaluation
from pipelines.training.container import Container, run_step
from pipelines.training.dataset import DATASET, DatasetCard, read_rows, to_matrix
from pipelines.training.graph import Graph, to_graph
from pipelines.training.metrics import largest_difference
from pipelines.training.native import load_native, native_scores
from pipelines.training.package import (
    build_manifest,
    check_parity,
    customer_metadata,
    package_files,
    reference,
    sha256,
)
from pipelines.training.report import write_report
from pipelines.training.run import Run, read_run
from pipelines.training.scorecard import EXAMINATION, time_rows
from pipelines.training.steps import COMPARISON, REGISTRATION
from pipelines.training.tracking import Tracking

_log = logging.getLogger(__name__)


def _export(container: Container) -> None:
    run = read_run(container.input("run"))
    evaluation = Evaluation.model_validate_json(
        (container.input("evaluation") / EVALUATION).read_bytes()
    )
    settings = load_settings()
    graph, manifest = _contract(container, run, evaluation, env=settings.env)
    card = _scorecard(container, run, graph)
    files = package_files(graph, manifest) | {SCORECARD: card.model_dump_json(indent=1).encode()}
    aws, bucket = Aws(region=settings.region), settings.names.artifact_bucket
    registry, documents = open_registry(settings, aws), S3Documents(aws, bucket)
    report = write_report(run, manifest, card, registry, documents, bucket)
    files[REPORT] = report.html
    for name, body in files.items():
        (container.output("model") / name).write_bytes(body)
    prefix = f"s3://{bucket}/{layout.model_prefix(run.workflow, run.name)}"
    registration = customer_metadata(run, prefix, manifest, files[MANIFEST])
    registration |= {METADATA: sha256(files[SCORECARD]), "report": prefix + REPORT}
    said = {"lines": report.comparison, "report": prefix + REPORT}
    for name, document in ((REGISTRATION, registration), (COMPARISON, said)):
        path = container.output("registration") / name
        path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    new = {k: v for k, v in manifest.metrics.items() if k not in evaluation.metrics}
    Tracking(settings, aws).finish(
        evaluation.tracking_run, graph, new, dataset=manifest.dataset or ""
    )


def _contract(
    container: Container, run: Run, evaluation: Evaluation, *, env: str
) -> tuple[Graph, Manifest]:
    """Convert, compare on every test row, and describe."""
    settings = run.model_settings
    card = DatasetCard.model_validate_json((container.input("dataset") / DATASET).read_bytes())
    train = to_matrix(read_rows(container.input("train")), settings.inputs)
    test = to_matrix(read_rows(container.input("test")), settings.inputs)
    native = load_native(container.input("model"))
    graph = to_graph(native, width=len(settings.inputs), name=run.workflow)
    scores = graph.scores(test)
    difference = largest_difference(scores, native_scores(native, test))
    _log.info("the graph differs from the native model by at most %.3g", difference)
    check_parity(difference, settings.onnx_bound)
    metrics = {
        **evaluation.metrics,
        "onnx_max_difference": difference,
        "train_rows": card.train_rows,
        "train_positives": card.train_positives,
        "test_rows": card.test_rows,
        "test_positives": card.test_positives,
    }
    distributions = reference(train, scores, settings.inputs)
    return graph, build_manifest(run, card, graph, metrics, distributions, env=env)


def _scorecard(container: Container, run: Run, graph: Graph) -> Scorecard:
    """The test of the evaluate job, with what the graph costs to serve."""
    test = Examination.model_validate_json(
        (container.input("evaluation") / EXAMINATION).read_bytes()
    )
    rows = to_matrix(read_rows(container.input("test")), run.model_settings.inputs)
    return Scorecard(
        **dict(test),
        model=run.workflow,
        latency=time_rows(graph, rows),
        model_bytes=len(graph.body),
    )


if __name__ == "__main__":
    run_step(_export)
