"""What an endpoint serves: one document per endpoint, in S3, changed by conditional writes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mlops.errors import NotFound
from mlops.objects import Document, Documents


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DeployedVersion(_Frozen):
    """A registered version, and where its files are."""

    version: Annotated[int, Field(ge=1)]
    package_arn: str
    model_prefix: str
    """s3://bucket/prefix/ that holds model.onnx and manifest.json."""
    manifest_sha256: str


class Canary(_Frozen):
    version: DeployedVersion
    weight: Annotated[float, Field(gt=0, lt=1)]


class Deployment(_Frozen):
    """The endpoint's state; `history` holds what it can fall back to, newest approval first."""

    schema_version: Literal[1] = 1
    endpoint: str
    model: str
    stable: DeployedVersion | None
    canary: Canary | None = None
    shadow: DeployedVersion | None = None
    history: tuple[DeployedVersion, ...] = ()
    revision: Annotated[int, Field(ge=1)] = 1
    changed_at: datetime
    changed_by: str
    reason: str

    @property
    def versions(self) -> list[DeployedVersion]:
        """Every version that inference must hold."""
        canary = self.canary.version if self.canary else None
        return [v for v in (self.stable, canary, self.shadow) if v is not None]

    def use_of(self, version: int) -> str:
        """What a version is used for: 'stable', 'canary', 'shadow' or ''."""
        canary = self.canary.version if self.canary else None
        places = {"stable": self.stable, "canary": canary, "shadow": self.shadow}
        return next((p for p, v in places.items() if v and v.version == version), "")


PREFIX = "deployments/"


def deployment_key(endpoint: str) -> str:
    return f"{PREFIX}{endpoint}.json"


def load_deployment(documents: Documents, endpoint: str) -> tuple[Deployment, Document]:
    """The deployment and the document whose tag a conditional write needs. Raises NotFound."""
    try:
        document = documents.get(deployment_key(endpoint))
    except NotFound as exc:
        raise NotFound(
            f"Nothing is deployed to endpoint '{endpoint}'. "
            "Approve a version: 'mlops models approve'."
        ) from exc
    return Deployment.model_validate_json(document.body), document


def save_deployment(
    documents: Documents, deployment: Deployment, *, replacing: Document | None
) -> Document:
    """Write it only if nobody did meanwhile. Raises Conflict."""
    key, body = deployment_key(deployment.endpoint), deployment.model_dump_json(indent=1).encode()
    if replacing is None:
        return documents.create(key, body)
    return documents.put(key, body, etag=replacing.etag)


def list_endpoints(documents: Documents) -> list[str]:
    return [key.removeprefix(PREFIX).removesuffix(".json") for key in documents.keys(PREFIX)]
