"""The keys of one project in Redis: taken whole, each in one step, and put back."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mlops.stores.redis.client_link import unavailable
from mlops.stores.redis.commands import Call
from mlops.stores.redis.keys import project_prefix, scan_pattern, schemas_key
from mlops.stores.redis.link import Link
from mlops.stores.redis.script import Script

_STEP = 200
SCHEMA = pa.schema(
    [
        ("key", pa.binary()),
        ("kind", pa.string()),
        ("expires_at", pa.int64()),
        ("names", pa.list_(pa.binary())),
        ("values", pa.list_(pa.binary())),
    ]
)
"""A row per key: a hash with its fields, or a string as one value. Expiry in milliseconds since
1970, by Redis' own clock; none for a key that stays."""

_TAKE = Script("""
local found, now = {}, redis.call('TIME')
for place, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  local left = redis.call('PTTL', key)
  local content = {}
  if kind == 'hash' then content = redis.call('HGETALL', key) end
  if kind == 'string' then content = {redis.call('GET', key)} end
  found[place] = {kind, left, content}
end
return {now[1], now[2], found}
""")
_PUT = Script("""
local place = 0
for _, key in ipairs(KEYS) do
  local kind, expires, count = ARGV[place + 1], ARGV[place + 2], tonumber(ARGV[place + 3])
  place = place + 3
  redis.call('UNLINK', key)
  for part = 1, count, 2 do
    if kind == 'hash' then
      redis.call('HSET', key, ARGV[place + part], ARGV[place + part + 1])
    else
      redis.call('SET', key, ARGV[place + part + 1])
    end
  end
  place = place + count
  if expires ~= '' then redis.call('PEXPIREAT', key, expires) end
end
return #KEYS
""")


@dataclass(frozen=True)
class ProjectKeys:
    """What a project keeps in Redis: its entities, its schemas, and the marks of its runs."""

    link: Link
    project: str

    @property
    def marks_pattern(self) -> bytes:
        return scan_pattern(b"mlops:upsync:" + self.project.encode() + b":")

    def scan(self) -> Iterator[bytes]:
        """Every key, each at least once. The marks come last: restored in this order, a store that
        is not whole yet is not taken for one that is.
        """
        yield schemas_key(self.project)
        yield from self.link.scan(scan_pattern(project_prefix(self.project)))
        yield from self.link.scan(self.marks_pattern)

    def is_empty(self) -> bool:
        keys = itertools.islice(self.scan(), 1, None)
        there = int(self.link.command("EXISTS", schemas_key(self.project)))
        return not there and next(keys, None) is None

    def take(self) -> Iterator[pa.RecordBatch]:
        """The keys with what they hold, some hundreds at a time; a key is taken in one step."""
        keys = self.scan()
        calls = (Call(part, []) for part in _parts(keys, self._keys_per_call))
        rows: list[dict[str, Any]] = []
        for call, (seconds, micros, found) in self.link.run(_TAKE, calls):
            now = int(seconds) * 1000 + int(micros) // 1000
            rows += _rows(call.keys, found, now)
            if len(rows) >= _STEP:
                yield _batch(rows)
                rows = []
        if rows:
            yield _batch(rows)

    def put(self, batch: pa.RecordBatch) -> int:
        """Put keys back, in the place of what stands there; doing it again changes nothing."""
        rows = iter(batch.to_pylist())
        calls = (_put_call(part) for part in _parts(rows, self._keys_per_call))
        return sum(int(count) for _, count in self.link.run(_PUT, calls))

    def remove(self) -> int:
        """Remove every key of the project."""
        removed = 0
        for part in _parts(self.scan(), _STEP):
            for answer in self.link.batch([("UNLINK", key) for key in part]):
                if isinstance(answer, Exception):
                    raise unavailable(self.link.address, answer) from answer
                removed += int(answer)
        return removed

    @property
    def _keys_per_call(self) -> int:
        return min(_STEP, self.link.keys_per_call)


def _rows(keys: Sequence[bytes], found: Iterable[Any], now: int) -> Iterator[dict[str, Any]]:
    for key, (kind, left, content) in zip(keys, found, strict=True):
        name = kind.decode()
        if name == "none":
            continue
        pairs = content if name == "hash" else [b"", *content]
        yield {
            "key": key,
            "kind": name,
            "expires_at": now + left if left >= 0 else None,
            "names": pairs[::2],
            "values": pairs[1::2],
        }


def _batch(rows: Sequence[dict[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), schema=SCHEMA)


def _put_call(rows: Sequence[dict[str, Any]]) -> Call:
    arguments: list[bytes] = []
    for row in rows:
        content = [part for pair in zip(row["names"], row["values"], strict=True) for part in pair]
        expires = b"" if row["expires_at"] is None else b"%d" % row["expires_at"]
        arguments += [row["kind"].encode(), expires, b"%d" % len(content), *content]
    return Call([row["key"] for row in rows], arguments)


def _parts(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while part := list(itertools.islice(items, size)):
        yield part
