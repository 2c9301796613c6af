"""The plan of the feature service that the fraud model takes, compiled from the feature repo."""

from __future__ import annotations

from pathlib import Path

from mlops.plan import FeaturePlan
from pipelines.features.definitions import compile_plan, load_definitions
from pipelines.fraud.settings import DEFAULTS

REPO = Path(__file__).parents[1] / "feature_repo"
_NOWHERE = {
    "FEAST_REGISTRY": "s3://bucket/registry.db",
    "FEAST_REGION": "ap-northeast-2",
    "FEAST_DATABASE": "database",
    "FEAST_WORKGROUP": "workgroup",
    "FEAST_STAGING": "s3://staging",
    "FEAST_CLOCK": "system",
    "FEAST_REDIS": "redis://127.0.0.1:1",
}
"""What `feature_store.yaml` asks for; nothing is read or written to compile a plan."""


def fraud_plan() -> FeaturePlan:
    definitions = load_definitions(REPO, _NOWHERE)
    (service,) = [s for s in definitions.services if s.name == DEFAULTS.feature_service]
    return compile_plan(service, definitions)
