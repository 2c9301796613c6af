"""What applying would change: two registries compared by what was declared, and then merged.

Pure. Feast is not asked: its own comparison unpickles the functions that a registry holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from feast.protos.feast.core.Registry_pb2 import Registry
from google.protobuf.json_format import MessageToDict
from pydantic import BaseModel, ConfigDict

KINDS = {
    "projects": "project",
    "entities": "entity",
    "data_sources": "data source",
    "feature_views": "feature view",
    "stream_feature_views": "stream feature view",
    "on_demand_feature_views": "on-demand feature view",
    "feature_services": "feature service",
}
"""The registry's lists that definitions fill, and what one entry is called."""

# Written by Feast and no part of a definition; a function counts by its text, not by its pickle.
_UNDECLARED = {"meta", "body", "version_id", "last_updated", "timestamp_field_type"}


class Change(BaseModel):
    """One object that differs."""

    model_config = ConfigDict(frozen=True)

    action: Literal["create", "change", "delete"]
    kind: str
    name: str
    fields: dict[str, tuple[Any, Any]] = {}
    """What differs, by path: before and after."""


def compare(current: Registry, desired: Registry) -> list[Change]:
    """What must happen to make the current registry the desired one."""
    changes = []
    for attribute, kind in KINDS.items():
        before, after = _by_name(current, attribute), _by_name(desired, attribute)
        changes += [
            Change(action="create", kind=kind, name=n) for n in sorted(after.keys() - before.keys())
        ]
        for name in sorted(after.keys() & before.keys()):
            if fields := _differences(declared(before[name]), declared(after[name])):
                changes.append(Change(action="change", kind=kind, name=name, fields=fields))
        changes += [
            Change(action="delete", kind=kind, name=n) for n in sorted(before.keys() - after.keys())
        ]
    return changes


def merge(current: Registry, desired: Registry) -> Registry:
    """The desired definitions with the history of the current ones.

    What did not change stays as it is, byte for byte. What changed keeps when it was created and
    what was materialized. Version records are added, never removed.
    """
    merged = Registry()
    merged.CopyFrom(current)
    for attribute in KINDS:
        before = _by_name(current, attribute)
        after = _by_name(desired, attribute)
        entries = [_continued(before.get(name), entry) for name, entry in after.items()]
        merged.ClearField(attribute)  # type: ignore[arg-type]  # one of the lists above
        getattr(merged, attribute).extend(entries)
    merged.registry_schema_version = desired.registry_schema_version
    if not merged.project_metadata:
        merged.project_metadata.extend(desired.project_metadata)
    _add_versions(merged, current, desired)
    return merged


def _continued(before: Any | None, after: Any) -> Any:
    if before is None:
        return after
    if declared(before) == declared(after):
        return before
    entry = type(after)()
    entry.CopyFrom(after)
    entry.meta.created_timestamp.CopyFrom(before.meta.created_timestamp)
    if hasattr(before.meta, "materialization_intervals"):
        entry.meta.materialization_intervals.extend(before.meta.materialization_intervals)
        entry.meta.state = before.meta.state
    return entry


def _add_versions(merged: Registry, current: Registry, desired: Registry) -> None:
    changed = {c.name for c in compare(current, desired) if c.action != "delete"}
    history = merged.feature_view_version_history.records
    for record in desired.feature_view_version_history.records:
        if record.feature_view_name not in changed:
            continue
        numbers = [r.version_number for r in history if _same_view(r, record)]
        added = history.add()
        added.CopyFrom(record)
        added.version_number = max(numbers) + 1 if numbers else 0


def _same_view(a: Any, b: Any) -> bool:
    return bool(a.feature_view_name == b.feature_view_name and a.project_id == b.project_id)


def declared(entry: Any) -> dict[str, Any]:
    """What a person wrote of an object, without what Feast adds."""
    spec = MessageToDict(getattr(entry, "spec", entry), preserving_proto_field_name=True)
    return {key: _without_undeclared(item) for key, item in spec.items() if key not in _UNDECLARED}


def _without_undeclared(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _without_undeclared(item) for key, item in value.items() if key not in _UNDECLARED
        }
    if isinstance(value, list):
        return [_without_undeclared(item) for item in value]
    return value


def _by_name(registry: Registry, attribute: str) -> dict[str, Any]:
    entries: Iterable[Any] = getattr(registry, attribute)
    named = {str(getattr(entry, "spec", entry).name): entry for entry in entries}
    # Feast's own placeholder for views without entities.
    return {name: named[name] for name in sorted(named) if not name.startswith("__")}


def _differences(before: Any, after: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    if before == after:
        return {}
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        found: dict[str, tuple[Any, Any]] = {}
        for key in sorted({*before, *after}):
            found |= _differences(before.get(key), after.get(key), f"{path}.{key}" if path else key)
        return found
    if _is_named(before) and _is_named(after):
        return _differences(
            {item["name"]: item for item in before}, {item["name"]: item for item in after}, path
        )
    return {path: (before, after)}


def _is_named(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, Mapping) and "name" in v for v in value)
