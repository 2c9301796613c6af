"""From Feast's feature views to what a join asks for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pyarrow as pa
from feast.types import from_feast_to_pyarrow_type
from feast.utils import (
    _get_requested_feature_views_to_features_dict,
    _get_requested_on_demand_feature_views,
)

from mlops.deletion import deleted_field
from mlops.errors import InputError
from mlops.stores.athena.join import Feature, Key, View
from mlops.stores.athena.relations import ORDER_TAG, Relation
from mlops.stores.athena.sql import name as quoted

DELAY_TAG = "publication_delay"
_DELAY = re.compile(r"^(\d+)\s*(us|ms|s|m|h|d)$")
_UNITS = {
    "us": timedelta(microseconds=1),
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_KINDS = {
    "String": "varchar",
    "Uuid": "varchar",
    "Int32": "bigint",
    "Int64": "bigint",
    "Float32": "double",
    "Float64": "double",
    "Bool": "boolean",
    "Bytes": "varbinary",
}


@dataclass(frozen=True)
class Request:
    """The views of one call, and the Arrow type that Feast declares for each output."""

    views: tuple[View, ...]
    types: dict[str, pa.DataType | None]

    entity_keys: Mapping[str, tuple[str, str]]
    """Column of the entity table → (the caller's join key, what it is compared as)."""

    @property
    def join_keys(self) -> list[str]:
        return list(dict.fromkeys(column for column, _ in self.entity_keys.values()))


def publication_delay(view: Any) -> timedelta:
    """How long after its event time a row can be online at the earliest; from the view's tag."""
    return duration_tag(view, DELAY_TAG)


def duration_tag(view: Any, tag: str) -> timedelta:
    """The duration that a view's tag says; none where it has no such tag. Raises InputError."""
    written = view.tags.get(tag, "0s")
    match = _DELAY.match(written.strip())
    if match is None:
        raise InputError(
            f"View '{view.name}': {tag} is '{written}'. Write it as '0s', '15m', '6h' or '1d'."
        )
    return int(match[1]) * _UNITS[match[2]]


def requested_features(
    references: Sequence[str], views: Sequence[Any], *, project: str, registry: Any
) -> dict[str, tuple[Any, list[str]]]:
    """Each stored view that is asked for, by the name it goes by, with its features in order."""
    computed = _get_requested_on_demand_feature_views(references, project, registry)
    stored, _ = _get_requested_feature_views_to_features_dict(references, views, computed)
    return {
        view.projection.name_to_use(): (view, list(dict.fromkeys(features)))
        for view, features in stored.items()
    }


def request_views(
    wanted: Mapping[str, tuple[Any, list[str]]],
    relation: Callable[[Any], Relation],
    *,
    full_feature_names: bool,
) -> Request:
    """Raises NotFound where a source lacks what a view declares, InputError where names collide."""
    views: list[View] = []
    types: dict[str, pa.DataType | None] = {}
    keys: dict[tuple[str, str], str] = {}
    for title, (view, features) in wanted.items():
        found = request_view(title, view, features, relation(view.batch_source), full_feature_names)
        declared = {field.name: field.dtype for field in view.features}
        for name, feature in zip(features, found.features, strict=True):
            if feature.output in types:
                raise InputError(
                    f"Two requested features are called '{feature.output}'. Ask for them with "
                    "full_feature_names=True."
                )
            types[feature.output] = _arrow_type(declared.get(name))
        given = join_key_columns(view)
        numbered = [
            replace(key, entity_column=keys.setdefault((column, key.kind), f"key{len(keys)}"))
            for column, key in zip(given, found.keys, strict=True)
        ]
        views.append(replace(found, keys=tuple(numbered)))
    return Request(tuple(views), types, {number: key for key, number in keys.items()})


def join_key_columns(view: Any) -> list[str]:
    """The caller's names of a view's join keys."""
    aliases = view.projection.join_key_map
    return [aliases.get(field.name, field.name) for field in view.entity_columns]


def request_view(
    title: str, view: Any, features: Sequence[str], relation: Relation, full_feature_names: bool
) -> View:
    """One view on its source: Feast's names are turned back into the source's columns."""
    source = view.batch_source
    stored = {mapped: column for column, mapped in source.field_mapping.items()}
    columns = [stored.get(feature, feature) for feature in features]
    times = [stored.get(c, c) for c in (source.timestamp_field, source.created_timestamp_column)]
    keys = [stored.get(field.name, field.name) for field in view.entity_columns]
    deleted = deleted_field(view)
    deleted = stored.get(deleted, deleted) if deleted else None
    relation.require([*keys, *columns, *(c for c in [*times, deleted] if c)])
    order = source.tags.get(ORDER_TAG)
    found = View(
        title=title,
        relation=relation.sql,
        keys=tuple(
            Key(column, relation.type(column), key_kind(field.dtype), field.name)
            for column, field in zip(keys, view.entity_columns, strict=True)
        ),
        features=tuple(
            Feature(column, relation.type(column), f"{title}__{f}" if full_feature_names else f)
            for column, f in zip(columns, features, strict=True)
        ),
        event_time=relation.time(times[0]),
        created=relation.time(times[1]) if times[1] else None,
        order=relation.time(order) if order else None,
        day=relation.day(source.date_partition_column or None),
        ttl=view.ttl // timedelta(microseconds=1) if view.ttl else None,
        delay=publication_delay(view) // timedelta(microseconds=1),
    )
    return without_deleted(found, deleted) if deleted else found


def without_deleted(view: View, deleted: str) -> View:
    """The view with nothing but nulls in rows where a boolean column is true.

    Such a row still is the latest of its key, so that from its event time on there are no values.
    """
    times = (view.event_time, view.created, view.order, view.day)
    kept = [*(key.column for key in view.keys), *(time.column for time in times if time)]
    features = [feature.column for feature in view.features if feature.column not in kept]
    is_there = f"NOT coalesce({quoted(deleted)}, false)"
    columns = [
        *map(quoted, dict.fromkeys(kept)),
        *(f"CASE WHEN {is_there} THEN {quoted(f)} END AS {quoted(f)}" for f in features),
    ]
    return replace(view, relation=f"(\nSELECT {', '.join(columns)}\nFROM {view.relation}\n)")


def key_kind(dtype: Any) -> str:
    """What a join key of this Feast type is compared as."""
    return _KINDS.get(str(dtype), "varchar")


def _arrow_type(dtype: Any) -> pa.DataType | None:
    """None where Feast's type has no Arrow type of its own: what Athena wrote stays."""
    if dtype is None:
        return None
    try:
        found = from_feast_to_pyarrow_type(dtype)
    except ValueError:
        return None
    return _in_utc(found)


def _in_utc(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", tz="UTC")
    if pa.types.is_list(kind) and pa.types.is_timestamp(kind.value_type):
        return pa.list_(pa.timestamp("us", tz="UTC"))
    return kind
