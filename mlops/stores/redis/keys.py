"""The Redis key of an entity: 'fs:<project>:<join keys>:<values>'.

Project and join keys are percent-encoded, so that none can hold a ':' or begin another; the values
come last and as they are. Where there are several, all but the last bear their length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from mlops.errors import InputError, Refused
from mlops.plan import PlannedField

KEY_TYPES = {
    "String": "text",
    "Bytes": "bytes",
    "Int32": "a whole number of 32 bits",
    "Int64": "a whole number of 64 bits",
    "UnixTimestamp": "whole seconds since 1970",
}
"""What an entity may be known by, as in Feast."""
_BITS = {"Int32": 31, "Int64": 63, "UnixTimestamp": 63}
_GLOB = re.compile(rb"([*?\[\]\\^-])")
PREFIX = b"fs:"
NO_ENTITY = "__dummy_id"
"""Feast's join key for views that describe no entity; its value is empty."""


def schemas_key(project: str) -> bytes:
    """The hash in which the project's schemas lie, by fingerprint."""
    return b"fs-schemas:" + quote(project, safe="").encode()


def project_prefix(project: str) -> bytes:
    return PREFIX + quote(project, safe="").encode() + b":"


def key_prefix(project: str, join_keys: Iterable[str]) -> bytes:
    """How every key of these join keys begins."""
    names = ",".join(quote(name, safe="") for name in sorted(join_keys))
    return project_prefix(project) + names.encode() + b":"


def scan_pattern(prefix: bytes) -> bytes:
    """A SCAN pattern for the keys that begin so."""
    return _GLOB.sub(rb"\\\1", prefix) + b"*"


def ends_pattern(tail: bytes) -> bytes:
    """A SCAN pattern for the keys that end so."""
    return b"*" + _GLOB.sub(rb"\\\1", tail)


@dataclass(frozen=True)
class EntityKeys:
    """Makes the keys of one combination of join keys."""

    prefix: bytes
    fields: tuple[PlannedField, ...]
    """The join keys by name; none where the views describe no entity."""

    @property
    def names(self) -> list[str]:
        return [field.name for field in self.fields]

    def key(self, row: Mapping[str, Any]) -> bytes:
        """The key of one entity. Raises InputError naming a join key that is missing or wrong."""
        return self.prefix + _joined([_text(field, row) for field in self.fields])

    def from_texts(self, columns: Sequence[Sequence[bytes | None]]) -> list[bytes | None]:
        """A key per row, from a column of texts per join key; None where a text is missing.

        There must be a join key; without one, the prefix is the key.
        """
        if len(columns) == 1:
            return [None if text is None else self.prefix + text for text in columns[0]]
        return [self._from_row(texts) for texts in zip(*columns, strict=True)]

    def from_columns(self, texts: Mapping[str, Sequence[bytes]], count: int) -> list[bytes]:
        """`count` keys, from a column of texts for each join key."""
        return [self.prefix + end for end in self.ends(texts, count)]

    def ends(self, texts: Mapping[str, Sequence[bytes]], count: int) -> Sequence[bytes]:
        """What stands in the same keys behind the prefix."""
        columns = [texts[field.name] for field in self.fields]
        if len(columns) == 1:
            return columns[0]
        if not columns:
            return [b""] * count
        return [_joined(row) for row in zip(*columns, strict=True)]

    def _from_row(self, texts: Sequence[bytes | None]) -> bytes | None:
        present = [text for text in texts if text is not None]
        return self.prefix + _joined(present) if len(present) == len(texts) else None

    def values(self, key: bytes) -> tuple[Any, ...]:
        """The join keys' values, by name. Raises ValueError where it is no key of these."""
        if not key.startswith(self.prefix):
            raise ValueError(f"{key!r} does not begin with {self.prefix!r}")
        texts = _split(key[len(self.prefix) :], len(self.fields))
        return tuple(_value(f.dtype, text) for f, text in zip(self.fields, texts, strict=True))


def entity_keys(project: str, fields: Sequence[PlannedField]) -> EntityKeys:
    """Raises Refused naming a join key whose type cannot be a key."""
    bad = [f"{field.name} ({field.dtype})" for field in fields if field.dtype not in KEY_TYPES]
    if bad:
        raise Refused(
            f"Join keys must be of {', '.join(KEY_TYPES)}: {', '.join(bad)} cannot be one."
        )
    ordered = tuple(sorted(fields, key=lambda field: field.name))
    names = [field.name for field in ordered] or [NO_ENTITY]
    return EntityKeys(key_prefix(project, names), ordered)


def key_text(dtype: str, value: Any) -> bytes | None:
    """A value as it stands in the key; None where it is not of the type."""
    if dtype == "String":
        return value.encode() if isinstance(value, str) else None
    if dtype == "Bytes":
        return value if isinstance(value, bytes) else None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    limit = 1 << _BITS[dtype]
    return b"%d" % value if -limit <= value < limit else None


def column_texts(field: PlannedField, values: Sequence[Any]) -> list[bytes]:
    """The values of one join key as they stand in keys. Raises InputError as `key` does."""
    if field.dtype == "String":
        try:
            return list(map(str.encode, values))
        except TypeError:
            return [_checked(field, value) for value in values]
    if field.dtype in _BITS and set(map(type, values)) == {int}:
        limit = 1 << _BITS[field.dtype]
        if -limit <= min(values) and max(values) < limit:
            return [b"%d" % value for value in values]
    return [_checked(field, value) for value in values]


def _text(field: PlannedField, row: Mapping[str, Any]) -> bytes:
    try:
        value = row[field.name]
    except KeyError as exc:
        raise InputError(f"The entity row has no '{field.name}'.") from exc
    return _checked(field, value)


def _checked(field: PlannedField, value: Any) -> bytes:
    text = key_text(field.dtype, value)
    if text is None:
        raise InputError(
            f"'{field.name}' must be {KEY_TYPES[field.dtype]}, not {type(value).__name__} "
            f"{str(value)[:60]!r}."
        )
    return text


def _joined(texts: Sequence[bytes]) -> bytes:
    if len(texts) == 1:
        return texts[0]
    return b"".join([b"%d:%b" % (len(text), text) for text in texts[:-1]] + list(texts[-1:]))


def _split(values: bytes, count: int) -> list[bytes]:
    texts: list[bytes] = []
    if not count and not values:
        return texts
    for _ in range(count - 1):
        length, colon, values = values.partition(b":")
        if not colon or not length.isdigit():
            raise ValueError("the length of a value is missing")
        texts.append(values[: int(length)])
        values = values[int(length) :]
    return [*texts, values]


def _value(dtype: str, text: bytes) -> Any:
    if dtype == "String":
        return text.decode()
    return text if dtype == "Bytes" else int(text)
