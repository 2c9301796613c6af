"""The Lua script that decides, inside Redis, which of two rows stands.

One call takes entities (KEYS) and the same views for each of them; it is atomic, so that writers
in any order end the same. The newer (event time, created time) wins. Where both are equal a
tombstone wins, then the row whose SHA-1 is greater: an order that no writer's place in a queue
changes. A stored value that is no row (too short, another first byte) gives way to any.

Times are read as numbers, which are exact up to 2^53 microseconds; Lua's comparison of texts would
depend on the server's locale.

ARGV: 1 'f' to overwrite whatever stands there, '' otherwise; 2 milliseconds that the key must still
live, 0 to leave its life alone, -1 to let it live for ever; 3 what to set its life to when it is
shorter; 4 the number of views n; then their names; then n rows for each key, '' for none.
Answers n counts of rows written and n of rows that were not newer; then the places (from 1) of keys
that hold no hash.

A key without an expiry keeps living: only the one that makes it sets one. So a view that never
expires is safe beside others.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from mlops.stores.redis.schema import HEADER, ROW, TOMBSTONE


@dataclass(frozen=True)
class Script:
    """A Lua script, called by its hash."""

    text: str

    @cached_property
    def sha(self) -> bytes:
        return hashlib.sha1(self.text.encode()).hexdigest().encode()  # noqa: S324  # Redis' own


def outranks(new: bytes, old: bytes | None) -> bool:
    """Whether the script would write a row over what stands there, for those who only look."""
    if old is None or len(old) < HEADER.size or old[0] not in (ROW, TOMBSTONE):
        return True
    return new != old and _rank(new) > _rank(old)


def _rank(row: bytes) -> tuple[tuple[int, int], bool, str]:
    digest = hashlib.sha1(row).hexdigest()  # noqa: S324  # Redis' own
    return HEADER.unpack_from(row)[2:], row[0] == TOMBSTONE, digest


UPSERT = Script("""
local call, read, many = redis.call, struct.unpack, unpack
local force, need, life, n = ARGV[1] == 'f', tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])

local function is_row(value)
  local first = string.byte(value, 1)
  return #value >= 21 and (first == 1 or first == 129)
end

local function wins(new, old)
  if new == old then return false end
  if force or not is_row(old) then return true end
  local ne, nc = read('<i8i8', new, 6)
  local oe, oc = read('<i8i8', old, 6)
  if ne ~= oe then return ne > oe end
  if nc ~= oc then return nc > oc end
  local nt, ot = string.byte(new, 1) == 129, string.byte(old, 1) == 129
  if nt ~= ot then return nt end
  return redis.sha1hex(new) > redis.sha1hex(old)
end

local get, set, counts, fields = {'HMGET', ''}, {'HSET', ''}, {}, {}
for view = 1, n do
  fields[view] = ARGV[view + 4]
  get[view + 2] = fields[view]
  counts[view], counts[view + n] = 0, 0
end

local function life_of(key)
  return need > 0 and call('PTTL', key) or 0
end

local function outlive(key, left)
  if need < 0 then
    call('PERSIST', key)
  elseif need > 0 and left ~= -1 and left < need then
    call('PEXPIRE', key, life)
  end
end

-- Each of these answers false where the key holds no hash.

local function write_views(key, arg)
  get[2], set[2] = key, key
  local olds, last = redis.pcall(many(get)), 2
  if olds.err then return false end
  for view = 1, n do
    local new, old = ARGV[arg + view], olds[view]
    if new ~= '' then
      if not old or wins(new, old) then
        set[last + 1], set[last + 2], last = fields[view], new, last + 2
        counts[view] = counts[view] + 1
      else
        counts[view + n] = counts[view + n] + 1
      end
    end
  end
  if last > 2 then
    local left = life_of(key)
    call(many(set, 1, last))
    outlive(key, left)
  end
  return true
end

-- Rows of one view are put in unasked while each is the first of its entity, as in a first load.
local field, is_first = fields[1], true

local function write_view(key, arg)
  local new, left = ARGV[arg + 1], nil
  if new == '' then return true end
  if is_first then
    left = life_of(key)
    local added = redis.pcall('HSETNX', key, field, new)
    if added == 1 then
      outlive(key, left)
      counts[1] = counts[1] + 1
      return true
    end
    is_first = false
  end
  local old = redis.pcall('HGET', key, field)
  if type(old) == 'table' then return false end
  if old and not wins(new, old) then
    counts[2] = counts[2] + 1
    return true
  end
  left = left or life_of(key)
  call('HSET', key, field, new)
  outlive(key, left)
  counts[1] = counts[1] + 1
  return true
end

local write = n == 1 and write_view or write_views
for place, key in ipairs(KEYS) do
  if not write(key, n + 4 + (place - 1) * n) then counts[#counts + 1] = place end
end
return counts
""")
