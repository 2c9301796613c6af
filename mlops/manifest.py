"""The train/serve contract: `manifest.json` beside `model.onnx`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from mlops.answering import Answering
from mlops.errors import InputError, Refused
from mlops.plan import FeaturePlan
from mlops.strategy import Strategy

MANIFEST = "manifest.json"
MODEL = "model.onnx"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


InputType = Literal["Float32", "Float64", "Int32", "Int64", "Bool", "String"]


class ModelInput(_Frozen):
    """One column of what the model takes."""

    name: str
    origin: Literal["feature", "request", "on_demand"]
    source: str
    """'view:feature', a request field, or 'on_demand_view:feature'."""
    dtype: InputType = "Float32"
    on_missing: Literal["default", "null", "refuse"] = "refuse"
    """What serving does when the feature has no value: the default, NaN, or an error."""
    default: float | str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> ModelInput:
        if (self.on_missing == "default") != (self.default is not None):
            raise ValueError(f"input '{self.name}': a default goes with on_missing='default' only")
        if self.default is not None and isinstance(self.default, str) != (self.dtype == "String"):
            raise ValueError(f"input '{self.name}': its default is no {self.dtype}")
        if self.on_missing == "null" and not self.dtype.startswith("Float"):
            raise ValueError(f"input '{self.name}': {self.dtype} has no null; give it a default")
        return self


@dataclass(frozen=True)
class GraphTensor:
    """A tensor of an ONNX graph."""

    dtype: str
    """As inputs have it; whatever else ONNX has, by its own name."""
    shape: tuple[int | None, ...]
    """None where a dimension is open."""


QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


class Distribution(_Frozen):
    """A column of the training set, in few numbers."""

    mean: float
    std: float
    missing: float
    """Share of rows without a value, 0 to 1."""
    quantiles: tuple[float, ...]
    """At QUANTILES."""


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
    layout: Literal["matrix", "columns"] = "matrix"
    """'matrix': the graph takes one tensor of all inputs; 'columns': one [rows, 1] tensor each."""
    graph_input: str
    """Name of the matrix, float32 [rows, len(inputs)]; empty where the layout is 'columns'."""
    inputs: tuple[ModelInput, ...]
    graph_output: str
    """Name of the ONNX output that is the model's answer."""
    output: Literal["probabilities", "probability", "value"] = "probabilities"
    """'probabilities': [rows, classes]; 'probability' (of yes) and 'value' (of a regression):
    [rows, 1] or [rows]."""
    classes: tuple[str, ...] = ("no", "yes")
    """In the order of 'probabilities'."""
    opset: int
    files: Mapping[str, str]
    """sha256 of every file beside the manifest, by name."""
    training_window: Window
    test_window: Window
    data_snapshot: str
    dataset: str | None = None
    """'name@version' of the dataset that it was trained on; None in manifests before there were."""
    code_sha256: str
    execution: str
    trained_by: str
    submitted_by: str
    created: datetime
    metrics: Mapping[str, float]
    reference: Mapping[str, Distribution]
    """Per input, and 'score' for the model's own output on the test rows."""
    answering: Answering | None = None
    """Deadline and fallback; written only where there are any, as earlier releases know neither."""
    rollout: Strategy | None = None
    """How it takes over once it is approved; written as `answering` is."""

    @model_serializer(mode="wrap")
    def _without_silent_additions(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = dump(self)
        for name in ("answering", "rollout"):
            if found.get(name, "") is None:
                del found[name]
        return found

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        if (self.layout == "columns") != (self.graph_input == ""):
            raise ValueError("graph_input names the tensor of the layout 'matrix', and only that")
        odd = [column.name for column in self.inputs if column.dtype != "Float32"]
        if self.layout == "matrix" and odd:
            raise ValueError(f"{', '.join(odd)}: a matrix is Float32; use the layout 'columns'")
        if len(self.classes) < 2:
            raise ValueError("classes names fewer than two")
        return self

    @property
    def input_names(self) -> list[str]:
        return [column.name for column in self.inputs]

    @property
    def tensors(self) -> dict[str, GraphTensor]:
        """What the graph takes, by name."""
        if self.layout == "matrix":
            return {self.graph_input: GraphTensor("Float32", (None, len(self.inputs)))}
        return {column.name: GraphTensor(column.dtype, (None, 1)) for column in self.inputs}

    @property
    def answer_widths(self) -> tuple[int | None, ...]:
        """The columns that the answer may have; None is a vector."""
        return (len(self.classes),) if self.output == "probabilities" else (1, None)


def read_manifest(body: bytes, *, where: str) -> Manifest:
    """Raises InputError naming the file and the fields that are wrong."""
    try:
        return Manifest.model_validate_json(body)
    except ValidationError as exc:
        fields = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors())
        raise InputError(f"{where} is no valid manifest: {fields}") from exc


def read_verified_manifest(body: bytes, sha256: str, *, where: str) -> Manifest:
    """Raises Refused when it was changed after registration, InputError when it is no manifest."""
    found = hashlib.sha256(body).hexdigest()
    if found != sha256:
        raise Refused(
            f"{where} has sha256 {found[:12]}, the version was registered with {sha256[:12]}. "
            "It was changed after registration; train again."
        )
    return read_manifest(body, where=where)


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
    inputs: Mapping[str, GraphTensor],
    outputs: Mapping[str, GraphTensor],
    opset: int,
) -> None:
    """Raises Refused when the ONNX graph is not the one that the manifest describes.

    inputs, outputs: the graph's tensors by name.
    """
    problems = [
        problem
        for name, wanted in manifest.tensors.items()
        if (problem := _difference(name, wanted, inputs))
    ]
    if extra := sorted(set(inputs) - set(manifest.tensors)):
        problems.append(f"the graph also wants {extra}")
    if problem := _wrong_answer(manifest, outputs):
        problems.append(problem)
    if opset != manifest.opset:
        problems.append(f"the graph has opset {opset}, the manifest says {manifest.opset}")
    if problems:
        raise Refused(
            f"Model '{manifest.model}' does not match its manifest: {'; '.join(problems)}. "
            "Export and register it again."
        )


def _difference(name: str, wanted: GraphTensor, inputs: Mapping[str, GraphTensor]) -> str | None:
    found = inputs.get(name)
    if found is None:
        return f"the graph has inputs {sorted(inputs)}, not '{name}'"
    if len(found.shape) != 2 or found.shape[1] != wanted.shape[1]:
        return f"input '{name}' is {_shown(found.shape)}, the manifest says {_shown(wanted.shape)}"
    if found.dtype != wanted.dtype:
        return f"input '{name}' is {found.dtype}, the manifest says {wanted.dtype}"
    return None


def _wrong_answer(manifest: Manifest, outputs: Mapping[str, GraphTensor]) -> str | None:
    """Exporters leave an output's shape open often; what it is, warming shows."""
    found = outputs.get(manifest.graph_output)
    if found is None:
        return f"the graph has outputs {sorted(outputs)}, not '{manifest.graph_output}'"
    if found.dtype not in {"Float32", "Float64"}:
        return f"output '{manifest.graph_output}' is {found.dtype}, not Float32 or Float64"
    return None


def _shown(shape: Sequence[int | None]) -> list[int | str]:
    return ["rows" if side is None else side for side in shape]


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
