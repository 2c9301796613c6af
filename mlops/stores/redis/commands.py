"""What is asked of Redis, as bytes: a redis-py pipeline takes longer to put them together than
Redis does for the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, repeat
from typing import Any

from mlops.stores.redis.script import Script


@dataclass(frozen=True)
class Fields:
    """The fields that are read of a key, put together once."""

    names: tuple[bytes, ...]

    @cached_property
    def heads(self) -> dict[int, bytes]:
        """What stands before a key, by its length."""
        return _Heads(len(self.names))

    @cached_property
    def tail(self) -> bytes:
        """What stands behind a key."""
        return b"\r\n" + b"".join([_argument(name) for name in self.names])

    def pack(self, keys: Sequence[bytes]) -> bytes:
        """An HMGET of them for each key, as they go over the wire."""
        heads = map(self.heads.__getitem__, map(len, keys))
        return b"".join(chain.from_iterable(zip(heads, keys, repeat(self.tail))))


class _Heads(dict[int, bytes]):
    """As many as there are lengths of keys."""

    def __init__(self, fields: int) -> None:
        super().__init__()
        self._fields = fields

    def __missing__(self, length: int) -> bytes:
        head = b"*%d\r\n$5\r\nHMGET\r\n$%d\r\n" % (self._fields + 2, length)
        self[length] = head
        return head


Ask = tuple[bytes, Fields]
"""A key, and what to read of it."""
Command = Sequence[Any]
"""A command's name and its arguments."""


@dataclass(frozen=True)
class Call:
    """One call of a script; `about` is for whoever gets the answer."""

    keys: Sequence[bytes]
    args: Sequence[bytes]
    about: Any = None


def pack_asks(asks: Sequence[Ask]) -> bytes:
    """One HMGET per ask, as they go over the wire."""
    return b"".join([of.heads[len(key)] + key + of.tail for key, of in asks])


def pack_call(script: Script, call: Call) -> bytes:
    """EVALSHA as it goes over the wire."""
    count = 3 + len(call.keys) + len(call.args)
    head = b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n" % (count, script.sha)
    arguments = [b"%d" % len(call.keys), *call.keys, *call.args]
    return head + b"".join([b"$%d\r\n%b\r\n" % (len(item), item) for item in arguments])


def _argument(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)
