"""A package as SageMaker describes it becomes a version."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest

from mlops.registry.sagemaker import to_version
from mlops.registry.versions import ModelVersion, Status


def _read(**changes: Any) -> ModelVersion:
    package = {
        "ModelPackageVersion": 3,
        "ModelPackageArn": "arn:aws:sagemaker:eu-west-1:1:model-package/mlops-dev-fraud/3",
        "ModelPackageStatus": "Completed",
        "ModelApprovalStatus": "Approved",
        "CreationTime": datetime(2018, 8, 1, tzinfo=UTC),
    }
    return to_version("fraud", package | changes)


def test_metrics_and_lineage_are_told_apart() -> None:
    written = {"metric_auc_roc": "0.85", "trained_by": "t", "execution": "e"}
    version = _read(CustomerMetadataProperties=written)
    assert version.metrics == {"auc_roc": 0.85}
    assert version.trained_by == "t"
    assert version.lineage == {"execution": "e"}


@pytest.mark.parametrize("text", ["", "n/a", "nan"])
def test_a_metric_that_is_no_number_is_nan(text: str) -> None:
    metrics = _read(CustomerMetadataProperties={"metric_auc_roc": text}).metrics
    assert math.isnan(metrics["auc_roc"])


def test_a_package_that_nobody_described_further_is_read_all_the_same() -> None:
    version = _read(CustomerMetadataProperties=None, ModelApprovalStatus=None)
    assert (version.metrics, version.note, version.status) == ({}, "", Status.PENDING)


@pytest.mark.parametrize("status", ["Pending", "InProgress", "Failed", "Deleting"])
def test_a_package_in_the_making_is_not_complete(status: str) -> None:
    assert not _read(ModelPackageStatus=status).complete
