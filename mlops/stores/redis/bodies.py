"""Values of varying length: their bytes behind the slots, and what they mean."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from mlops.stores.redis import nested
from mlops.stores.redis.schema import SLOTS, Column, Storage, element_of, storage_of

NO_TIME = -(2**63)
"""Feast's number for a time that is none."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{2}):?(\d{2})")
_SECONDS = struct.Struct("<q")


def pack_body(column: Column, value: Any) -> bytes:
    """The bytes of one value in its stored form. Raises what the value's own type raises."""
    return _PACK[column.storage](column, value)


def unpack_body(column: Column) -> Callable[[bytes], Any]:
    """What turns bytes of this column into its stored form; it raises ValueError."""
    return _UNPACK[column.storage](column)


def pack_list(items: Sequence[bytes]) -> bytes:
    """Count, the end of each, and all of them."""
    ends = np.cumsum([len(item) for item in items], dtype="<u4")
    return len(items).to_bytes(4, "little") + ends.tobytes() + b"".join(items)


def unpack_list(body: bytes) -> list[bytes]:
    """Raises ValueError where counts and lengths do not agree."""
    count = int.from_bytes(body[:4], "little")
    start = 4 + 4 * count
    if start > len(body):
        raise ValueError("the list is cut off")
    ends = np.frombuffer(body, "<u4", count, 4).tolist()
    starts = [0, *ends[:-1]]
    size = len(body) - start
    if (ends[-1] if ends else 0) != size or any(s > e for s, e in zip(starts, ends, strict=False)):
        raise ValueError("the list's lengths do not agree")
    return [body[start + s : start + e] for s, e in zip(starts, ends, strict=False)]


def python_value(dtype: str) -> Callable[[Any], Any] | None:
    """What turns a stored form into what callers get; None where it is that already.

    Times become aware datetimes, maps dictionaries; texts of JSON, UUIDs and decimals stay texts,
    sets stay lists in the order in which they were written. Raises ValueError.
    """
    if dtype == "UnixTimestamp":
        return _time
    if dtype in ("Array(UnixTimestamp)", "Set(UnixTimestamp)"):
        return lambda items: [_time(item) for item in items]
    storage = storage_of(dtype)
    if storage is Storage.ZONED:
        return _zoned
    return _plain if storage is Storage.NESTED else None


def _time(seconds: int) -> datetime | None:
    if seconds == NO_TIME:
        return None
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError as exc:
        raise ValueError(f"{seconds} seconds are no time") from exc


def _zoned(value: tuple[int, str]) -> datetime | None:
    seconds, name = value
    moment = _time(seconds)
    return None if moment is None else moment.astimezone(_zone(name))


def _zone(name: str) -> tzinfo:
    """By its name or as an offset ('UTC+09:00', '-0730'), as Feast writes them; UTC otherwise."""
    offset = _OFFSET.fullmatch(name)
    if offset is not None:
        sign = -1 if offset[1] == "-" else 1
        return timezone(sign * timedelta(hours=int(offset[2]), minutes=int(offset[3])))
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def _plain(value: nested.Tagged) -> Any:
    number, content = value
    if number == nested.SECONDS:
        return _time(content)
    if number in (nested.MAP, nested.STRUCT):
        return {name: _plain(item) for name, item in content}
    if number in (nested.MAP_LIST, nested.STRUCT_LIST):
        return [{name: _plain(item) for name, item in pairs} for pairs in content]
    if number in (nested.LIST, nested.SET):
        return [_plain(item) for item in content]
    if number == nested.SCALAR_MAP:
        return {_plain(key): _plain(item) for key, item in content}
    if number == nested.ZONED:
        return _zoned(content)
    if nested.ELEMENTS.get(number) == nested.SECONDS:
        return [_time(item) for item in content]
    return content


def _pack_fixed_list(column: Column, value: Any) -> bytes:
    packed: bytes = np.asarray(value, dtype=SLOTS[element_of(column.dtype)][1]).tobytes()
    return packed


def _pack_zoned(_: Column, value: tuple[int, str]) -> bytes:
    seconds, zone = value
    return _SECONDS.pack(seconds) + zone.encode()


_PACK: dict[Storage, Callable[[Column, Any], bytes]] = {
    Storage.TEXT: lambda _, value: value.encode(),
    Storage.BYTES: lambda _, value: bytes(value),
    Storage.FIXED_LIST: _pack_fixed_list,
    Storage.TEXT_LIST: lambda _, value: pack_list([item.encode() for item in value]),
    Storage.BYTES_LIST: lambda _, value: pack_list(list(value)),
    Storage.ZONED: _pack_zoned,
    Storage.NESTED: lambda _, value: nested.pack(value),
}


def _unpack_fixed_list(column: Column) -> Callable[[bytes], Any]:
    slot = np.dtype(SLOTS[element_of(column.dtype)][1])
    return lambda body: np.frombuffer(body, slot).tolist()


def _unpack_zoned(body: bytes) -> tuple[int, str]:
    if len(body) < _SECONDS.size:
        raise ValueError("the time is cut off")
    return _SECONDS.unpack_from(body)[0], body[_SECONDS.size :].decode()


_UNPACK: dict[Storage, Callable[[Column], Callable[[bytes], Any]]] = {
    Storage.TEXT: lambda _: bytes.decode,
    Storage.BYTES: lambda _: bytes,
    Storage.FIXED_LIST: _unpack_fixed_list,
    Storage.TEXT_LIST: lambda _: lambda body: [item.decode() for item in unpack_list(body)],
    Storage.BYTES_LIST: lambda _: unpack_list,
    Storage.ZONED: lambda _: _unpack_zoned,
    Storage.NESTED: lambda _: nested.unpack,
}
