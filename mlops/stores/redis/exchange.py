"""Taking a row out of the online store, or putting an older one in its place, safely.

A row that holds no more is known by its event time and created time. Only where that very row
still stands is it exchanged, decided in Redis; a row that was pushed meanwhile is another one.

What vanished from the offline store leaves a tombstone with its times, so that an older row that
is written late does not bring the entity back. Whatever the offline store has of the entity later
takes the tombstone's place, however old it is: hence it bears a mark that others do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlops.stores.redis.commands import Call
from mlops.stores.redis.encoding import Times
from mlops.stores.redis.link import Link
from mlops.stores.redis.schema import HEADER, ROW, TOMBSTONE, VANISHED
from mlops.stores.redis.script import Script
from mlops.stores.redis.views import StoredView

_ROWS = 256
TIMES = slice(5, 21)
"""Where the times of a row stand in it."""

EXCHANGE = Script(f"""
local field, done = ARGV[1], {{}}
for place, key in ipairs(KEYS) do
  local old = redis.call('HGET', key, field) or ''
  local expected, new = ARGV[2 * place], ARGV[2 * place + 1]
  local stands = string.byte(old, 1) == {ROW}
    and string.sub(old, {TIMES.start + 1}, {TIMES.stop}) == expected
  local vanished = string.sub(old, 1, 5) == '\\{TOMBSTONE}{VANISHED.decode()}'
    and string.byte(new, 1) == {ROW}
  done[place] = 0
  if stands or vanished then
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
"""ARGV: 1 the view; then for each key the old row's times in 16 bytes, and the new row, or '' for
none. A row takes the place of what vanished whatever the times; with '' for them, of nothing else.
"""


@dataclass(frozen=True)
class Exchange:
    """One row for another; `rows` holds '' for none."""

    view: StoredView
    keys: Sequence[bytes]
    old: Sequence[bytes]
    """The times of the rows to be replaced, as they stand in a row; '' to replace only what
    vanished."""
    rows: Sequence[bytes]


def exchange(link: Link, asked: Exchange) -> list[bool]:
    """Whether each row was exchanged: where another one stood, or the same, nothing was done.

    Raises Unavailable; then a part may be done, and doing it again does no harm.
    """
    done: dict[int, bool] = {}
    calls = _calls(asked, at_most=min(_ROWS, link.keys_per_call))
    for call, answer in link.run(EXCHANGE, calls):
        for place, changed in enumerate(answer):
            done[call.about + place] = bool(changed)
    return [done[place] for place in range(len(asked.keys))]


def packed_times(event: Times, created: Times) -> list[bytes]:
    """The times of rows as rows bear them; created: NO_CREATED where there is none."""
    pairs = zip(event.tolist(), created.tolist(), strict=True)
    return [HEADER.pack(ROW, b"\0\0\0\0", e, c)[TIMES] for e, c in pairs]


def vanished(times: bytes) -> bytes:
    """What stands for a row of these times that the offline store holds no more."""
    return bytes([TOMBSTONE]) + VANISHED + times


def is_vanished(row: bytes) -> bool:
    return row.startswith(bytes([TOMBSTONE]) + VANISHED)


def _calls(asked: Exchange, *, at_most: int) -> Iterator[Call]:
    for start in range(0, len(asked.keys), at_most):
        part = slice(start, start + at_most)
        pairs = zip(asked.old[part], asked.rows[part], strict=True)
        arguments = [item for pair in pairs for item in pair]
        yield Call(asked.keys[part], [asked.view.field, *arguments], start)
