"""A model version as the proxy serves it: manifest, plan and functions that fit, compiled once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mlops.deploying.figures import ScoreClasses, score_classes
from mlops.deployment import DeployedVersion
from mlops.errors import Refused
from mlops.manifest import Manifest, ModelInput, check_plan
from mlops.plan import FeaturePlan, PlannedTransformation, Transformation, load_transformations
from mlops.stores.online import OnlineReader, OnlineStore, ViewRead, view_reads
from serving.proxy.input_values import read_value
from serving.proxy.instances import InstanceSchema

_TEXTS = frozenset({"String"})
_NUMERIC = frozenset({"Bool", "Float32", "Float64", "Int32", "Int64"})


@dataclass(frozen=True)
class OnDemand:
    """An on-demand view with the function that this image has for it."""

    planned: PlannedTransformation
    function: Transformation


@dataclass(frozen=True)
class ServedModel:
    """One version with all that a request needs; a request keeps the one that it began with."""

    endpoint: str
    deployed: DeployedVersion
    manifest: Manifest
    plan: FeaturePlan
    schema: InstanceSchema
    references: tuple[str, ...]
    """'view:feature' of what is read for it."""
    reader: OnlineReader
    on_demand: tuple[OnDemand, ...]

    @property
    def version(self) -> int:
        return self.deployed.version

    @cached_property
    def reads(self) -> list[ViewRead]:
        """The same, by view."""
        return view_reads(self.plan, self.references)

    @cached_property
    def personal(self) -> frozenset[str]:
        """The names of the features among its inputs that are personal data."""
        stored = {reference.split(":", 1)[1] for reference in self.references}
        computed = {field.name for one in self.on_demand for field in one.planned.outputs}
        return self.plan.personal & (stored | computed)

    @cached_property
    def stored(self) -> tuple[tuple[str, str], ...]:
        """Each reference with the feature's plain name."""
        return tuple((reference, _plain(reference)) for reference in self.references)

    @cached_property
    def inputs(self) -> tuple[tuple[ModelInput, str], ...]:
        """Each input in the model's order, with the plain name of what it is filled from."""
        return tuple((column, _plain(column.source)) for column in self.manifest.inputs)

    @cached_property
    def computed_names(self) -> tuple[str, ...]:
        """The inputs that are computed on demand."""
        return tuple(name for column, name in self.inputs if column.origin == "on_demand")

    @cached_property
    def shown(self) -> tuple[str, ...]:
        """The features that an answer tells of, in its order."""
        return tuple(dict.fromkeys([*(name for _, name in self.stored), *self.computed_names]))

    @cached_property
    def reference_of(self) -> dict[str, str]:
        """The reference of each stored feature by its plain name."""
        return {name: reference for reference, name in self.stored}

    @cached_property
    def request_names(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.plan.request)

    @cached_property
    def entity_names(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.plan.entities)

    @cached_property
    def score_classes(self) -> ScoreClasses | None:
        """Between the quantiles of its scores in training, where its manifest has them."""
        reference = self.manifest.reference.get("score")
        return score_classes(reference) if reference else None

    @cached_property
    def is_trained_on_this_plan(self) -> bool:
        """False where the feature service changed since and still supplies the inputs."""
        return self.manifest.plan_sha256 == self.plan.sha256


def _plain(reference: str) -> str:
    return reference.rpartition(":")[2]


def build_served_model(
    endpoint: str,
    deployed: DeployedVersion,
    manifest: Manifest,
    plan: FeaturePlan,
    *,
    store: OnlineStore,
    repo: Path,
) -> ServedModel:
    """Raises Refused when manifest, plan and this image's functions do not fit each other."""
    check_plan(manifest, plan)
    _check_request_inputs(manifest, plan)
    _check_defaults(manifest)
    functions = load_transformations(plan, repo)
    needed = _needed_transformations(manifest, plan.transformations)
    references = _references(manifest, plan, needed)
    return ServedModel(
        endpoint=endpoint,
        deployed=deployed,
        manifest=manifest,
        plan=plan,
        schema=InstanceSchema(plan),
        references=references,
        reader=store.reader(plan, references),
        on_demand=tuple(OnDemand(t, functions[t.name]) for t in needed),
    )


def _check_request_inputs(manifest: Manifest, plan: FeaturePlan) -> None:
    types = {field.name: field.dtype for field in plan.request}
    wrong = [
        f"'{c.source}' is {types[c.source]}"
        for c in manifest.inputs
        if c.origin == "request"
        and types[c.source] not in (_TEXTS if c.dtype == "String" else _NUMERIC)
    ]
    if wrong:
        raise Refused(
            f"Model '{manifest.model}' takes request fields that are not of its inputs' types: "
            f"{', '.join(wrong)}. Compute its inputs of them in an on-demand view and train again."
        )


def _check_defaults(manifest: Manifest) -> None:
    wrong = [
        f"{c.default!r} of '{c.name}' ({c.dtype})"
        for c in manifest.inputs
        if c.default is not None and read_value(c.default, c.dtype) is None
    ]
    if wrong:
        raise Refused(
            f"Model '{manifest.model}' has defaults that its inputs cannot hold: "
            f"{', '.join(wrong)}. Correct them in the model's settings and train again."
        )


def _needed_transformations(
    manifest: Manifest, planned: Sequence[PlannedTransformation]
) -> list[PlannedTransformation]:
    """Those whose outputs the model takes, or which feed one of those; in the plan's order."""
    wanted = {c.source.split(":", 1)[1] for c in manifest.inputs if c.origin == "on_demand"}
    needed = []
    for transformation in reversed(planned):
        if wanted & {output.name for output in transformation.outputs}:
            needed.append(transformation)
            wanted |= set(transformation.inputs)
    return needed[::-1]


def _references(
    manifest: Manifest, plan: FeaturePlan, transformations: Sequence[PlannedTransformation]
) -> tuple[str, ...]:
    taken = {column.source for column in manifest.inputs if column.origin == "feature"}
    feeding = {name for transformation in transformations for name in transformation.inputs}
    return tuple(
        reference
        for reference in plan.references
        if reference in taken or reference.split(":", 1)[1] in feeding
    )
