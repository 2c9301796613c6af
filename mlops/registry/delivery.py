"""Tells the rollout of a decision where the registry sends no events of its own, as MLflow's.

The event has the form of SageMaker's. It only says where to look, so it may come twice or late,
and one that was lost is sent again by `mlops models deliver`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mlops.aws import Aws
from mlops.bus import REGISTRY, EventBus
from mlops.errors import Unavailable
from mlops.names import Names
from mlops.registry.versions import ModelVersion

SOURCE = REGISTRY
DETAIL_TYPE = "SageMaker Model Package State Change"


def deliver(aws: Aws, names: Names, versions: Iterable[ModelVersion]) -> int:
    """Put an event for each version on the bus; returns how many."""
    details = [_detail(names, version) for version in versions]
    try:
        EventBus(aws).put(SOURCE, DETAIL_TYPE, details)
    except Unavailable as exc:
        raise Unavailable(f"{exc} Run: mlops models deliver") from exc
    return len(details)


def _detail(names: Names, version: ModelVersion) -> dict[str, Any]:
    return {
        "ModelPackageGroupName": names.model_group(version.model),
        "ModelPackageVersion": version.version,
        "ModelPackageArn": version.package_arn,
        "ModelApprovalStatus": version.status.value,
        "UpdatedModelPackageFields": ["ModelApprovalStatus"],
    }
