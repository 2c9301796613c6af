"""Feast's answer to `get_online_features`, made of columns instead of row by row."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from google.protobuf.timestamp_pb2 import Timestamp

from mlops.plan import PlannedField
from mlops.stores.online import FeatureStatus, to_datetime
from mlops.stores.redis.decoding import UNREADABLE, ViewColumns
from mlops.stores.redis.feast_reads import FeastRead, ViewRequest
from mlops.stores.redis.schema import SLOTS, storage_of
from mlops.stores.redis.values import messages

_STATUSES = {
    FeatureStatus.PRESENT: FieldStatus.PRESENT,
    FeatureStatus.NULL: FieldStatus.NULL_VALUE,
    FeatureStatus.NOT_FOUND: FieldStatus.NOT_FOUND,
    FeatureStatus.OUTSIDE_MAX_AGE: FieldStatus.OUTSIDE_MAX_AGE,
    FeatureStatus.INVALID: FieldStatus.INVALID,
}
_FLOATS = ("Float32", "Float64")
_FEW = 8
"""Rows up to which NumPy takes longer than a step per row."""
_TIMELESS = (FeatureStatus.NOT_FOUND, FeatureStatus.INVALID)


def fill_response(
    response: Any,
    read: FeastRead,
    columns: Sequence[ViewColumns],
    *,
    full_names: bool,
    with_versions: bool,
) -> None:
    """Put the columns into Feast's message, feature by feature."""
    for request, found in zip(read.requests, columns, strict=True):
        name = request.table.projection.name_to_use()
        response.metadata.feature_names.val.extend(
            f"{name}__{feature.name}" if full_names else feature.name
            for feature in request.decoder.features
        )
        if with_versions:
            _add_version(response, request.table)
        _add_vectors(response.results, request.decoder.features, found)
        _count(request, found)


def _add_vectors(results: Any, features: Sequence[PlannedField], found: ViewColumns) -> None:
    """A vector per feature. Those without a gap have the view's statuses and times in common."""
    times = [_timestamp(*row) for row in zip(found.statuses, found.events, strict=True)]
    of_rows = [_STATUSES[status] for status in found.statuses]
    common = _frame(of_rows, times)
    for feature, values in zip(features, found.values, strict=True):
        if None in values or UNREADABLE in values:
            pairs = zip(values, of_rows, strict=True)
            frame = _frame([_status(value, of_row) for value, of_row in pairs], times)
            present = [None if value is UNREADABLE else value for value in values]
            results.add(values=_messages(feature.dtype, present)).MergeFromString(frame)
        elif feature.dtype in _FLOATS and len(values) > _FEW:
            results.add().MergeFromString(_pack_floats(feature.dtype, values) + common)
        else:
            results.add(values=_messages(feature.dtype, values)).MergeFromString(common)


def _frame(statuses: Sequence[Any], times: Sequence[Any]) -> bytes:
    """A vector without its values, as it goes over the wire."""
    vector = GetOnlineFeaturesResponse.FeatureVector(statuses=statuses, event_timestamps=times)
    packed: bytes = vector.SerializeToString()
    return packed


def _pack_floats(dtype: str, values: Sequence[float]) -> bytes:
    """Messages of one size, as they go over the wire: many times quicker than one by one."""
    slot = SLOTS[dtype][1]
    sample: bytes = GetOnlineFeaturesResponse.FeatureVector(
        values=_messages(dtype, [1.0])
    ).SerializeToString()
    size = np.dtype(slot).itemsize
    table = np.empty(len(values), [("head", "u1", len(sample) - size), ("value", slot)])
    table["head"] = list(sample[:-size])
    table["value"] = values
    return table.tobytes()


def _messages(dtype: str, values: Sequence[Any]) -> list[Any]:
    storage = storage_of(dtype)
    assert storage is not None
    return messages(dtype, storage, values)


def _status(value: Any, of_row: Any) -> Any:
    if of_row != FieldStatus.PRESENT:
        return of_row
    if value is UNREADABLE:
        return FieldStatus.INVALID
    return FieldStatus.NULL_VALUE if value is None else FieldStatus.PRESENT


def _timestamp(status: FeatureStatus, event: int) -> Any:
    if status in _TIMELESS:
        return Timestamp()
    seconds, microseconds = divmod(event, 1_000_000)
    return Timestamp(seconds=seconds, nanos=microseconds * 1000)


def _add_version(response: Any, table: Any) -> None:
    name = table.projection.name_alias or table.projection.name
    known = response.metadata.feature_view_metadata
    if name not in [view.name for view in known]:
        known.add(name=name, version=getattr(table, "current_version_number", 0) or 0)


def _count(request: ViewRequest, found: ViewColumns) -> None:
    """Feast's own metrics, where it loaded them: that changes how a process counts."""
    metrics = sys.modules.get("feast.metrics")
    if metrics is None:
        return
    present = found.statuses.count(FeatureStatus.PRESENT)
    absent = len(found.statuses) - present
    size = len(request.decoder.features)
    metrics.track_feature_statuses(request.table.name, present * size, absent * size)


def feast_rows(
    request: ViewRequest, found: ViewColumns
) -> list[tuple[datetime | None, dict[str, Any] | None]]:
    """Per entity its event time and messages by feature, as `online_read` answers them.

    A row that is absent, outside its TTL or unreadable has no messages; one outside its TTL still
    has its time.
    """
    columns = {
        feature.name: _messages(feature.dtype, [None if v is UNREADABLE else v for v in values])
        for feature, values in zip(request.decoder.features, found.values, strict=True)
    }
    rows: list[tuple[datetime | None, dict[str, Any] | None]] = []
    for place, status in enumerate(found.statuses):
        moment = None if status in _TIMELESS else to_datetime(found.events[place])
        is_present = status is FeatureStatus.PRESENT
        row = {name: values[place] for name, values in columns.items()} if is_present else None
        rows.append((moment, row))
    return rows
