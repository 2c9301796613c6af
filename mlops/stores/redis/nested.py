"""Values within values (maps, structs, lists of lists): each bears the number of its type.

The numbers are those of the members of `feast.types.Value`. A nested value here is a pair of its
number and what it holds: a number, text, bytes, a list of elements, or pairs for the maps.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

Tagged = tuple[int, Any]

UNSET, NULL = 0, 19
BYTES, STRING, INT32, INT64, DOUBLE, FLOAT, BOOL, SECONDS = range(1, 9)
MAP, MAP_LIST, STRUCT, STRUCT_LIST = 20, 21, 34, 35
LIST, SET = 42, 43
SCALAR_MAP, ZONED = 47, 48
_JSON, _UUID, _TIME_UUID, _DECIMAL = 32, 36, 37, 44

_NUMBERS = {INT32: "<i", INT64: "<q", DOUBLE: "<d", FLOAT: "<f", BOOL: "<?", SECONDS: "<q"}
_TEXTS = {STRING, _JSON, _UUID, _TIME_UUID, _DECIMAL}
ELEMENTS = {
    **{11 + i: kind for i, kind in enumerate((BYTES, STRING, INT32, INT64, DOUBLE, FLOAT, BOOL))},
    **{22 + i: kind for i, kind in enumerate((BYTES, STRING, INT32, INT64, DOUBLE, FLOAT, BOOL))},
    18: SECONDS,
    29: SECONDS,
    33: _JSON,
    38: _UUID,
    39: _TIME_UUID,
    40: _UUID,
    41: _TIME_UUID,
    45: _DECIMAL,
    46: _DECIMAL,
}
"""The lists and sets of one type, and the number of their elements' type."""
_DEEPEST = 64
"""Levels; deeper is no value that Feast wrote."""
_COUNT = struct.Struct("<I")


def pack(value: Tagged) -> bytes:
    """The bytes of a value, its number first."""
    number, content = value
    return bytes([number]) + _pack_content(number, content)


def unpack(body: bytes) -> Tagged:
    """The value of these bytes. Raises ValueError where they are none, or more than one."""
    reader = _Reader(body)
    value = reader.tagged()
    if reader.position != len(body):
        raise ValueError(f"{len(body) - reader.position} bytes follow the value")
    return value


def _pack_content(number: int, content: Any) -> bytes:
    if number in _NUMBERS:
        return struct.pack(_NUMBERS[number], content)
    if number in _TEXTS:
        return _sized(content.encode())
    if number in ELEMENTS:
        return _counted(content, lambda item: _pack_content(ELEMENTS[number], item))
    return _PACKERS[number](content)


def _sized(body: bytes) -> bytes:
    return _COUNT.pack(len(body)) + body


def _counted(items: Any, packed: Callable[[Any], bytes]) -> bytes:
    return _COUNT.pack(len(items)) + b"".join([packed(item) for item in items])


def _pack_map(pairs: Any) -> bytes:
    return _counted(pairs, lambda pair: _sized(pair[0].encode()) + pack(pair[1]))


def _pack_maps(maps: Any) -> bytes:
    return _counted(maps, _pack_map)


_PACKERS: dict[int, Callable[[Any], bytes]] = {
    UNSET: lambda _: b"",
    NULL: lambda _: b"",
    BYTES: _sized,
    MAP: _pack_map,
    STRUCT: _pack_map,
    MAP_LIST: _pack_maps,
    STRUCT_LIST: _pack_maps,
    LIST: lambda values: _counted(values, pack),
    SET: lambda values: _counted(values, pack),
    SCALAR_MAP: lambda pairs: _counted(pairs, lambda pair: pack(pair[0]) + pack(pair[1])),
    ZONED: lambda zoned: struct.pack("<q", zoned[0]) + _sized(zoned[1].encode()),
}


class _Reader:
    """Takes one value after another from bytes. Raises ValueError where they end too soon."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.position = 0
        self._depth = 0

    def tagged(self) -> Tagged:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError(f"more than {_DEEPEST} values within each other")
        number = self._take(1)[0]
        content = self._content(number)
        self._depth -= 1
        return number, content

    def _content(self, number: int) -> Any:
        if number in _NUMBERS:
            form = _NUMBERS[number]
            return struct.unpack(form, self._take(struct.calcsize(form)))[0]
        if number in _TEXTS:
            return self._text()
        if number in ELEMENTS:
            return [self._content(ELEMENTS[number]) for _ in range(self._count())]
        return self._other(number)

    def _other(self, number: int) -> Any:
        if number in (UNSET, NULL):
            return None
        if number == BYTES:
            return self._take(self._count())
        if number in (MAP, STRUCT):
            return self._map()
        if number in (MAP_LIST, STRUCT_LIST):
            return [self._map() for _ in range(self._count())]
        if number in (LIST, SET):
            return [self.tagged() for _ in range(self._count())]
        if number == SCALAR_MAP:
            return [(self.tagged(), self.tagged()) for _ in range(self._count())]
        if number == ZONED:
            return self._content(SECONDS), self._text()
        raise ValueError(f"{number} is the number of no type")

    def _map(self) -> list[tuple[str, Tagged]]:
        return [(self._text(), self.tagged()) for _ in range(self._count())]

    def _text(self) -> str:
        return self._take(self._count()).decode()

    def _count(self) -> int:
        (count,) = _COUNT.unpack(self._take(_COUNT.size))
        if count > len(self.body) - self.position:
            raise ValueError("the value is cut off")
        return int(count)

    def _take(self, size: int) -> bytes:
        end = self.position + size
        if end > len(self.body):
            raise ValueError("the value is cut off")
        taken = self.body[self.position : end]
        self.position = end
        return taken
