"""What a feature read answers, as JSON: values as they are where that is possible.

Times are ISO 8601 in UTC, bytes base64, and numbers that JSON does not have the texts 'NaN',
'Infinity' and '-Infinity', as in pushes.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
import orjson

from mlops.errors import MlopsError
from mlops.stores.online import TIMELESS, FeatureStatus, ViewTable, to_datetime
from serving.errors import describe
from serving.proxy.entity_columns import EntityRows

OPTIONS = (
    orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC | orjson.OPT_NON_STR_KEYS
)
_AS_IT_IS = frozenset({"Bool", "Int32", "Int64", "String", "Json", "Uuid", "TimeUuid", "Decimal"})


@dataclass(frozen=True)
class Shown:
    """What an answer shows beside the values."""

    statuses: bool = True
    event_times: bool = True


def write_answer(
    service: str, tables: Sequence[ViewTable], rows: EntityRows, shown: Shown, *, identity: str
) -> bytes:
    """The body: a column of values, and of statuses, for each 'view:feature'."""
    return orjson.dumps(
        build_answer(service, tables, rows, shown, identity=identity), option=OPTIONS
    )


def build_answer(
    service: str, tables: Sequence[ViewTable], rows: EntityRows, shown: Shown, *, identity: str
) -> dict[str, Any]:
    """The same, not written yet."""
    features: dict[str, Any] = {}
    for table in tables:
        _add_view(features, table, shown)
    body: dict[str, Any] = {
        "request_id": identity,
        "feature_service": service,
        "features": features,
    }
    if shown.event_times:
        body["event_times"] = {table.read.view.name: event_times(table) for table in tables}
    if rows.errors:
        body["errors"] = [_error(row, error) for row, error in sorted(rows.errors.items())]
    return body


def _error(row: int, error: MlopsError) -> dict[str, Any]:
    return {"row": row, **describe(error)}


def _add_view(features: dict[str, Any], table: ViewTable, shown: Shown) -> None:
    references, columns = table.read.references(), json_columns(table)
    if not shown.statuses:
        for reference, values in zip(references, columns, strict=True):
            features[reference] = {"values": values}
    elif not table.exceptions:
        statuses = json_statuses(table.statuses, is_present=table.is_plain)
        for reference, values in zip(references, columns, strict=True):
            features[reference] = {"values": values, "statuses": statuses}
    else:
        for place, (reference, values) in enumerate(zip(references, columns, strict=True)):
            statuses = json_statuses(table.statuses_of(place))
            features[reference] = {"values": values, "statuses": statuses}


def json_statuses(
    statuses: Sequence[FeatureStatus], *, is_present: bool = False
) -> orjson.Fragment:
    """Written once, whatever number of features has them."""
    if is_present:
        return _present(len(statuses))
    return orjson.Fragment(orjson.dumps(list(statuses)))


@lru_cache(maxsize=64)
def _present(count: int) -> orjson.Fragment:
    return orjson.Fragment(orjson.dumps([FeatureStatus.PRESENT] * count))


def event_times(table: ViewTable) -> Any:
    """Per row the time, null where the row has none."""
    if table.is_plain:
        return plain_times(table.events)
    pairs = zip(table.statuses, table.events, strict=True)
    return [None if status in TIMELESS else _time(event) for status, event in pairs]


def plain_times(events: Any) -> Any:
    """The same of rows that all have one."""
    listed = events.tolist() if isinstance(events, np.ndarray) else events
    if listed.count(listed[0]) == len(listed):
        return _same_times(listed[0], len(listed))
    if listed is events:
        return [_time(event) for event in events]
    return events.view("datetime64[us]")


@lru_cache(maxsize=256)
def _same_times(event: int, count: int) -> orjson.Fragment:
    """Snapshots hold from the same few times on."""
    return orjson.Fragment(orjson.dumps([to_datetime(event)] * count, option=OPTIONS))


@lru_cache(maxsize=4096)
def _time(event: int) -> orjson.Fragment:
    return orjson.Fragment(orjson.dumps(to_datetime(event), option=OPTIONS))


def json_columns(table: ViewTable) -> Sequence[Any]:
    """The values of each feature as orjson takes them."""
    if table.is_plain:
        return table.values
    planned = {field.name: field.dtype for field in table.read.view.features}
    return [
        values if planned[name] in _AS_IT_IS else [json_value(value) for value in values]
        for name, values in zip(table.read.features, table.values, strict=True)
    ]


def json_value(value: Any) -> Any:
    """One value, whatever its type."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list):
        return [json_value(item) for item in value]
    if isinstance(value, dict):
        return {_json_key(key): json_value(item) for key, item in value.items()}
    return value


def _json_key(key: Any) -> Any:
    found = json_value(key)
    return found if isinstance(found, (str, int, bool, datetime)) else str(found)


def spread(table: ViewTable, rows: EntityRows) -> ViewTable:
    """The table of the sound rows with room for those that were not read: INVALID, no value."""
    places = rows.sound

    def whole(values: Sequence[Any], empty: Any) -> list[Any]:
        found = [empty] * rows.count
        listed = values.tolist() if isinstance(values, np.ndarray) else values
        for place, value in zip(places, listed, strict=True):
            found[place] = value
        return found

    return ViewTable(
        table.read,
        whole(table.statuses, FeatureStatus.INVALID),
        whole(table.events, 0),
        [whole(values, None) for values in table.values],
        {p: whole(found, FeatureStatus.INVALID) for p, found in table.exceptions.items()},
    )
