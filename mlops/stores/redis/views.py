"""A feature view as it is kept online."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlops.plan import PlannedField
from mlops.stores.redis.keys import EntityKeys, entity_keys
from mlops.stores.redis.schema import Schema, build_schema


@dataclass(frozen=True)
class StoredView:
    """What writing and reading a view's rows takes."""

    project: str
    name: str
    keys: EntityKeys
    schema: Schema
    ttl_seconds: int
    """0 means that its rows never expire."""
    deleted: str | None = None
    """A Bool feature that is true in rows that are deleted: they are kept as tombstones."""

    @property
    def field(self) -> bytes:
        """The hash field that holds the row."""
        return self.name.encode()


def stored_view(
    project: str,
    name: str,
    *,
    join_keys: Sequence[PlannedField],
    features: Sequence[PlannedField],
    ttl_seconds: int,
    deleted: str | None = None,
) -> StoredView:
    """Raises Refused naming what cannot be kept online."""
    return StoredView(
        project,
        name,
        entity_keys(project, join_keys),
        build_schema(name, features),
        ttl_seconds,
        deleted,
    )
