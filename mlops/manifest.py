"""The train/serve contract: `manifest.json` beside `model.onnx`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from mlops.errors import InputError, Refused
from mlops.plan import FeaturePlan

MANIFEST = "manifest.json"
MODEL = "model.onnx"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelInput(_Frozen):
    """One column of the model's input matrix."""

    name: str
    origin: Literal["feature", "request", "on_demand"]
    source: str
    """'view:feature', a request field, or 'on_demand_view:feature'."""
    on_missing: Literal["default", "null", "refuse"] = "refuse"
    """What serving does when the feature has no value: the default, NaN, or an error."""
    default: float | None = None

    @model_validator(mode="after")
    def _default_when_needed(self) -> ModelInput:
        if (self.on_missing == "default") != (self.default is not None):
            raise ValueError(f"input '{self.name}': a default goes with on_missing='default' only")
        return self


class Distribution(_Frozen):
    """A column of the training set, in few numbers."""

    mean: float
    std: float
    missing: float
    """Share of rows without a value, 0 to 1."""
    quantiles: tuple[float, ...]
    """At 0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99 and 1."""


class Window(_Frozen):
    """Event times from `start` up to, without, `end`; UTC."""

    start: datetime
    end: datetime


class Manifest(_Frozen):
    """What serving must know of a model, and refuses to guess."""

    version: Literal[1] = 1
    model: str
    feature_service: str
    plan_sha256: str
    graph_input: str
    """Name of the ONNX input: float32 [rows, len(inputs)]."""
    inputs: tuple[ModelInput, ...]
    graph_output: str
    """Name of the ONNX output: float32 [rows, 2], probabilities of (no, yes)."""
    opset: int
    files: Mapping[str, str]
    """sha256 of every file beside the manifest, by name."""
    training_window: Window
    test_window: Window
    data_snapshot: str
    code_sha256: str
    execution: str
    trained_by: str
    submitted_by: str
    created: datetime
    metrics: Mapping[str, float]
    reference: Mapping[str, Distribution]
    """Per input, and 'score' for the model's own output on the test rows."""

    @property
    def input_names(self) -> list[str]:
        return [column.name for column in self.inputs]


def read_manifest(body: bytes, *, where: str) -> Manifest:
    """Raises InputError naming the file and the fields that are wrong."""
    try:
        return Manifest.model_validate_json(body)
    except ValidationError as exc:
        fields = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors())
        raise InputError(f"{where} is no valid manifest: {fields}") from exc


def check_files(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """Raises Refused when a file is missing or its checksum differs."""
    for name, wanted in manifest.files.items():
        if name not in files:
            raise Refused(f"Model '{manifest.model}': {name} is missing beside its manifest.")
        found = hashlib.sha256(files[name]).hexdigest()
        if found != wanted:
            raise Refused(
                f"Model '{manifest.model}': {name} has sha256 {found[:12]}, its manifest says "
                f"{wanted[:12]}. The file was changed after registration; train again."
            )


def check_graph(
    manifest: Manifest,
    *,
    inputs: Mapping[str, Sequence[int | None]],
    outputs: Mapping[str, Sequence[int | None]],
    opset: int,
) -> None:
    """Raises Refused when the ONNX graph is not the one that the manifest describes.

    inputs, outputs: the graph's tensors by name with their shapes, None where open.
    """
    problems = []
    wanted = {manifest.graph_input: len(manifest.inputs)}
    for name, width in wanted.items():
        shape = inputs.get(name)
        if shape is None:
            problems.append(f"the graph has inputs {sorted(inputs)}, not '{name}'")
        elif len(shape) != 2 or shape[1] != width:
            problems.append(f"input '{name}' is {list(shape)}, the manifest lists {width} columns")
    if extra := set(inputs) - set(wanted):
        problems.append(f"the graph also wants {sorted(extra)}")
    if manifest.graph_output not in outputs:
        problems.append(f"the graph has outputs {sorted(outputs)}, not '{manifest.graph_output}'")
    if opset != manifest.opset:
        problems.append(f"the graph has opset {opset}, the manifest says {manifest.opset}")
    if problems:
        raise Refused(
            f"Model '{manifest.model}' does not match its manifest: {'; '.join(problems)}. "
            "Export and register it again."
        )


def check_plan(manifest: Manifest, plan: FeaturePlan) -> None:
    """Raises Refused when a model input is not what the applied feature service supplies."""
    stored = set(plan.references)
    request = {field.name for field in plan.request}
    computed = {f"{t.name}:{field.name}" for t in plan.transformations for field in t.outputs}
    known = {"feature": stored, "request": request, "on_demand": computed}
    unknown = [
        f"{c.origin} '{c.source}'" for c in manifest.inputs if c.source not in known[c.origin]
    ]
    if manifest.feature_service != plan.service or unknown:
        needs = ", ".join(unknown) or manifest.feature_service
        raise Refused(
            f"Model '{manifest.model}' needs {needs}, which feature service '{plan.service}' does "
            "not supply. Train it on the applied service, or apply the one it was trained on."
        )
