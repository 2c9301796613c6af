"""Tells the rollout of a decision where the registry puts no events on the bus, as MLflow's.

The event has the form of SageMaker's. It only says where to look, so it may come twice or late,
and one that was lost is sent again by `mlops models deliver`. MLflow's own webhooks become the
same events (`mlops.registry.webhooks`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mlops.aws import Aws
from mlops.bus import REGISTRY, EventBus
from mlops.errors import Unavailable
from mlops.names import Names
from mlops.registry.versions import ModelVersion

SOURCE = REGISTRY
DETAIL_TYPE = "SageMaker Model Package State Change"
STATUS = "ModelApprovalStatus"
"""The field whose change is a decision."""


def deliver(aws: Aws, names: Names, versions: Iterable[ModelVersion]) -> int:
    """Put an event for each version on the bus; returns how many."""
    details = [_detail(names, version) for version in versions]
    try:
        EventBus(aws).put(SOURCE, DETAIL_TYPE, details)
    except Unavailable as exc:
        raise Unavailable(f"{exc} Run: mlops models deliver") from exc
    return len(details)


def detail_of(
    names: Names, model: str, version: int | None, *, fields: Sequence[str]
) -> dict[str, Any]:
    """Which fields of a version changed; of None, of the model itself."""
    of_version = {} if version is None else {"ModelPackageVersion": version}
    return {
        "ModelPackageGroupName": names.model_group(model),
        **of_version,
        "UpdatedModelPackageFields": list(fields),
    }


def _detail(names: Names, version: ModelVersion) -> dict[str, Any]:
    return detail_of(names, version.model, version.version, fields=[STATUS]) | {
        "ModelPackageArn": version.package_arn,
        "ModelApprovalStatus": version.status.value,
    }
