"""Tensors: what the protocol, NumPy, ONNX and the manifest call one type, and values made to fit.

Source: https://github.com/kserve/open-inference-protocol, section "Tensor Data Types".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.errors import InvalidRequest

Tensor = npt.NDArray[Any]
Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Kind:
    """One type of element."""

    protocol: str
    dtype: np.dtype[Any]
    onnx: str
    manifest: str

    @property
    def is_text(self) -> bool:
        return self.protocol == "BYTES"


def _kind(protocol: str, dtype: Any, onnx: str, manifest: str) -> Kind:
    return Kind(protocol, np.dtype(dtype), f"tensor({onnx})", manifest)


_KINDS = (
    _kind("BOOL", np.bool_, "bool", "Bool"),
    _kind("UINT8", np.uint8, "uint8", "UInt8"),
    _kind("UINT16", np.uint16, "uint16", "UInt16"),
    _kind("UINT32", np.uint32, "uint32", "UInt32"),
    _kind("UINT64", np.uint64, "uint64", "UInt64"),
    _kind("INT8", np.int8, "int8", "Int8"),
    _kind("INT16", np.int16, "int16", "Int16"),
    _kind("INT32", np.int32, "int32", "Int32"),
    _kind("INT64", np.int64, "int64", "Int64"),
    _kind("FP16", np.float16, "float16", "Float16"),
    _kind("FP32", np.float32, "float", "Float32"),
    _kind("FP64", np.float64, "double", "Float64"),
    _kind("BYTES", np.object_, "string", "String"),
)
BY_PROTOCOL = {kind.protocol: kind for kind in _KINDS}
BY_ONNX = {kind.onnx: kind for kind in _KINDS}
BY_MANIFEST = {kind.manifest: kind for kind in _KINDS}
BY_DTYPE = {kind.dtype: kind for kind in _KINDS}


def count_rows(tensors: Tensors) -> int:
    return next((len(tensor) for tensor in tensors.values()), 0)


@dataclass(frozen=True)
class TensorSpec:
    """A tensor of a loaded graph; the first dimension is the rows."""

    name: str
    kind: Kind
    shape: tuple[int, ...]
    """-1 where a dimension is open."""

    def accepts(self, shape: Sequence[int]) -> bool:
        """The rows may be any number but none."""
        return (
            len(shape) == len(self.shape)
            and shape[0] > 0
            and all(
                wanted in (-1, side) for wanted, side in zip(self.shape[1:], shape[1:], strict=True)
            )
        )

    def described(self) -> str:
        return "[" + ", ".join("rows" if s < 0 else str(s) for s in self.shape) + "]"


def from_values(values: Any, kind: Kind, *, field: str) -> Tensor:
    """Flat or nested JSON values as a tensor of this type; null is NaN where the type has it.

    Raises InvalidRequest for a value of another type, or one that the type cannot hold.
    """
    if kind.is_text:
        return _texts(values, field)
    raw = _numbers(values, kind, field)
    return convert(raw, kind, field=field)


def _texts(values: Any, field: str) -> Tensor:
    tensor = np.array(values, dtype=np.object_)
    if not all(type(value) is str for value in tensor.ravel()):
        raise InvalidRequest(f"'{field}' must hold strings, in rows of equal length.", field=field)
    return tensor


def _numbers(values: Any, kind: Kind, field: str) -> Tensor:
    """NumPy would read '1' and true as 1.0 without complaint."""
    try:
        raw = np.array(values)
        if raw.dtype.kind == "O":
            raw = np.vectorize(_number, otypes=[float])(raw)
    except (TypeError, ValueError) as exc:
        raise InvalidRequest(
            f"'{field}' must hold numbers or null, in rows of equal length.", field=field
        ) from exc
    if raw.dtype.kind not in ("b" if kind.protocol == "BOOL" else "iuf"):
        wanted = "true or false" if kind.protocol == "BOOL" else "numbers or null"
        raise InvalidRequest(f"'{field}' must hold {wanted} only.", field=field)
    return raw


def _number(value: Any) -> float:
    if value is None:
        return float("nan")
    if type(value) not in (int, float):
        raise TypeError(f"{type(value).__name__} is no number")
    return float(value)


def convert(raw: Tensor, kind: Kind, *, field: str) -> Tensor:
    """The same numbers in another type. Raises InvalidRequest where one does not fit."""
    if raw.dtype == kind.dtype:
        return raw
    if kind.is_text or raw.dtype.kind == "O":
        raise InvalidRequest(f"'{field}' must be {kind.protocol}.", field=field)
    with np.errstate(over="ignore", invalid="ignore"):
        made = raw.astype(kind.dtype)
    if kind.dtype.kind == "f":
        if np.isinf(made).any():
            name = kind.manifest.lower()
            raise InvalidRequest(f"'{field}' holds a number too large for {name}.", field=field)
    elif not (made == raw).all():
        raise InvalidRequest(f"'{field}' holds a value that is no {kind.protocol}.", field=field)
    return made
