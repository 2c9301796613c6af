"""What an endpoint serves: one document per endpoint, in S3, changed by conditional writes.

Services and Lambdas of several releases read it at the same time (ADR 15). A field is only ever
added, is not written while it says nothing, and may be ignored: who does not know it keeps it and
serves as if it were not there. What must not be ignored raises `schema_version`, and who does not
know that keeps serving what it served.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic.fields import FieldInfo

from mlops.answering import Answering
from mlops.errors import NotFound
from mlops.objects import Document, Documents
from mlops.strategy import Stage, Strategy

Share = Annotated[float, Field(gt=0, lt=1)]


class _Growing(BaseModel):
    """Keeps the fields of later releases, and writes those that were added only when they count."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @model_serializer(mode="wrap")
    def _without_silent_additions(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = dump(self)
        fields = type(self).model_fields
        silent = [name for name in _ADDED & found.keys() if _says_nothing(found, name, fields)]
        return {name: value for name, value in found.items() if name not in silent}


_ADDED = frozenset(
    {
        *("key", "experiment", "shadow_share", "answering"),
        *("approval", "paused", "rollout", "taken_back", "frozen", "decision"),
    }
)
"""The fields that the first release of the document did not have."""


def _says_nothing(found: dict[str, Any], name: str, fields: dict[str, FieldInfo]) -> bool:
    return bool(found[name] == fields[name].default or found[name] in ([], ()))


class DeployedVersion(_Growing):
    """A registered version, and where its files are."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Annotated[int, Field(ge=1)]
    package_arn: str
    model_prefix: str
    """s3://bucket/prefix/ that holds model.onnx and manifest.json."""
    manifest_sha256: str
    approval: int | None = None
    """The entry of the approval record that lets it serve; None where an older release wrote."""


class Canary(_Growing):
    """A share of the traffic that another version answers."""

    version: DeployedVersion
    weight: Share
    key: str | None = None
    """The id that always meets the same version; None takes all of an instance's ids together."""


class Arm(_Growing):
    """One side of an experiment: a version and its share of all traffic."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    version: DeployedVersion
    weight: Annotated[float, Field(gt=0, le=1)]


class Experiment(_Growing):
    """Versions side by side; an answer names the arm that it belongs to."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    arms: Annotated[tuple[Arm, ...], Field(min_length=1)]
    """What their weights leave of 1 the stable version answers, outside of the experiment."""
    key: str | None = None
    """As a canary's."""

    @model_validator(mode="after")
    def _adds_up(self) -> Experiment:
        if len({arm.name for arm in self.arms}) < len(self.arms):
            raise ValueError(f"experiment '{self.name}': two arms have one name")
        if sum(arm.weight for arm in self.arms) > 1 + 1e-9:
            raise ValueError(f"experiment '{self.name}': its weights are more than 1 together")
        return self


class Hold(_Growing):
    """Who stopped something, when (UTC) and why."""

    by: str
    at: datetime
    reason: str


class TakenBack(Hold):
    """An approved version that is not fallen back to, as it served or was on trial and failed."""

    version: DeployedVersion


class Rollout(_Growing):
    """An approved version on its way to be the stable one."""

    version: DeployedVersion
    strategy: Strategy
    """As the version's manifest has it."""
    stage: Annotated[int, Field(ge=0)] = 0
    since: datetime
    """When the stage began."""
    revision: Annotated[int, Field(ge=1)]
    """Of the document in which the stage began: figures count from there."""
    paused: Hold | None = None

    @model_validator(mode="after")
    def _has_its_stage(self) -> Rollout:
        if self.stage >= len(self.strategy.stages):
            raise ValueError(f"its strategy has no stage {self.stage}")
        return self

    @property
    def at(self) -> Stage:
        """The stage that it is in."""
        return self.strategy.stages[self.stage]


class Deployment(_Growing):
    """The endpoint's state; `history` holds what it can fall back to, the next first."""

    schema_version: Literal[1] = 1
    endpoint: str
    model: str
    stable: DeployedVersion | None
    canary: Canary | None = None
    experiment: Experiment | None = None
    shadow: DeployedVersion | None = None
    """Scores what others answer; nobody waits for it."""
    shadow_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of the requests, those that the shadow sees."""
    answering: Answering | None = None
    """What the manifests of its models say, overruled."""
    history: tuple[DeployedVersion, ...] = ()
    rollout: Rollout | None = None
    """What stands as canary or shadow for as long as it is on trial."""
    taken_back: tuple[TakenBack, ...] = ()
    frozen: Hold | None = None
    """Nothing new begins or goes on; what must not serve is still taken back."""
    decision: Annotated[int, Field(ge=0)] = 0
    """The newest entry of the approval record that was acted on."""
    revision: Annotated[int, Field(ge=1)] = 1
    changed_at: datetime
    changed_by: str
    reason: str

    @model_validator(mode="after")
    def _splits_once(self) -> Deployment:
        if self.canary and self.experiment:
            raise ValueError("an endpoint has a canary or an experiment, not both")
        return self

    @property
    def uses(self) -> list[tuple[str, DeployedVersion]]:
        """'stable', 'canary', 'arm NAME' and 'shadow', as far as there are, each with its version.

        A version may have several uses.
        """
        canary = self.canary.version if self.canary else None
        arms = self.experiment.arms if self.experiment else ()
        places = [("stable", self.stable), ("canary", canary)]
        places += [(f"arm {arm.name}", arm.version) for arm in arms]
        places.append(("shadow", self.shadow))
        return [(use, version) for use, version in places if version is not None]

    @property
    def is_trying(self) -> bool:
        """Whether there are versions to compare."""
        return any((self.canary, self.experiment, self.shadow))

    @property
    def versions(self) -> list[DeployedVersion]:
        """Every version that inference must hold, the stable one first."""
        return list({version.version: version for _, version in self.uses}.values())

    def use_of(self, version: int) -> str:
        """The first use of a version, as in `uses`; '' where it has none."""
        return next((use for use, used in self.uses if used.version == version), "")


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
