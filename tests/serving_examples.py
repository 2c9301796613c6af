"""A small feature service, models for it, and an endpoint that they are deployed to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mlops.deployment import DeployedVersion, Deployment, deployment_key
from mlops.manifest import MANIFEST, MODEL, Manifest, ModelInput, Window
from mlops.objects import Documents
from mlops.plan import (
    TRANSFORMATIONS,
    FeaturePlan,
    PlannedField,
    PlannedTransformation,
    PlannedView,
    function_hashes,
)

NOW = datetime(2018, 8, 8, tzinfo=UTC)
BUCKET = "models"
OPSET = 17

SOURCE = '''
def context(inputs):
    """The amount in relation to the customer's mean."""
    pairs = zip(inputs["amount"], inputs["mean_amount"], strict=True)
    return {
        "over_mean": [amount / mean if mean else 0.0 for amount, mean in pairs],
        "is_night": [int(time.hour <= 6) for time in inputs["event_time"]],
    }
'''

COLUMNS = (
    ModelInput(name="amount", origin="request", source="amount"),
    ModelInput(name="payments", origin="feature", source="spend:payments"),
    ModelInput(name="mean_amount", origin="feature", source="spend:mean_amount"),
    ModelInput(
        name="risk", origin="feature", source="risk:risk", on_missing="default", default=0.25
    ),
    ModelInput(name="over_mean", origin="on_demand", source="context:over_mean"),
    ModelInput(name="is_night", origin="on_demand", source="context:is_night"),
)

INSTANCE = {
    "customer_id": "c1",
    "terminal_id": "t1",
    "amount": 12.5,
    "event_time": "2018-08-08T05:00:00Z",
}


def write_repo(folder: Path, source: str = SOURCE) -> Path:
    """A feature repo that holds the on-demand function."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TRANSFORMATIONS).write_text(source)
    return folder


def build_plan(repo: Path) -> FeaturePlan:
    return FeaturePlan(
        service="payments_v1",
        project="shop",
        entities=(
            PlannedField(name="customer_id", dtype="String", pii=True),
            PlannedField(name="terminal_id", dtype="String"),
        ),
        request=(
            PlannedField(name="amount", dtype="Float64"),
            PlannedField(name="event_time", dtype="UnixTimestamp"),
        ),
        views=(
            PlannedView(
                name="spend",
                join_keys=("customer_id",),
                features=(
                    PlannedField(name="payments", dtype="Int64"),
                    PlannedField(name="mean_amount", dtype="Float64"),
                    PlannedField(name="unused", dtype="Float64"),
                ),
                ttl_seconds=3 * 86400,
            ),
            PlannedView(
                name="risk",
                join_keys=("terminal_id",),
                features=(PlannedField(name="risk", dtype="Float64"),),
                ttl_seconds=3 * 86400,
            ),
        ),
        transformations=(
            PlannedTransformation(
                name="context",
                function="context",
                sha256=function_hashes(repo)["context"],
                inputs=("amount", "mean_amount", "event_time"),
                outputs=(
                    PlannedField(name="over_mean", dtype="Float64"),
                    PlannedField(name="is_night", dtype="Int64"),
                ),
            ),
        ),
    )


@cache
def onnx_model(seed: int = 0, width: int = len(COLUMNS)) -> bytes:
    """A logistic regression with probabilities, as the training workflow exports it."""
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(200, width)).astype(np.float32)
    model = LogisticRegression().fit(rows, rows @ rng.normal(size=width) > 0)
    graph = to_onnx(model, rows[:1], options={"zipmap": False}, target_opset=OPSET)
    return bytes(graph.SerializeToString())


def build_manifest(
    plan: FeaturePlan, graph: bytes, *, columns: Sequence[ModelInput] = COLUMNS, **changes: Any
) -> Manifest:
    window = Window(start=NOW - timedelta(days=7), end=NOW)
    fields: dict[str, Any] = {
        "model": "fraud",
        "feature_service": plan.service,
        "plan_sha256": plan.sha256,
        "graph_input": "X",
        "inputs": tuple(columns),
        "graph_output": "probabilities",
        "opset": OPSET,
        "files": {MODEL: hashlib.sha256(graph).hexdigest()},
        "training_window": window,
        "test_window": window,
        "data_snapshot": "snapshot",
        "code_sha256": "0" * 64,
        "execution": "arn:execution",
        "trained_by": "arn:trainer",
        "submitted_by": "arn:submitter",
        "created": NOW,
        "metrics": {},
        "reference": {},
    }
    return Manifest(**fields | changes)


def publish(
    documents: Documents,
    manifest: Manifest,
    graph: bytes,
    *,
    version: int,
    bucket: str = BUCKET,
    endpoint: str = "fraud",
) -> DeployedVersion:
    """Put a version's files where its deployment will say that they are."""
    prefix, body = f"models/{endpoint}/{version}/", manifest.model_dump_json().encode()
    documents.put(prefix + MODEL, graph)
    documents.put(prefix + MANIFEST, body)
    return DeployedVersion(
        version=version,
        package_arn=f"arn:package/{version}",
        model_prefix=f"s3://{bucket}/{prefix}",
        manifest_sha256=hashlib.sha256(body).hexdigest(),
    )


def deploy(
    documents: Documents,
    stable: DeployedVersion | None,
    *,
    history: Sequence[DeployedVersion] = (),
    endpoint: str = "fraud",
    **changes: Any,
) -> None:
    """Write the endpoint's deployment document, whatever stood there."""
    deployment = Deployment(
        endpoint=endpoint,
        model=endpoint,
        stable=stable,
        history=tuple(history),
        changed_at=NOW,
        changed_by="arn:approver",
        reason="test",
        **changes,
    )
    documents.put(deployment_key(endpoint), deployment.model_dump_json().encode())


def score_locally(graph: bytes, rows: Sequence[Mapping[str, float]]) -> list[float]:
    """What the model says of rows by column name, by ONNX Runtime alone."""
    import onnxruntime

    matrix = np.array([[row[c.name] for c in COLUMNS] for row in rows], dtype=np.float32)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return [float(score) for score in session.run(["probabilities"], {"X": matrix})[0][:, 1]]
