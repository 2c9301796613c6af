"""What changed in MLflow's registry, as the event that a change in SageMaker's is.

The event only says where to look, so it may come twice, late and in any order.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlops.errors import InputError
from mlops.names import Names
from mlops.registry.delivery import STATUS, detail_of
from mlops.registry.mlflow import ALIAS, APPROVAL

METADATA, POINTER = "CustomerMetadataProperties", "Alias"
"""Fields that changed: what registration wrote, as SageMaker calls it; and which version is
called approved, which SageMaker does not have."""


class Entity(StrEnum):
    """Of what MLflow tells."""

    VERSION = "model_version"
    TAG = "model_version_tag"
    ALIAS = "model_version_alias"


EVENTS = (
    (Entity.VERSION, "created"),
    (Entity.TAG, "set"),
    (Entity.TAG, "deleted"),
    (Entity.ALIAS, "created"),
    (Entity.ALIAS, "deleted"),
)
"""What MLflow is asked to tell of, all that it offers of versions: no webhook tells that a version
was deleted."""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    version: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,9}$")] | None = None
    key: str | None = None
    alias: str | None = None


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True)

    entity: Entity
    action: Literal["created", "set", "deleted"]
    data: _Data


def read_change(body: bytes, names: Names) -> dict[str, Any] | None:
    """The event's detail; None for what is nothing of ours.

    Raises InputError for what is no change of a version, a tag or an alias.
    """
    try:
        told = _Body.model_validate_json(body)
    except ValidationError as exc:
        fields = ", ".join(sorted({".".join(map(str, e["loc"])) or "body" for e in exc.errors()}))
        raise InputError(
            f"This is no change of a model version, its tags or aliases (see: {fields}). Take the "
            "other events out of the webhook: mlops models webhook"
        ) from exc
    field, start = _field(told), names.model_group("")
    if field is None or not told.data.name.startswith(start):
        return None
    model = told.data.name.removeprefix(start)
    if field == POINTER:
        return detail_of(names, model, None, fields=[field])
    if told.data.version is None:
        raise InputError(f"A change of '{told.data.name}' names no version. Which one is it of?")
    return detail_of(names, model, int(told.data.version), fields=[field])


def _field(told: _Body) -> str | None:
    if told.entity is Entity.ALIAS:
        return POINTER if told.data.alias == ALIAS else None
    if told.entity is Entity.TAG and told.data.key != APPROVAL:
        return METADATA
    # A version can be made with its decision in it.
    return STATUS
