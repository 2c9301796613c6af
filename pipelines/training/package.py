"""What is registered: the manifest, the metrics and the archive beside model.onnx; pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mlops.errors import JobFailed
from mlops.manifest import MANIFEST, MODEL, Distribution, Manifest, ModelInput
from pipelines.datasets.lineage import METADATA
from pipelines.datasets.statistics import describe
from pipelines.training.archive import archive
from pipelines.training.dataset import DatasetCard, Matrix
from pipelines.training.graph import Graph
from pipelines.training.run import Run

METRICS = "metrics.json"
_METADATA_VALUE = 256


def check_parity(difference: float, bound: float) -> None:
    """Raises JobFailed when the graph does not score as the native model does."""
    if not difference <= bound:
        raise JobFailed(
            f"The ONNX graph differs from the native model by up to {difference:.2g}, more than "
            f"{bound:.2g} allows. Look for inputs that float32 cannot hold, or set onnx_bound."
        )


def reference(
    train: Matrix, scores: NDArray[np.float64], inputs: tuple[ModelInput, ...]
) -> dict[str, Distribution]:
    """The inputs' distributions over the training rows, and the score's over the test rows."""
    columns = {column.name: describe(train[:, i]) for i, column in enumerate(inputs)}
    return columns | {"score": describe(scores)}


def build_manifest(
    run: Run,
    card: DatasetCard,
    graph: Graph,
    metrics: Mapping[str, float],
    reference: Mapping[str, Distribution],
    *,
    env: str,
) -> Manifest:
    """The train/serve contract of a graph for an environment; created when its run started."""
    settings, windows = run.model_settings, run.windows
    return Manifest(
        model=run.workflow,
        feature_service=card.feature_service,
        plan_sha256=card.plan_sha256,
        graph_input=graph.input,
        inputs=settings.inputs,
        graph_output=graph.output,
        opset=graph.opset,
        files={MODEL: sha256(graph.body)},
        training_window=windows.train,
        test_window=windows.test,
        data_snapshot=card.data_snapshot,
        dataset=card.dataset,
        code_sha256=run.code_sha256,
        execution=run.execution,
        trained_by=run.trained_by,
        submitted_by=run.submitted_by,
        created=run.started,
        metrics=metrics,
        reference=reference,
        answering=settings.answering,
        rollout=settings.rollout_in(env),
    )


def package_files(graph: Graph, manifest: Manifest) -> dict[str, bytes]:
    """Every file of a version, by name; the same version gives the same bytes."""
    inside = {MODEL: graph.body, MANIFEST: manifest.model_dump_json(indent=1).encode()}
    return inside | {
        METRICS: model_quality(manifest.metrics),
        "model.tar.gz": archive(inside),
    }


def model_quality(metrics: Mapping[str, float]) -> bytes:
    """Metrics in the schema that SageMaker shows in Studio.

    https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-metrics.html
    """
    values = {name: {"value": value} for name, value in metrics.items()}
    return json.dumps({"binary_classification_metrics": values}, indent=1).encode()


def customer_metadata(run: Run, prefix: str, manifest: Manifest, body: bytes) -> dict[str, str]:
    """What the registry keeps of a version beside its files, as SageMaker allows it: short texts.

    body: the manifest's bytes as stored. prefix: s3://bucket/…/ of the version's files.
    """
    texts = {
        "model_prefix": prefix,
        "manifest_sha256": sha256(body),
        "execution": run.execution,
        "trained_by": run.trained_by,
        "submitted_by": run.submitted_by,
        "code_sha256": run.code_sha256,
        "feature_service": manifest.feature_service,
        "data_snapshot": manifest.data_snapshot,
        METADATA: manifest.dataset or "",
        "algorithm": run.model_settings.algorithm,
    }
    numbers = {f"metric_{name}": repr(float(v)) for name, v in manifest.metrics.items()}
    too_long = [name for name, text in texts.items() if len(text) > _METADATA_VALUE]
    if too_long:
        raise JobFailed(f"{', '.join(too_long)}: longer than the registry's {_METADATA_VALUE}")
    return texts | numbers


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
