"""Tells the rollout of a decision where the registry sends no events of its own, as MLflow's.

The event has the form of SageMaker's. It only says where to look, so it may come twice or late,
and one that was lost is sent again by `mlops models deliver`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from mlops.aws import Aws, translated
from mlops.errors import Unavailable
from mlops.names import Names
from mlops.registry.versions import ModelVersion

SOURCE = "mlops.registry"
DETAIL_TYPE = "SageMaker Model Package State Change"
_ENTRIES = 10
"""What PutEvents takes at once."""


def deliver(aws: Aws, names: Names, versions: Iterable[ModelVersion]) -> int:
    """Put an event for each version on the bus; returns how many."""
    entries = [_event(names, version) for version in versions]
    for start in range(0, len(entries), _ENTRIES):
        with translated("Telling the rollout of decisions"):
            answer = aws.client("events").put_events(Entries=entries[start : start + _ENTRIES])
        if answer["FailedEntryCount"]:
            raise Unavailable("EventBridge did not take an event. Run: mlops models deliver")
    return len(entries)


def _event(names: Names, version: ModelVersion) -> dict[str, str]:
    detail = {
        "ModelPackageGroupName": names.model_group(version.model),
        "ModelPackageVersion": version.version,
        "ModelPackageArn": version.package_arn,
        "ModelApprovalStatus": version.status.value,
        "UpdatedModelPackageFields": ["ModelApprovalStatus"],
    }
    return {"Source": SOURCE, "DetailType": DETAIL_TYPE, "Detail": json.dumps(detail)}
