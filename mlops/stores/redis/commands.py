"""What is asked of Redis, as bytes: a redis-py pipeline takes longer to put them together than
Redis does for the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
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


class _Heads(dict[int, bytes]):
    """As many as there are lengths of keys, or of what stands in them behind a prefix."""

    def __init__(self, fields: int, prefix: bytes = b"") -> None:
        super().__init__()
        self._fields, self._prefix = fields, prefix

    def __missing__(self, length: int) -> bytes:
        size = len(self._prefix) + length
        head = b"*%d\r\n$5\r\nHMGET\r\n$%d\r\n%b" % (self._fields + 2, size, self._prefix)
        self[length] = head
        return head


class Packer:
    """Puts together what is asked of keys that begin alike."""

    def __init__(self, fields: Fields, prefix: bytes) -> None:
        self._heads, self._tail = _Heads(len(fields.names), prefix), fields.tail

    def pack(self, ends: Sequence[bytes]) -> bytes:
        """An HMGET per key, as they go over the wire. ends: of the keys, behind the prefix."""
        if len(ends) == 1:
            return self._heads[len(ends[0])] + ends[0] + self._tail
        parts = [self._tail] * (3 * len(ends))
        parts[::3] = map(self._heads.__getitem__, map(len, ends))
        parts[1::3] = ends
        return b"".join(parts)


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
