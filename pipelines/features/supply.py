"""Whether the feature tables supply what the declared views ask for: by name and by type. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mlops.objects import Documents
from mlops.stores.athena.sql import base_type
from pipelines.features.buildlog import load_log
from pipelines.features.schemas.columns import Column
from pipelines.features.tables import TABLES

_HOLD = {
    "Int64": {"tinyint", "smallint", "int", "bigint"},
    "Int32": {"tinyint", "smallint", "int"},
    "Float64": {"float", "double", "tinyint", "smallint", "int", "decimal"},
    "Float32": {"float"},
    "String": {"string", "varchar"},
    "Bool": {"boolean"},
    "Bytes": {"binary"},
    "UnixTimestamp": {"timestamp", "date"},
}
"""Athena's types whose values a Feast type holds without loss; a decimal becomes a double."""


def load_columns(data: Documents) -> dict[str, list[Column]]:
    """By feature table: the columns on record, or the declared ones before its first build."""
    found = {}
    for name, table in TABLES.items():
        recorded = load_log(data, name)[0].recorded
        found[name] = recorded.declared if recorded else list(table.schema)
    return found


def unsupplied(views: Iterable[Any], tables: Mapping[str, Iterable[Column]]) -> list[str]:
    """What Feast views over these tables ask for in vain, a sentence each."""
    return [
        fault
        for view in views
        if view.batch_source.table in tables
        for fault in _faults(view, {c.name: c for c in tables[view.batch_source.table]})
    ]


def _faults(view: Any, columns: Mapping[str, Column]) -> Iterator[str]:
    source = view.batch_source
    stored = {feature: column for column, feature in source.field_mapping.items()}
    for field in (*view.entity_columns, *view.features):
        name, asked = stored.get(field.name, field.name), str(field.dtype)
        column = columns.get(name)
        if column is None:
            yield (
                f"View '{view.name}' asks for column '{name}', which feature table "
                f"'{source.table}' does not have: reading it will fail. Add it to the table, then "
                f"run 'mlops features schema evolve {source.table}'."
            )
        elif base_type(column.type) not in _HOLD.get(asked, {base_type(column.type)}):
            yield (
                f"View '{view.name}' reads column '{name}' of feature table '{source.table}' as "
                f"{asked}, but it is {column.type}. Correct the field's type in feature_repo/."
            )
