"""Values of Feast's types as they stand in JSON, read strictly.

A float that JSON has no number for is one of the texts 'NaN', 'Infinity' and '-Infinity'; bytes
are base64; a time is ISO 8601 with a zone. A list holds such values, or null.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

_ARRAY = re.compile(r"^Array\((\w+)\)$")
_NO_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_FLOAT32 = 3.4028234663852886e38


@dataclass(frozen=True)
class ValueType:
    """A Feast type: how JSON has it, and how a table does."""

    says: str
    """In messages: what a value must be."""
    to_json: Callable[[Any], Any] | None
    """None where orjson writes Python's own value as it must be."""
    from_json: Callable[[Any], Any]
    """Raises ValueError."""
    arrow: pa.DataType
    athena: str


def value_type(dtype: str) -> ValueType | None:
    """The type by Feast's name of it; None for one that no event carries."""
    if (array := _ARRAY.match(dtype)) is None:
        return _SCALARS.get(dtype)
    element = _SCALARS.get(array[1])
    return _array_of(element) if element else None


def _array_of(element: ValueType) -> ValueType:
    write, read = element.to_json, element.from_json

    def to_json(values: Any) -> list[Any]:
        if write is None:
            return list(values)
        return [None if value is None else write(value) for value in values]

    def from_json(value: Any) -> list[Any]:
        if type(value) is not list:
            raise ValueError
        return [None if item is None else read(item) for item in value]

    return ValueType(
        f"a list, each {element.says}",
        to_json,
        from_json,
        pa.list_(element.arrow),
        f"array<{element.athena}>",
    )


def _write_float(value: Any) -> Any:
    if value - value == 0:
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def _read_float(most: float) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        if type(value) is str and value in _NO_NUMBERS:
            return _NO_NUMBERS[value]
        if type(value) not in (int, float) or not abs(value) <= most:
            raise ValueError
        return float(value)

    return read


def _read_integer(bits: int) -> Callable[[Any], int]:
    bound = 1 << (bits - 1)

    def read(value: Any) -> int:
        if type(value) is not int or not -bound <= value < bound:
            raise ValueError
        return value

    return read


def _read_exactly(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise ValueError
        return value

    return read


def as_json(value: Any) -> Any:
    """Python's and NumPy's values as JSON has them; a time without a zone stays without one."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return _write_bytes(value)
    if isinstance(value, float):
        return _write_float(value)
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    if hasattr(value, "tolist"):
        return as_json(value.tolist())
    return value


def _write_bytes(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _read_bytes(value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError) as exc:
        raise ValueError from exc


def read_time(value: Any) -> datetime:
    """An ISO 8601 time with a zone, in UTC. Raises ValueError."""
    if type(value) is not str:
        raise ValueError
    time = datetime.fromisoformat(value)
    if time.tzinfo is None:
        raise ValueError
    return time.astimezone(UTC)


_SCALARS = {
    "Bool": ValueType("true or false", None, _read_exactly(bool), pa.bool_(), "boolean"),
    "Bytes": ValueType("base64", _write_bytes, _read_bytes, pa.binary(), "binary"),
    "Float32": ValueType("a number", _write_float, _read_float(_FLOAT32), pa.float32(), "float"),
    "Float64": ValueType("a number", _write_float, _read_float(math.inf), pa.float64(), "double"),
    "Int32": ValueType("an integer of 32 bits", None, _read_integer(32), pa.int32(), "int"),
    "Int64": ValueType("an integer of 64 bits", None, _read_integer(64), pa.int64(), "bigint"),
    "String": ValueType("a string", None, _read_exactly(str), pa.string(), "string"),
    "UnixTimestamp": ValueType(
        "an ISO 8601 time with a zone", None, read_time, pa.timestamp("ms"), "timestamp"
    ),
}
