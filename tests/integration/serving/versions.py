"""Versions of one small model, each of which scores the same payment otherwise."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

from mlops.deployment import DeployedVersion
from mlops.manifest import ModelInput
from tests.integration.serving.conftest import Stack
from tests.serving_examples import (
    COLUMNS,
    build_manifest,
    deploy,
    onnx_model,
    publish,
    score_locally,
)

ROW = {
    "amount": 12.5,
    "payments": 4,
    "mean_amount": 10.0,
    "risk": 0.1,
    "over_mean": 1.25,
    "is_night": 1,
}
"""The inputs of the instance that tests ask about."""


def columns_of(version: int) -> tuple[ModelInput, ...]:
    """Each version takes its columns in an order of its own: any mixture gives another score."""
    columns = list(COLUMNS)
    random.Random(version).shuffle(columns)
    return tuple(columns)


def published(stack: Stack, version: int) -> DeployedVersion:
    graph = onnx_model(seed=version)
    manifest = build_manifest(stack.plan, graph, columns=columns_of(version))
    bucket = stack.documents.bucket
    return publish(stack.documents, manifest, graph, version=version, bucket=bucket)


def ship(stack: Stack, version: int, **changes: Any) -> DeployedVersion:
    """Deploy a version as the stable one; `changes` go into the deployment document."""
    made = published(stack, version)
    deploy(stack.documents, made, **changes)
    return made


@cache
def expected_score(version: int) -> float:
    values = [ROW[column.name] for column in columns_of(version)]
    row = dict(zip((column.name for column in COLUMNS), values, strict=True))
    (score,) = score_locally(onnx_model(seed=version), [row])
    return score


def is_live(stack: Stack, version: int) -> bool:
    models = stack.state()["models"]
    return isinstance(models, dict) and models["fraud"]["version"] == version
