"""Writing pushed rows to the packed Redis store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa

from mlops.clock import Clock
from mlops.downsync.flow import Flow
from mlops.downsync.online import OnlineRow
from mlops.downsync.values import value_type
from mlops.errors import InputError
from mlops.plan import PlannedField
from mlops.stores.redis.batches import Batch
from mlops.stores.redis.link import Link
from mlops.stores.redis.views import StoredView, stored_view
from mlops.stores.redis.writing import OnlineWriter

_TIME = "__event_us"


@dataclass(frozen=True)
class PackedWriter:
    """Rows as `mlops.stores.redis` keeps them; created now, by the platform's clock."""

    link: Link
    clock: Clock

    def check(self, flow: Flow) -> None:
        _view_of(flow)

    def write(self, flow: Flow, rows: Sequence[OnlineRow]) -> None:
        writer = OnlineWriter(self.link, self.clock)
        report = writer.write(Batch(_view_of(flow), _batch(flow, rows), event_time=_TIME))
        if report.refused:
            first = report.refused[0]
            raise InputError(
                f"Row {first.row} of {len(rows)} cannot be kept in '{flow.view}': {first.reason}."
            )

    def close(self) -> None:
        self.link.close()


@lru_cache(maxsize=256)
def _view_of(flow: Flow) -> StoredView:
    return stored_view(
        flow.project,
        flow.view,
        join_keys=flow.keys,
        features=flow.features,
        ttl_seconds=flow.ttl_seconds,
        deleted=flow.deleted,
    )


def _batch(flow: Flow, rows: Sequence[OnlineRow]) -> pa.RecordBatch:
    columns = {f.name: pa.array([row.key[f.name] for row in rows], _arrow(f)) for f in flow.keys}
    for feature in flow.features:
        values = [row.values.get(feature.name) for row in rows]
        columns[feature.name] = pa.array(values, _arrow(feature))
    columns[_TIME] = pa.array([row.time_us for row in rows], pa.int64())
    return pa.RecordBatch.from_pydict(columns)


def _arrow(field: PlannedField) -> pa.DataType:
    found = value_type(field.dtype)
    assert found is not None, f"{field.dtype} passed 'features apply'"
    return found.arrow
