"""Reading Feast's own Redis layout, without Feast: one round trip, no protobuf library.

One hash per entity, under its serialised key (version 3) followed by the project's name. In it,
per feature, a field named by the murmur hash of 'view:feature' that holds a `feast.types.Value`,
and per view '_ts:view' with a protobuf `Timestamp`. Source: Feast's
docs/specs/online_store_format.md and feast/infra/online_stores/redis.py, 0.67.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import mmh3
import redis.asyncio
from redis.exceptions import RedisError, ResponseError

from mlops.errors import Refused, Unavailable
from mlops.plan import FeaturePlan
from mlops.stores.online import (
    INVALID,
    NOT_FOUND,
    EntityRow,
    FeatureRow,
    FeatureStatus,
    FeatureValue,
    OnlineReader,
    ViewRead,
    is_outdated,
    view_reads,
)

_STRING, _INT32, _INT64 = 2, 3, 4
KEY_TYPES = {"String": _STRING, "Int32": _INT32, "Int64": _INT64}
_READABLE = frozenset(
    {"Bool", "Bytes", "Float32", "Float64", "Int32", "Int64", "String", "UnixTimestamp"}
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


class FeastRedisStore:
    """Feast's Redis online store, as serving reads it."""

    def __init__(self, client: redis.asyncio.Redis, *, address: str) -> None:
        self._client = client
        self._address = address

    def reader(self, plan: FeaturePlan, references: Sequence[str]) -> OnlineReader:
        reads = view_reads(plan, references)
        _refuse_unreadable(plan, reads)
        return _FeastRedisReader(self, _compile(plan, reads))

    async def fetch(self, commands: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[Any]:
        """The answers to one HMGET per (key, fields), in one round trip."""
        try:
            pipe = self._client.pipeline(transaction=False)
            for key, fields in commands:
                pipe.hmget(key, list(fields))
            return list(await pipe.execute(raise_on_error=False))
        except (RedisError, OSError) as exc:
            raise self._unavailable(exc) from exc

    def check(self, answer: Any) -> list[bytes | None] | None:
        """One answer of `fetch`; None where the key holds something that is no hash."""
        if isinstance(answer, ResponseError) and "WRONGTYPE" in str(answer):
            return None
        if isinstance(answer, Exception):
            raise self._unavailable(answer) from answer
        values: list[bytes | None] = answer
        return values

    async def ping(self) -> None:
        try:
            await self._client.ping()
        except (RedisError, OSError) as exc:
            raise self._unavailable(exc) from exc

    async def close(self) -> None:
        await self._client.aclose()

    def _unavailable(self, cause: Exception) -> Unavailable:
        return Unavailable(
            f"Redis at {self._address} does not answer: {cause or type(cause).__name__}. "
            "Check that it runs and that MLOPS_REDIS_URL and its password are right."
        )


@dataclass(frozen=True)
class _Group:
    """The views that share an entity, hence a hash: one HMGET reads them all."""

    keys: tuple[tuple[str, int], ...]
    """Join keys with their type numbers, in the order of the serialised key."""
    project: bytes
    reads: tuple[ViewRead, ...]
    fields: tuple[bytes, ...]

    def key(self, row: EntityRow) -> bytes:
        return entity_key([(name, kind, row[name]) for name, kind in self.keys]) + self.project


@dataclass(frozen=True)
class _FeastRedisReader:
    store: FeastRedisStore
    groups: tuple[_Group, ...]

    async def read(self, rows: Sequence[EntityRow], *, now: datetime) -> list[FeatureRow]:
        keys = [[group.key(row) for group in self.groups] for row in rows]
        fields = {
            key: group.fields
            for of_row in keys
            for key, group in zip(of_row, self.groups, strict=True)
        }
        answers = await self.store.fetch(list(fields.items())) if fields else []
        stored = {key: self.store.check(a) for key, a in zip(fields, answers, strict=True)}
        return [self._row([stored[key] for key in of_row], now) for of_row in keys]

    def _row(self, answers: Sequence[list[bytes | None] | None], now: datetime) -> FeatureRow:
        row: dict[str, FeatureValue] = {}
        for group, values in zip(self.groups, answers, strict=True):
            row.update(_decode_group(group, values, now))
        return row


def _compile(plan: FeaturePlan, reads: Sequence[ViewRead]) -> tuple[_Group, ...]:
    kinds = {field.name: KEY_TYPES[field.dtype] for field in plan.entities}
    by_keys: dict[tuple[str, ...], list[ViewRead]] = {}
    for read in reads:
        by_keys.setdefault(tuple(sorted(read.view.join_keys)), []).append(read)
    return tuple(
        _Group(
            keys=tuple((name, kinds[name]) for name in names),
            project=plan.project.encode(),
            reads=tuple(group),
            fields=tuple(field for read in group for field in _fields(read)),
        )
        for names, group in by_keys.items()
    )


def _refuse_unreadable(plan: FeaturePlan, reads: Sequence[ViewRead]) -> None:
    types = {f"{v.name}:{f.name}": f.dtype for v in plan.views for f in v.features}
    bad = [r for read in reads for r in read.references() if types[r] not in _READABLE]
    bad += [field.name for field in plan.entities if field.dtype not in KEY_TYPES]
    if bad:
        raise Refused(
            f"Feature service '{plan.service}': {', '.join(bad)} cannot be read for serving. "
            f"Use scalar features ({', '.join(sorted(_READABLE))}) and ids of "
            f"{', '.join(sorted(KEY_TYPES))}."
        )


def _fields(read: ViewRead) -> Iterator[bytes]:
    yield f"_ts:{read.view.name}".encode()
    for reference in read.references():
        yield struct.pack("<I", mmh3.hash(reference, signed=False))


def entity_key(keys: Sequence[tuple[str, int, Any]]) -> bytes:
    """Feast's serialised entity key, version 3; keys are (name, type number, value), by name."""
    parts = [struct.pack("<I", len(keys))]
    for name, _, _ in keys:
        encoded = name.encode()
        parts += struct.pack("<II", _STRING, len(encoded)), encoded
    for _, kind, value in keys:
        encoded = _key_value(kind, value)
        parts += struct.pack("<II", kind, len(encoded)), encoded
    return b"".join(parts)


def _key_value(kind: int, value: Any) -> bytes:
    if kind == _STRING:
        return str(value).encode()
    return struct.pack("<q" if kind == _INT64 else "<i", value)


def _decode_group(
    group: _Group, values: list[bytes | None] | None, now: datetime
) -> Iterator[tuple[str, FeatureValue]]:
    if values is None:
        for read in group.reads:
            yield from ((reference, INVALID) for reference in read.references())
        return
    start = 0
    for read in group.reads:
        end = start + 1 + len(read.features)
        yield from _decode_view(read, values[start], values[start + 1 : end], now)
        start = end


def _decode_view(
    read: ViewRead, stamp: bytes | None, values: Sequence[bytes | None], now: datetime
) -> Iterator[tuple[str, FeatureValue]]:
    try:
        event_time = None if stamp is None else decode_timestamp(stamp)
    except ValueError:
        yield from ((reference, INVALID) for reference in read.references())
        return
    if event_time is None:
        yield from ((reference, NOT_FOUND) for reference in read.references())
        return
    outdated = is_outdated(read.view, event_time, now)
    for reference, body in zip(read.references(), values, strict=True):
        yield reference, _decode_feature(body, event_time, outdated=outdated)


def _decode_feature(body: bytes | None, event_time: datetime, *, outdated: bool) -> FeatureValue:
    if outdated:
        return FeatureValue(FeatureStatus.OUTSIDE_MAX_AGE, None, event_time)
    if not body:
        return FeatureValue(FeatureStatus.NULL, None, event_time)
    try:
        value = decode_value(body)
    except ValueError:
        return FeatureValue(FeatureStatus.INVALID, None, event_time)
    status = FeatureStatus.NULL if value is None else FeatureStatus.PRESENT
    return FeatureValue(status, value, event_time)


def decode_timestamp(body: bytes) -> datetime:
    """A protobuf Timestamp as an aware time. Raises ValueError."""
    parts = dict(_messages(body))
    seconds, nanos = parts.get(1, 0), parts.get(2, 0)
    try:
        return _EPOCH + timedelta(seconds=_signed(seconds), microseconds=nanos // 1000)
    except (OverflowError, TypeError) as exc:
        raise ValueError(f"no time: {body!r}") from exc


def decode_value(body: bytes) -> Any:
    """A scalar `feast.types.Value` as a Python value, None where it is unset. Raises ValueError."""
    if len(body) == 9 and body[0] == 0x29:
        return struct.unpack_from("<d", body, 1)[0]
    value: Any = None
    for number, raw in _messages(body):
        try:
            value = _SCALARS[number](raw)
        except (KeyError, TypeError, OverflowError, struct.error) as exc:
            raise ValueError(f"field {number} of feast.types.Value is no scalar") from exc
    return value


def _signed(raw: int) -> int:
    return raw - (1 << 64) if raw >= 1 << 63 else raw


def _decode_seconds(raw: int) -> datetime:
    return _EPOCH + timedelta(seconds=_signed(raw))


_SCALARS: Mapping[int, Any] = {
    1: bytes,
    2: lambda raw: raw.decode(),
    3: _signed,
    4: _signed,
    5: lambda raw: struct.unpack("<d", raw)[0],
    6: lambda raw: struct.unpack("<f", raw)[0],
    7: bool,
    8: _decode_seconds,
    19: lambda _: None,
}
"""The scalar members of `feast.types.Value` by field number."""


def _messages(body: bytes) -> Iterator[tuple[int, Any]]:
    """The (field number, raw value) pairs of a protobuf message. Raises ValueError."""
    position = 0
    while position < len(body):
        tag, position = _varint(body, position)
        value, position = _field(body, position, tag & 7)
        yield tag >> 3, value


def _field(body: bytes, position: int, wire: int) -> tuple[Any, int]:
    if wire == _VARINT:
        return _varint(body, position)
    if wire == _LENGTH:
        length, position = _varint(body, position)
    elif wire in (_FIXED64, _FIXED32):
        length = 8 if wire == _FIXED64 else 4
    else:
        raise ValueError(f"unknown wire type {wire}")
    end = position + length
    if end > len(body):
        raise ValueError("the message is cut off")
    return body[position:end], end


def _varint(body: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    while position < len(body) and shift < 64:
        byte = body[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7
    raise ValueError("the message is cut off")
