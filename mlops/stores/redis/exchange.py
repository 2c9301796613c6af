"""Taking a row out of the online store, or putting an older one in its place, safely.

A row that holds no more is known by its event time and created time. Only where that very row
still stands is it exchanged, decided in Redis; a row that was pushed meanwhile is another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlops.stores.redis.encoding import Times
from mlops.stores.redis.link import Call, Link
from mlops.stores.redis.schema import HEADER, ROW
from mlops.stores.redis.script import Script
from mlops.stores.redis.views import StoredView

_ROWS = 256
TIMES = slice(5, 21)
"""Where the times of a row stand in it."""

EXCHANGE = Script(f"""
local field, done = ARGV[1], {{}}
for place, key in ipairs(KEYS) do
  local old = redis.call('HGET', key, field)
  local expected, new = ARGV[2 * place], ARGV[2 * place + 1]
  done[place] = 0
  local is_row = old and string.byte(old, 1) == {ROW}
  if is_row and string.sub(old, {TIMES.start + 1}, {TIMES.stop}) == expected then
    if new == '' then
      redis.call('HDEL', key, field)
      done[place] = 1
    elseif new ~= old then
      redis.call('HSET', key, field, new)
      done[place] = 1
    end
  end
end
return done
""")
"""ARGV: 1 the view; then for each key the old row's times in 16 bytes, and the new row or ''."""


@dataclass(frozen=True)
class Exchange:
    """One row for another; `rows` holds '' for none."""

    view: StoredView
    keys: Sequence[bytes]
    old: Sequence[bytes]
    """The times of the rows to be replaced, as they stand in a row."""
    rows: Sequence[bytes]


def exchange(link: Link, asked: Exchange) -> list[bool]:
    """Whether each row was exchanged: where another one stood, or the same, nothing was done.

    Raises Unavailable; then a part may be done, and doing it again does no harm.
    """
    done: dict[int, bool] = {}
    for call, answer in link.run(EXCHANGE, _calls(asked)):
        for place, changed in enumerate(answer):
            done[call.about + place] = bool(changed)
    return [done[place] for place in range(len(asked.keys))]


def packed_times(event: Times, created: Times) -> list[bytes]:
    """The times of rows as rows bear them; created: NO_CREATED where there is none."""
    pairs = zip(event.tolist(), created.tolist(), strict=True)
    return [HEADER.pack(ROW, b"\0\0\0\0", e, c)[TIMES] for e, c in pairs]


def _calls(asked: Exchange) -> Iterator[Call]:
    for start in range(0, len(asked.keys), _ROWS):
        part = slice(start, start + _ROWS)
        pairs = zip(asked.old[part], asked.rows[part], strict=True)
        arguments = [item for pair in pairs for item in pair]
        yield Call(asked.keys[part], [asked.view.field, *arguments], start)
