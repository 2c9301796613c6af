"""A table's schema as people and scripts read it."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from mlops.objects import Documents
from pipelines.features.buildlog import load_log
from pipelines.features.schemas.columns import SchemaVersion, StoredColumn, find_version
from pipelines.features.tables import DeclaredTable


class ShownColumn(BaseModel):
    """A column of one version of a schema."""

    name: str
    type: str
    rule: str
    stored: str
    """What the files call it; with older ones of a narrower type behind it."""
    description: str


class ShownVersion(BaseModel):
    """A version in the history of a schema."""

    version: int
    sha256: str
    at: datetime
    by: str
    why: str
    changes: tuple[str, ...]


class SchemaOverview(BaseModel):
    """One version of a table's schema in full, and all versions by number."""

    table: str
    version: int | None
    """None for the declared schema of a table that has none on record."""
    columns: tuple[ShownColumn, ...]
    history: tuple[ShownVersion, ...]


def show_schema(data: Documents, table: DeclaredTable, number: int | None) -> SchemaOverview:
    """A version of the schema, by default the newest. Raises NotFound."""
    schemas = load_log(data, table.name)[0].schemas
    newest = schemas[-1] if schemas else None
    version = newest if number is None else find_version(table.name, schemas, number)
    declared = [StoredColumn(column=column, stored=column.name) for column in table.schema]
    return SchemaOverview(
        table=table.name,
        version=version.number if version else None,
        columns=tuple(map(_shown_column, version.columns if version else declared)),
        history=tuple(map(_shown_version, schemas)),
    )


def _shown_column(stored: StoredColumn) -> ShownColumn:
    column = stored.column
    return ShownColumn(
        name=column.name,
        type=column.type,
        rule=column.rule,
        stored=", ".join([stored.stored, *(older for older, _ in stored.narrower)]),
        description=column.description,
    )


def _shown_version(version: SchemaVersion) -> ShownVersion:
    return ShownVersion(
        version=version.number,
        sha256=version.sha256,
        at=version.at,
        by=version.by,
        why=version.why,
        changes=version.changes,
    )
