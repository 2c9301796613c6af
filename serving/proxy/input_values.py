"""Values as the inputs of a model take them, by the type of the input."""

from __future__ import annotations

import math
from typing import Any

from mlops.manifest import InputType
from serving.proxy.instances import MAX_NUMBER

Value = float | str
"""A number, a truth value or a text."""
_BITS = {"Int32": 31, "Int64": 63}


def read_value(value: Any, dtype: InputType) -> Value | None:
    """A value as an input of this type takes it; None where it is missing, or does not fit."""
    if dtype == "Float32":
        return as_number(value)
    if dtype == "String":
        return value if isinstance(value, str) else None
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    if dtype == "Float64":
        return float(value)
    if dtype == "Bool":
        return bool(value) if value in (0, 1) else None
    return int(value) if value == int(value) and -1 <= int(value) >> _BITS[dtype] <= 0 else None


def as_number(value: Any) -> float | None:
    """None where there is no number: missing, not within float32, or of another type."""
    if not isinstance(value, (int, float)) or not abs(value) <= MAX_NUMBER:
        return None
    return float(value)
