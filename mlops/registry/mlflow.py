"""MLflow's model registry, by its REST API: one registered model per model.

A version's status and its note are one tag, so that they change in one step; the alias `approved`
follows for whoever loads `models:/<name>@approved`. MLflow itself is not needed here.
https://mlflow.org/docs/latest/rest-api.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from mlops.errors import Conflict, NotFound
from mlops.names import Names
from mlops.registry.metadata import read_metadata
from mlops.registry.mlflow_rest import MlflowServer
from mlops.registry.versions import (
    ModelVersion,
    Pointer,
    Status,
    Unreadable,
    newest_approved,
    unknown_version,
)

APPROVAL = "mlops_approval"
"""The tag that holds a version's status and note."""
ALIAS = "approved"
"""Points to the newest approved version, and to none where none is."""
_PAGE = 200


class _Approval(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Status = Status.PENDING
    note: str = ""


class MlflowRegistry:
    """Versions of one environment's models in MLflow."""

    def __init__(self, server: MlflowServer, names: Names) -> None:
        self._server = server
        self._names = names

    def models(self) -> list[str]:
        start = self._names.model_group("")
        found = self._pages(
            "registered-models/search", "registered_models", f"name LIKE '{start}%'"
        )
        return sorted(model["name"].removeprefix(start) for model in found)

    def versions(self, model: str, *, limit: int | None = None) -> list[ModelVersion]:
        name = self._name(model)
        found = self._pages("model-versions/search", "model_versions", f"name='{name}'")
        versions = sorted(
            (_to_version(model, each) for each in found), key=lambda v: v.version, reverse=True
        )
        return versions[:limit]

    def get(self, model: str, version: int) -> ModelVersion:
        place = {"name": self._name(model), "version": str(version)}
        try:
            answer = self._server.get("model-versions/get", place)
        except NotFound as exc:
            raise unknown_version(model, version) from exc
        return _to_version(model, answer["model_version"])

    def pointer(self, model: str) -> Pointer:
        name = {"name": self._name(model)}
        try:
            found = self._server.get("registered-models/get", name)["registered_model"]
        except NotFound:
            return Pointer(None)
        aliases = {alias["alias"]: int(alias["version"]) for alias in found.get("aliases", [])}
        return Pointer(aliases.get(ALIAS))

    def set_status(self, version: ModelVersion, status: Status, *, note: str) -> None:
        """The alias goes first: where that fails, the change is not made and can be repeated."""
        self._point(version, status)
        approval = _Approval(status=status, note=note)
        place = {"name": self._name(version.model), "version": str(version.version)}
        tag = {"key": APPROVAL, "value": approval.model_dump_json()}
        self._server.post("model-versions/set-tag", place | tag)

    def register(self, model: str, metadata: Mapping[str, str]) -> ModelVersion:
        """The next version, which waits for approval; an execution's only one.

        metadata: as `ModelVersion` names it, with metrics as 'metric_<name>'.
        """
        name = self._name(model)
        for known in self.versions(model):
            if known.lineage.get("execution") == metadata["execution"]:
                return known
        with suppress(Conflict):  # the usual case: it has versions already
            self._server.post("registered-models/create", {"name": name})
        waits = {**metadata, APPROVAL: _Approval().model_dump_json()}
        answer = self._server.post(
            "model-versions/create",
            {
                "name": name,
                "source": metadata["model_prefix"],
                "tags": [{"key": key, "value": value} for key, value in waits.items()],
            },
        )
        return _to_version(model, answer["model_version"])

    def _point(self, version: ModelVersion, status: Status) -> None:
        name, others = self._name(version.model), self.versions(version.model)
        approved = [v for v in others if v.version != version.version]
        if status is Status.APPROVED:
            approved.append(version.model_copy(update={"status": status}))
        newest = newest_approved(approved)
        if newest is not None:
            place = {"name": name, "alias": ALIAS, "version": str(newest.version)}
            self._server.post("registered-models/alias", place)
        else:
            self._server.delete("registered-models/alias", {"name": name, "alias": ALIAS})

    def _pages(self, path: str, field: str, condition: str) -> Iterator[dict[str, Any]]:
        query: dict[str, str] = {"filter": condition, "max_results": str(_PAGE)}
        while True:
            answer = self._server.get(path, query)
            yield from answer.get(field, [])
            if not answer.get("next_page_token"):
                return
            query["page_token"] = answer["next_page_token"]

    def _name(self, model: str) -> str:
        if "'" in model or "/" in model:
            raise NotFound(f'There is no model "{model}". See: mlops models list')
        return self._names.model_group(model)


def _to_version(model: str, found: Mapping[str, Any]) -> ModelVersion:
    written = {tag["key"]: tag.get("value", "") for tag in found.get("tags", [])}
    approval = _read_approval(written.pop(APPROVAL, "{}"), model, found["version"])
    return ModelVersion(
        model=model,
        version=int(found["version"]),
        package_arn=f"models:/{found['name']}/{found['version']}",
        status=approval.status,
        note=approval.note,
        created=datetime.fromtimestamp(int(found["creation_timestamp"]) / 1000, tz=UTC),
        complete=found.get("status", "READY") == "READY",
        **read_metadata(written),
    )


def _read_approval(text: str, model: str, version: str) -> _Approval:
    try:
        return _Approval.model_validate(json.loads(text))
    except (ValueError, ValidationError) as exc:
        raise Unreadable(
            f"Version {version} of '{model}': its tag {APPROVAL} was changed around the platform "
            f"and cannot be read: {text[:80]}. Delete the tag in MLflow, and decide again."
        ) from exc
