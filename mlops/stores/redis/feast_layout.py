"""What Feast's own Redis store keeps: one hash per entity, a field per feature.

The key is the serialized entity key (version 3) and the project. `_ts:<view>` holds the event time
as a protobuf timestamp, and a field of four bytes, a murmur3 hash of '<view>:<feature>', a value as
a protobuf message. No field tells what it holds, so that views must be known to read them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from feast.infra.key_encoding_utils import deserialize_entity_key
from feast.infra.online_stores.helpers import _mmh3
from feast.protos.feast.types.Value_pb2 import Value, ValueType
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from mlops.stores.redis.script import Script

REMOVE = Script("""
local time, count, removed = ARGV[1], tonumber(ARGV[2]), {}

local function holds_rows(key)
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 4) == '_ts:' then return true end
  end
  return false
end

for place, key in ipairs(KEYS) do
  removed[place] = 0
  if redis.call('HGET', key, time) == ARGV[2 + count + place] then
    redis.call('HDEL', key, time)
    for field = 3, 2 + count do redis.call('HDEL', key, ARGV[field]) end
    if not holds_rows(key) then redis.call('UNLINK', key) end
    removed[place] = 1
  end
end
return removed
""")
"""Takes a view's rows out where they still have the time that was read; a hash that holds no other
view's row goes with them.

ARGV: 1 the time's field; 2 how many features' fields; then they; then the time of each key's row.
Answers 1 for each key whose row was removed, 0 for others."""


@dataclass(frozen=True)
class FeastFields:
    """Where a view's row lies in the hash of its entity."""

    view: str
    features: tuple[str, ...]

    @cached_property
    def time(self) -> bytes:
        return f"_ts:{self.view}".encode()

    @cached_property
    def values(self) -> tuple[bytes, ...]:
        return tuple(_mmh3(f"{self.view}:{feature}") for feature in self.features)

    @property
    def names(self) -> tuple[bytes, ...]:
        """All of them, the time's first."""
        return (self.time, *self.values)


def entity_of(key: bytes, project: str) -> Any:
    """The entity whose key it is; None for a key of another project, or of something else.

    A view without an entity lies under Feast's stand-in or, by some of its ways in, under none.
    """
    tail = project.encode()
    if not key.endswith(tail):
        return None
    try:
        entity = deserialize_entity_key(key[: len(key) - len(tail)], 3)
    except (ValueError, struct.error):
        return None
    names, values = len(entity.join_keys), len(entity.entity_values)
    return entity if names == values else None


def is_of_older_version(key: bytes, join_keys: Sequence[str]) -> bool:
    """Whether it looks like a key of these join keys in a version before 3, without lengths."""
    first = min(join_keys).encode()
    return key.startswith(struct.pack("<I", ValueType.STRING) + first)


def read_row(found: Sequence[bytes | None]) -> tuple[int, list[Any]] | None:
    """Event time in microseconds and a message per feature, of what `FeastFields.names` hold.

    None where there is no row. Raises ValueError where it cannot be read.
    """
    time, *values = found
    if time is None:
        if any(value is not None for value in values):
            raise ValueError("it has values and no time")
        return None
    try:
        stamp = Timestamp.FromString(time)
        messages = [None if value is None else Value.FromString(value) for value in values]
    except DecodeError as exc:
        raise ValueError("it holds what is no message of Feast's") from exc
    return stamp.seconds * 1_000_000 + stamp.nanos // 1000, messages
