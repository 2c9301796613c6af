"""From Feast's views and entity keys to what is kept online."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlops.deletion import deleted_field
from mlops.errors import InputError
from mlops.plan import PlannedField
from mlops.stores.redis.keys import KEY_TYPES, NO_ENTITY, EntityKeys, entity_keys, key_text
from mlops.stores.redis.views import StoredView, stored_view

_KINDS = {
    "String": "string_val",
    "Bytes": "bytes_val",
    "Int32": "int32_val",
    "Int64": "int64_val",
    "UnixTimestamp": "unix_timestamp_val",
}
_TYPES = {kind: dtype for dtype, kind in _KINDS.items()}


def online_view(project: str, table: Any) -> StoredView:
    """A feature view, or an on-demand view that is written, as it is kept online.

    Raises Refused where it holds what cannot be kept, InputError for a wrong tag.
    """
    ttl = getattr(table, "ttl", None)
    return stored_view(
        project,
        table.name,
        join_keys=[field for field in planned(table.entity_columns) if field.name != NO_ENTITY],
        features=planned(table.features),
        ttl_seconds=int(ttl.total_seconds()) if ttl else 0,
        deleted=deleted_field(table),
    )


def planned(columns: Sequence[Any]) -> list[PlannedField]:
    """Feast's fields with their types by name."""
    return [PlannedField(name=column.name, dtype=str(column.dtype)) for column in columns]


def join_keys(table: Any) -> list[str]:
    """The names that the table's keys are made of."""
    return [column.name for column in table.entity_columns] or [NO_ENTITY]


class MessageKeys:
    """Makes keys of `feast.types.Value`s; knows the join keys by then, with their types."""

    def __init__(self, project: str, table: Any) -> None:
        self._project = project
        self._table = str(table.name)
        self._declared = {field.name: field.dtype for field in planned(table.entity_columns)}
        self._made: dict[tuple[str, ...], EntityKeys] = {}

    def key(self, names: Sequence[str], values: Sequence[Any]) -> bytes | None:
        """The key of one entity; None where a join key has no value.

        Raises InputError naming a join key of another type.
        """
        pairs = sorted(zip(names, values, strict=True), key=lambda pair: pair[0])
        keys = self._keys(tuple(name for name, _ in pairs))
        if not pairs:
            return keys.prefix
        return keys.from_texts([[self._text(name, value)] for name, value in pairs])[0]

    def _keys(self, names: tuple[str, ...]) -> EntityKeys:
        keys = self._made.get(names)
        if keys is None:
            fields = [
                PlannedField(name=name, dtype=self._declared.get(name, "String")) for name in names
            ]
            keys = self._made[names] = entity_keys(self._project, fields)
        return keys

    def _text(self, name: str, value: Any) -> bytes | None:
        kind = value.WhichOneof("val")
        if kind is None or kind == "null_val":
            return None
        dtype = _TYPES.get(kind)
        if dtype is None or self._declared.get(name, dtype) != dtype:
            wanted = KEY_TYPES.get(self._declared.get(name, ""), f"one of {', '.join(KEY_TYPES)}")
            raise InputError(
                f"Join key '{name}' of view '{self._table}' must be {wanted}, not {kind}."
            )
        return key_text(dtype, getattr(value, kind))
