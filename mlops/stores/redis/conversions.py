"""Reading a value as another type than it was written in: only where its meaning stays."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from mlops.stores.redis.schema import Storage, storage_of

Conversion = Callable[[Any], Any]

_WHOLE = {"Bool": (0, 1), "Int32": (-(2**31), 2**31 - 1), "Int64": (-(2**63), 2**63 - 1)}
_REAL = ("Float32", "Float64")
_AS_TEXT = {"String", "Json", "Uuid", "TimeUuid", "Decimal"}
_AS_BYTES = {"Bytes", "PdfBytes", "ImageBytes"}


def same(value: Any) -> Any:
    return value


def conversion(stored: str, wanted: str) -> Conversion | None:
    """What turns a stored form of one Feast type into that of another; None where nothing can.

    Numbers become numbers: whole ones stay exact, floating ones are rounded to the nearest. Texts
    become texts, bytes bytes, nested values nested values. A conversion raises ValueError for a
    value that the wanted type cannot hold.
    """
    if stored == wanted or _is_alike(stored, wanted):
        return same
    if stored in _WHOLE or stored in _REAL:
        return _number(wanted)
    if wanted == "String" and stored in _AS_TEXT:
        return same
    return None


def _is_alike(stored: str, wanted: str) -> bool:
    both = {stored, wanted}
    nested = storage_of(stored) is storage_of(wanted) is Storage.NESTED
    return nested or both <= _AS_BYTES or _element(stored) == _element(wanted) != ""


def _element(dtype: str) -> str:
    """'T)' of 'Array(T)' and 'Set(T)': both are stored alike."""
    return dtype.partition("(")[2]


def _number(wanted: str) -> Conversion | None:
    if wanted in _WHOLE:
        low, high = _WHOLE[wanted]
        return lambda value: _whole(value, low, high, wanted)
    if wanted == "Float32":
        return _single
    return float if wanted == "Float64" else None


def _whole(value: float, low: int, high: int, wanted: str) -> Any:
    if not math.isfinite(value) or value != int(value) or not low <= value <= high:
        raise ValueError(f"{value} is no {wanted}")
    return bool(value) if wanted == "Bool" else int(value)


def _single(value: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.float32(value))
