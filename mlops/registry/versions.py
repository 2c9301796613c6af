"""A registered model version, and the port to whatever registry holds it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from mlops.errors import NotFound, Refused


class Status(StrEnum):
    """What the registry says of a version; SageMaker's own words."""

    PENDING = "PendingManualApproval"
    APPROVED = "Approved"
    REJECTED = "Rejected"


class ModelVersion(BaseModel):
    """One version of a model, as registered; times UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    version: int
    package_arn: str
    status: Status
    created: datetime
    complete: bool = True
    """False while the registry still makes the package, or failed to."""
    note: str = ""
    """What was written beside the last change of status."""
    model_prefix: str = ""
    """s3://bucket/prefix/ that holds model.onnx and manifest.json."""
    manifest_sha256: str = ""
    trained_by: str = ""
    """ARN of the role that trained it."""
    submitted_by: str = ""
    """ARN of the identity that started the execution."""
    metrics: Mapping[str, float] = {}
    lineage: Mapping[str, str] = {}
    """Everything else that registration wrote: execution, code, feature service, data snapshot."""


@dataclass(frozen=True)
class Pointer:
    """Which version a registry itself calls the approved, for whoever loads it by that name."""

    version: int | None


class Unreadable(Refused):
    """What a version holds was written around the platform, and is nothing that it writes."""


class ModelRegistry(Protocol):
    """Where versions are kept. Models go by their short name ('fraud')."""

    def models(self) -> list[str]:
        """Every model of this environment, by name."""

    def versions(self, model: str, *, limit: int | None = None) -> list[ModelVersion]:
        """The newest `limit` versions, newest first; empty when there is none.

        Raises Unreadable.
        """

    def get(self, model: str, version: int) -> ModelVersion:
        """Raises NotFound, Unreadable."""

    def pointer(self, model: str) -> Pointer | None:
        """None where the registry has no such name."""

    def set_status(self, version: ModelVersion, status: Status, *, note: str) -> None:
        """Change only the status and its note. Raises NotFound, Refused.

        note: one line of at most 1,024 characters.
        """


def newest_approved(versions: Iterable[ModelVersion]) -> ModelVersion | None:
    """What a new version has to beat; None where none is approved."""
    approved = [v for v in versions if v.complete and v.status is Status.APPROVED]
    return max(approved, key=lambda v: v.version, default=None)


def unknown_version(model: str, version: int) -> NotFound:
    return NotFound(
        f"Model '{model}' has no version {version}. See what there is: mlops models list {model}"
    )
