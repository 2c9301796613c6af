"""The Open Inference Protocol, version 2: what REST and gRPC have in common.

Source: https://github.com/kserve/open-inference-protocol.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from serving.errors import InvalidRequest
from serving.inference.model import LoadedModel
from serving.tensors import BY_PROTOCOL, Kind, Tensor, TensorSpec, convert

PLATFORM = "onnxruntime_onnx"
NAME = "mlops-inference"
EXTENSIONS = ("binary_tensor_data", "model_repository")


@dataclass(frozen=True)
class InferRequest:
    """A request, checked against the model that it is for."""

    tensors: Mapping[str, Tensor]
    outputs: tuple[str, ...]
    """Which are wanted, in the order of the answer."""
    id: str | None = None
    binary: frozenset[str] = frozenset()
    """The outputs that REST answers as bytes behind the JSON."""

    @property
    def rows(self) -> int:
        return next(len(tensor) for tensor in self.tensors.values())


@dataclass(frozen=True)
class InferAnswer:
    """The outputs of a request, of one version."""

    model: str
    version: int
    outputs: Mapping[str, Tensor]
    specs: Mapping[str, TensorSpec]


def read_kind(datatype: Any, *, field: str) -> Kind:
    kind = BY_PROTOCOL.get(datatype) if isinstance(datatype, str) else None
    if kind is None:
        raise InvalidRequest(
            f"'datatype' must be one of {', '.join(BY_PROTOCOL)}.", field=f"{field}.datatype"
        )
    return kind


def read_spec(name: Any, model: LoadedModel, *, field: str) -> TensorSpec:
    spec = model.inputs.get(name) if isinstance(name, str) else None
    if spec is None:
        wanted = " or ".join(f"'{known}'" for known in model.inputs)
        raise InvalidRequest(f"'name' must be {wanted}, the model's input.", field=f"{field}.name")
    return spec


def check_shape(shape: Any, spec: TensorSpec, *, field: str) -> tuple[int, ...]:
    sides = tuple(shape) if isinstance(shape, (list, tuple)) else ()
    if not all(type(side) is int for side in sides) or not spec.accepts(sides):
        raise InvalidRequest(
            f"'shape' must be {spec.described()} with at least one row.", field=f"{field}.shape"
        )
    return sides


def shaped(tensor: Tensor, shape: tuple[int, ...], spec: TensorSpec, *, field: str) -> Tensor:
    """In the shape that the request says, and the type that the graph takes.

    Raises InvalidRequest when there are more or fewer elements, or one does not fit.
    """
    if tensor.shape != shape:
        if tensor.ndim != 1 or tensor.size != _size(shape):
            raise InvalidRequest(
                f"'{field}' must hold {list(shape)} elements, it is {list(tensor.shape)}.",
                field=field,
            )
        tensor = tensor.reshape(shape)
    return convert(tensor, spec.kind, field=field)


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


def check_inputs(tensors: Mapping[str, Tensor], model: LoadedModel) -> None:
    """Raises InvalidRequest when a tensor is missing, or they have different numbers of rows."""
    if missing := [name for name in model.inputs if name not in tensors]:
        names = ", ".join(f"'{name}'" for name in missing)
        raise InvalidRequest(f"'inputs' must hold the tensors {names}, too.", field="inputs")
    if len({len(tensor) for tensor in tensors.values()}) > 1:
        raise InvalidRequest("'inputs' must have equally many rows.", field="inputs")


def choose_outputs(wanted: list[Any] | None, model: LoadedModel) -> tuple[str, ...]:
    """The named outputs, or all. Raises InvalidRequest for one that the model has not."""
    if not wanted:
        return tuple(model.outputs)
    known = all(isinstance(name, str) and name in model.outputs for name in wanted)
    if not known:
        names = " and ".join(f"'{name}'" for name in model.outputs)
        raise InvalidRequest(f"'outputs' may only name {names}.", field="outputs")
    return tuple(dict.fromkeys(wanted))


def model_metadata(endpoint: str, model: LoadedModel, versions: Collection[int]) -> dict[str, Any]:
    manifest = model.manifest
    return {
        "name": endpoint,
        "versions": [str(version) for version in sorted(versions)],
        "platform": PLATFORM,
        "inputs": [_described(spec) for spec in model.inputs.values()],
        "outputs": [_described(spec) for spec in model.outputs.values()],
        "parameters": {
            "version": str(model.version),
            "feature_service": manifest.feature_service,
            "columns": manifest.input_names,
            "answer": manifest.graph_output,
        },
    }


def _described(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.kind.protocol, "shape": list(spec.shape)}
