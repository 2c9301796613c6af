"""Writing Feast's own Redis layout, without Feast: what `feast_redis` reads.

The newest row wins, decided in Redis; Feast's own writer reads first and writes then.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import mmh3
import redis
from redis.exceptions import RedisError

from mlops.downsync.flow import Flow
from mlops.downsync.online import OnlineRow
from mlops.errors import Refused, Unavailable
from mlops.stores.feast_redis import KEY_TYPES, entity_key

_SECOND = 1_000_000
_NEWEST_WINS = """
local function varint(text, at)
  local value, factor = 0, 1
  while true do
    local byte = string.byte(text, at)
    value = value + (byte % 128) * factor
    at = at + 1
    if byte < 128 then return value, at end
    factor = factor * 128
  end
end
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored then
  local parts, at, tag = {0, 0}, 1, 0
  while at <= #stored do
    tag, at = varint(stored, at)
    parts[math.floor(tag / 8)], at = varint(stored, at)
  end
  local seconds, nanos = tonumber(ARGV[2]), tonumber(ARGV[3])
  if parts[1] > seconds or (parts[1] == seconds and parts[2] > nanos) then return 0 end
end
local fields = {}
for n = 4, #ARGV do fields[#fields + 1] = ARGV[n] end
redis.call('HSET', KEYS[1], unpack(fields))
return 1
"""


class FeastRedisWriter:
    """Feast's Redis online store, as pushes write it; safe to share between threads."""

    def __init__(self, client: redis.Redis, *, address: str) -> None:
        self._client = client
        self._address = address
        self._script = client.register_script(_NEWEST_WINS)

    def check(self, flow: Flow) -> None:
        bad = [f.name for f in flow.features if f.dtype not in _WRITERS]
        if bad:
            raise Refused(
                f"View '{flow.view}' cannot be pushed to: {', '.join(bad)}. Use scalar features "
                f"({', '.join(sorted(_WRITERS))})."
            )

    def write(self, flow: Flow, rows: Sequence[OnlineRow]) -> None:
        try:
            with self._client.pipeline(transaction=False) as pipe:
                for row in rows:
                    self._script(
                        keys=[_key(flow, row)], args=list(_arguments(flow, row)), client=pipe
                    )
                pipe.execute()
        except (RedisError, OSError) as exc:
            raise Unavailable(
                f"Redis at {self._address} does not take rows: {exc or type(exc).__name__}. "
                "Check that it runs, has memory, and that MLOPS_REDIS_URL is right."
            ) from exc

    def close(self) -> None:
        self._client.close()


def _key(flow: Flow, row: OnlineRow) -> bytes:
    parts = sorted((f.name, KEY_TYPES[f.dtype], row.key[f.name]) for f in flow.keys)
    return entity_key(parts) + flow.project.encode()


def _arguments(flow: Flow, row: OnlineRow) -> Iterable[Any]:
    seconds, micros = divmod(row.time_us, _SECOND)
    stamp = f"_ts:{flow.view}".encode()
    yield from (stamp, seconds, micros * 1000)
    yield from (stamp, b"\x08" + _varint(seconds) + b"\x10" + _varint(micros * 1000))
    for feature in flow.features:
        name, value = f"{flow.view}:{feature.name}", row.values.get(feature.name)
        yield struct.pack("<I", mmh3.hash(name, signed=False))
        yield b"" if value is None else b"".join(_WRITERS[feature.dtype](value))


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _sized(tag: bytes, body: bytes) -> Iterator[bytes]:
    yield from (tag, _varint(len(body)), body)


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp() // 1)


_WRITERS: dict[str, Any] = {
    "Bytes": lambda value: _sized(b"\x0a", value),
    "String": lambda value: _sized(b"\x12", value.encode()),
    "Int32": lambda value: (b"\x18", _varint(value)),
    "Int64": lambda value: (b"\x20", _varint(value)),
    "Float64": lambda value: (b"\x29", struct.pack("<d", value)),
    "Float32": lambda value: (b"\x35", struct.pack("<f", value)),
    "Bool": lambda value: (b"\x38", _varint(value)),
    "UnixTimestamp": lambda value: (b"\x40", _varint(_seconds(value))),
}
"""The scalar members of `feast.types.Value`: tag and value."""
