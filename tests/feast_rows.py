"""Rows in Redis as Feast 0.67's own store writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from infra.local.redis import RedisServer


def write_rows(
    server: RedisServer,
    project: str,
    rows: Sequence[tuple[str, Mapping[str, Any], Mapping[str, Any]]],
    event_time: datetime,
) -> None:
    """Write (view, key, values); keys and values are `feast.types.Value`s by name."""
    from feast import RepoConfig
    from feast.infra.online_stores.redis import RedisOnlineStore

    address = f"127.0.0.1:{server.port},password={server.password}"
    config = RepoConfig(
        project=project,
        provider="local",
        registry="unused.db",
        online_store={"type": "redis", "connection_string": address},
        entity_key_serialization_version=3,
    )
    store = RedisOnlineStore()
    for view, key, values in rows:
        _write(store, config, view, key, values, event_time)
    store._client.close()


def _write(
    store: Any,
    config: Any,
    view: str,
    key: Mapping[str, Any],
    values: Mapping[str, Any],
    event_time: datetime,
) -> None:
    from feast import FeatureView, Field, FileSource
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.types import Float64

    table = FeatureView(
        name=view,
        source=FileSource(path="unused.parquet", timestamp_field="event_time"),
        schema=[Field(name="unused", dtype=Float64)],
    )
    entity = EntityKey(join_keys=list(key), entity_values=list(key.values()))
    store.online_write_batch(config, table, [(entity, dict(values), event_time, None)], None)
