"""Rows in Redis as jobs write them, for the tests of those who read them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from typing import Any

import pyarrow as pa

from mlops.clock import FixedClock
from mlops.plan import FeaturePlan
from mlops.stores.redis.batches import Batch
from mlops.stores.redis.link import open_link
from mlops.stores.redis.target import RedisTarget
from mlops.stores.redis.views import stored_view
from mlops.stores.redis.writing import OnlineWriter


def write_packed(
    target: RedisTarget,
    plan: FeaturePlan,
    rows: Mapping[str, Mapping[str, Any]],
    event_time: datetime,
) -> None:
    """Write one row for each view that is named: its join keys and features by name."""
    entities = {field.name: field for field in plan.entities}
    with closing(open_link(target)) as link:
        writer = OnlineWriter(link, FixedClock(event_time))
        for view in plan.views:
            if view.name not in rows:
                continue
            stored = stored_view(
                plan.project,
                view.name,
                join_keys=[entities[name] for name in view.join_keys],
                features=view.features,
                ttl_seconds=view.ttl_seconds,
            )
            columns = {name: [value] for name, value in rows[view.name].items()}
            times = pa.array([event_time], pa.timestamp("us", "UTC"))
            batch = pa.record_batch(columns | {"at": times})
            assert writer.write(Batch(stored, batch, "at")).refused == []
