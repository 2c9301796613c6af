"""The Open Inference Protocol, version 2, as JSON: bodies in, matrices out, and back.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md.
Two things beside it: `null` in a tensor's data is NaN, JSON having no other way to say it, and an
error carries a `code` beside its `error` text.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from mlops.manifest import Manifest
from serving.errors import InvalidRequest
from serving.inference.model import FloatMatrix, LoadedModel

PLATFORM = "onnxruntime_onnx"
_NUMERIC = frozenset(
    {"FP16", "FP32", "FP64", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32"}
)


@dataclass(frozen=True)
class InferRequest:
    """A request, checked against the model that it is for."""

    rows: FloatMatrix
    id: str | None = None


def parse_json(body: bytes) -> Any:
    """Raises InvalidRequest."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise InvalidRequest(f"The body is no JSON: {exc}.", field="body") from exc


def parse_infer(body: bytes, manifest: Manifest) -> InferRequest:
    """The rows of a request. Raises InvalidRequest naming the part that is wrong."""
    request = parse_json(body)
    inputs = request.get("inputs") if isinstance(request, dict) else None
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise InvalidRequest(
            f"'inputs' must hold one tensor, '{manifest.graph_input}'.", field="inputs"
        )
    _check_outputs(request.get("outputs"), manifest)
    identity = request.get("id")
    return InferRequest(_tensor(inputs[0], manifest), None if identity is None else str(identity))


def _check_outputs(outputs: Any, manifest: Manifest) -> None:
    if outputs is None:
        return
    known = isinstance(outputs, list) and all(
        isinstance(output, dict) and output.get("name") == manifest.graph_output
        for output in outputs
    )
    if not known:
        raise InvalidRequest(f"'outputs' may only name '{manifest.graph_output}'.", field="outputs")


def _tensor(tensor: Mapping[str, Any], manifest: Manifest) -> FloatMatrix:
    if tensor.get("name") != manifest.graph_input:
        raise InvalidRequest(
            f"'name' must be '{manifest.graph_input}', the model's input.", field="inputs[0].name"
        )
    if tensor.get("datatype") not in _NUMERIC:
        raise InvalidRequest(
            f"'datatype' must be one of {', '.join(sorted(_NUMERIC))}; FP32 is what the model "
            "takes.",
            field="inputs[0].datatype",
        )
    shape: Any = tensor.get("shape")
    width = len(manifest.inputs)
    if not is_shape(shape, width):
        raise InvalidRequest(
            f"'shape' must be [rows, {width}] with at least one row.", field="inputs[0].shape"
        )
    return to_matrix(tensor.get("data"), shape[0], width, field="inputs[0].data")


def is_shape(shape: Any, width: int) -> bool:
    return (
        isinstance(shape, list)
        and len(shape) == 2
        and all(type(side) is int for side in shape)
        and shape[0] > 0
        and shape[1] == width
    )


def to_matrix(data: Any, rows: int, width: int, *, field: str) -> FloatMatrix:
    """Flat or nested numbers, null for NaN, as float32 [rows, width]. Raises InvalidRequest."""
    matrix = _numbers(data, field)
    if matrix.shape not in {(rows, width), (rows * width,)}:
        raise InvalidRequest(
            f"'{field}' must hold {rows} by {width} numbers, it is {list(matrix.shape)}.",
            field=field,
        )
    if np.isinf(matrix).any():
        raise InvalidRequest(f"'{field}' holds a number too large for float32.", field=field)
    return matrix.reshape(rows, width)


def _numbers(data: Any, field: str) -> FloatMatrix:
    """NumPy would read '1' and true as 1.0 without complaint."""
    try:
        raw = np.array(data)
        if raw.dtype.kind == "O":
            raw = np.vectorize(_number, otypes=[float])(raw)
    except (TypeError, ValueError) as exc:
        raise InvalidRequest(
            f"'{field}' must hold numbers or null, in rows of equal length.", field=field
        ) from exc
    if raw.dtype.kind not in "iuf":
        raise InvalidRequest(f"'{field}' must hold numbers or null only.", field=field)
    with np.errstate(over="ignore"):
        return raw.astype(np.float32)


def _number(value: Any) -> float:
    if value is None:
        return float("nan")
    if type(value) not in (int, float):
        raise TypeError(f"{type(value).__name__} is no number")
    return float(value)


def infer_answer(
    endpoint: str, model: LoadedModel, request: InferRequest, probabilities: FloatMatrix
) -> dict[str, Any]:
    answer = {
        "model_name": endpoint,
        "model_version": str(model.version),
        "outputs": [
            {
                "name": model.manifest.graph_output,
                "datatype": "FP32",
                "shape": list(probabilities.shape),
                "data": np.ascontiguousarray(probabilities).ravel(),
            }
        ],
    }
    return answer if request.id is None else answer | {"id": request.id}


def model_metadata(endpoint: str, model: LoadedModel, versions: Collection[int]) -> dict[str, Any]:
    manifest = model.manifest
    return {
        "name": endpoint,
        "versions": [str(version) for version in sorted(versions)],
        "platform": PLATFORM,
        "inputs": [_described(manifest.graph_input, len(manifest.inputs))],
        "outputs": [_described(manifest.graph_output, 2)],
        "parameters": {
            "version": str(model.version),
            "feature_service": manifest.feature_service,
            "columns": manifest.input_names,
        },
    }


def _described(name: str, width: int) -> dict[str, Any]:
    return {"name": name, "datatype": "FP32", "shape": [-1, width]}
