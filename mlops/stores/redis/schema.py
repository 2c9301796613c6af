"""What a packed row holds: typed columns in the view's order, known by a fingerprint.

The bytes are described in docs/online-format.md.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np

from mlops.errors import InputError, Refused
from mlops.plan import PlannedField

ROW, TOMBSTONE = 0x01, 0x81
"""The first byte: the format's version, and the high bit for a deleted row."""
VANISHED = b"gone"
"""In place of a tombstone's fingerprint: the offline store held the row, and holds it no more."""
HEADER = struct.Struct("<B4sqq")
"""Kind, fingerprint, event time and created time in microseconds since 1970."""
TAG_SIZE = 5
"""Kind and fingerprint: what says how the rest is read."""
NO_CREATED = -(2**53)
"""A created time that is not known: before every other."""
TIME_LIMIT = 2**53 - 1
"""Microseconds that Redis' numbers hold exactly: the years 1684 to 2255."""


class Storage(Enum):
    """How the values of a column lie in the row."""

    FIXED = "in its slot"
    TEXT = "UTF-8"
    BYTES = "bytes"
    FIXED_LIST = "elements one after another"
    TEXT_LIST = "counted UTF-8 texts"
    BYTES_LIST = "counted bytes"
    ZONED = "seconds and the name of a zone"
    NESTED = "tagged values"


SLOTS = {
    "Bool": ("?", "?"),
    "Int32": ("i", "<i4"),
    "Int64": ("q", "<i8"),
    "Float32": ("f", "<f4"),
    "Float64": ("d", "<f8"),
    "UnixTimestamp": ("q", "<i8"),
}
"""Types whose values have one size: as struct and NumPy name them."""
_TEXTS = ("String", "Json", "Uuid", "TimeUuid", "Decimal")
_BYTES = ("Bytes", "PdfBytes", "ImageBytes")
_COLLECTION = re.compile(r"^(Array|Set)\((.+)\)$")
_NESTED = re.compile(
    r"^(Map|ScalarMap|Array\(Map\)|(Array\()?Struct\(.*|(Array|Set)\((Array|Set)\(.*)$"
)
_NO_FEAST_TYPE = ("Set(Json)",)


def storage_of(dtype: str) -> Storage | None:
    """How values of a Feast type are stored; None for a type that Feast itself cannot hold."""
    if dtype in SLOTS:
        return Storage.FIXED
    if dtype in _TEXTS:
        return Storage.TEXT
    if dtype in _BYTES:
        return Storage.BYTES
    if dtype == "ZonedTimestamp":
        return Storage.ZONED
    if _NESTED.match(dtype):
        return Storage.NESTED
    found = _COLLECTION.match(dtype)
    return None if found is None or dtype in _NO_FEAST_TYPE else _storage_of_list(found[2])


def _storage_of_list(element: str) -> Storage | None:
    if element in SLOTS:
        return Storage.FIXED_LIST
    if element in _TEXTS:
        return Storage.TEXT_LIST
    return Storage.BYTES_LIST if element == "Bytes" else None


def element_of(dtype: str) -> str:
    """The element type of an array or set."""
    found = _COLLECTION.match(dtype)
    assert found is not None, dtype
    return found[2]


@dataclass(frozen=True)
class Column:
    """A feature as it is stored."""

    name: str
    dtype: str
    """Feast's name of the type."""
    storage: Storage

    @property
    def is_fixed(self) -> bool:
        return self.storage is Storage.FIXED


@dataclass(frozen=True)
class Schema:
    """The columns of a view's rows, in order. Two views with the same columns share it."""

    columns: tuple[Column, ...]

    @cached_property
    def document(self) -> bytes:
        """What is kept in Redis, and hashed: '[["name","type"],…]'."""
        pairs = [[column.name, column.dtype] for column in self.columns]
        return json.dumps(pairs, ensure_ascii=False, separators=(",", ":")).encode()

    @cached_property
    def fingerprint(self) -> bytes:
        """4 bytes that every row carries."""
        return hashlib.sha256(self.document).digest()[:4]

    @property
    def tag(self) -> bytes:
        return bytes([ROW]) + self.fingerprint

    @property
    def bitmap_size(self) -> int:
        return (len(self.columns) + 7) // 8

    @cached_property
    def fixed(self) -> struct.Struct:
        """Header, null bitmap, and a slot per column: for one row."""
        slots = "".join(SLOTS[c.dtype][0] if c.is_fixed else "I" for c in self.columns)
        return struct.Struct(f"{HEADER.format}{self.bitmap_size}s{slots}")

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The same for many rows; the slots are named by their place."""
        slots = [
            (str(i), SLOTS[c.dtype][1] if c.is_fixed else "<u4") for i, c in enumerate(self.columns)
        ]
        return np.dtype(
            [
                ("kind", "u1"),
                ("fingerprint", "<u4"),
                ("event", "<i8"),
                ("created", "<i8"),
                ("nulls", "u1", (self.bitmap_size,)),
                *slots,
            ]
        )

    @cached_property
    def variable(self) -> tuple[int, ...]:
        """The places of the columns whose values lie behind the slots."""
        return tuple(i for i, column in enumerate(self.columns) if not column.is_fixed)


def build_schema(view: str, features: Sequence[PlannedField]) -> Schema:
    """The schema of a view's features, in their order.

    Raises Refused naming the features whose type cannot be held, InputError where a name repeats.
    """
    storages = [storage_of(field.dtype) for field in features]
    pairs = zip(features, storages, strict=True)
    bad = [f"{field.name} ({field.dtype})" for field, storage in pairs if storage is None]
    if bad:
        raise Refused(
            f"View '{view}' cannot be kept online: there is no way to store {', '.join(bad)}. "
            "Give them another type in feature_repo/, or set online=False."
        )
    names = [field.name for field in features]
    if len(set(names)) < len(names):
        raise InputError(f"View '{view}' names a feature twice: {', '.join(sorted(names))}.")
    return Schema(
        tuple(
            Column(field.name, field.dtype, storage)
            for field, storage in zip(features, storages, strict=True)
            if storage is not None
        )
    )


def parse_schema(document: bytes) -> Schema:
    """A schema from what was kept of it. Raises ValueError where it is none."""
    columns = []
    for name, dtype in json.loads(document):
        storage = storage_of(dtype)
        if storage is None:
            raise ValueError(f"unknown type {dtype!r}")
        columns.append(Column(name, dtype, storage))
    return Schema(tuple(columns))
