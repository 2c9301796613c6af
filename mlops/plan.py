"""What a feature service needs at run time, compiled from the Feast definitions at apply.

Jobs and serving read this document and never unpickle anything from the registry: on-demand
functions are named with the hash of their source, and run from the code of the own image.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from mlops.errors import NotFound, Refused
from mlops.objects import Document, Documents

TRANSFORMATIONS = "transformations.py"
"""The module in the feature repo that holds every on-demand function; it imports no Feast."""

Columns = Mapping[str, Sequence[Any]]
Transformation = Callable[[dict[str, list[Any]]], dict[str, list[Any]]]
"""Columns of n values in, columns of n values out; Feast's mode='python'."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PlannedField(_Frozen):
    """A value with its Feast type: 'Float64', 'Int64', 'String', 'UnixTimestamp', …"""

    name: str
    dtype: str
    pii: bool = False


class PlannedView(_Frozen):
    """A feature view as it is read online."""

    name: str
    join_keys: tuple[str, ...]
    features: tuple[PlannedField, ...]
    ttl_seconds: int
    """0 means that values never expire."""
    publication_delay_seconds: int = 0
    owner: str = ""


class PlannedTransformation(_Frozen):
    """An on-demand view: a function of the feature repo, pinned by the hash of its source."""

    name: str
    function: str
    sha256: str
    inputs: tuple[str, ...]
    outputs: tuple[PlannedField, ...]


class FeaturePlan(_Frozen):
    """A feature service, compiled."""

    version: Literal[1] = 1
    service: str
    project: str
    entities: tuple[PlannedField, ...]
    """Join keys, in a fixed order."""
    request: tuple[PlannedField, ...]
    """What the caller must send besides the ids."""
    views: tuple[PlannedView, ...]
    transformations: tuple[PlannedTransformation, ...]

    @property
    def sha256(self) -> str:
        """What a manifest pins: any change of the service changes it."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def references(self) -> list[str]:
        """'view:feature' of every stored feature, in order."""
        return [f"{view.name}:{feature.name}" for view in self.views for feature in view.features]

    @property
    def stored(self) -> dict[str, PlannedField]:
        """Every stored feature by its name, in order."""
        return {feature.name: feature for view in self.views for feature in view.features}

    @property
    def computed(self) -> dict[str, PlannedField]:
        """Every on-demand feature by its name, in order."""
        return {field.name: field for t in self.transformations for field in t.outputs}

    @property
    def personal(self) -> frozenset[str]:
        """The names of the features, stored and on-demand, that are personal data."""
        fields = (self.stored | self.computed).values()
        return frozenset(field.name for field in fields if field.pii)


def plan_key(service: str) -> str:
    return f"feast/plans/{service}.json"


def save_plan(documents: Documents, plan: FeaturePlan) -> Document:
    return documents.put(plan_key(plan.service), plan.model_dump_json(indent=1).encode())


def load_plan(documents: Documents, service: str) -> FeaturePlan:
    """Raises NotFound, with the remedy, when the service was never applied."""
    try:
        document = documents.get(plan_key(service))
    except NotFound as exc:
        raise NotFound(
            f"Feature service '{service}' is not applied. Run 'mlops features apply'."
        ) from exc
    return FeaturePlan.model_validate_json(document.body)


def function_hashes(repo: Path) -> dict[str, str]:
    """sha256 of every top-level function of the repo's transformations, by name.

    The hash is over the module's syntax tree without comments, up to that function's own
    definition and everything else at the top level that is no function: constants and imports
    that it may use count, its neighbours do not.
    """
    tree = ast.parse((repo / TRANSFORMATIONS).read_text(encoding="utf-8"))
    shared = [ast.dump(node) for node in tree.body if not isinstance(node, ast.FunctionDef)]
    return {
        node.name: hashlib.sha256("\n".join([*shared, ast.dump(node)]).encode()).hexdigest()
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }


def load_transformations(plan: FeaturePlan, repo: Path) -> dict[str, Transformation]:
    """The plan's functions from this image's feature repo, by on-demand view.

    Raises Refused when the image lacks a function or holds another version of it.
    """
    if not plan.transformations:
        return {}
    hashes = function_hashes(repo)
    for wanted in plan.transformations:
        if hashes.get(wanted.function) != wanted.sha256:
            raise Refused(
                f"On-demand view '{wanted.name}' of '{plan.service}' needs function "
                f"'{wanted.function}' at {wanted.sha256[:12]}, but {repo / TRANSFORMATIONS} has "
                f"{hashes.get(wanted.function, 'none')[:12]}. Deploy the image built from the "
                "applied feature repo, or run 'mlops features apply' from this one."
            )
    module = _load_module(repo / TRANSFORMATIONS)
    return {t.name: getattr(module, t.function) for t in plan.transformations}


def _load_module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("feature_repo_transformations", path)
    if spec is None or spec.loader is None:
        raise NotFound(f"{path} cannot be loaded as a module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
