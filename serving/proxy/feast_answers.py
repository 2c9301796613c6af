"""Feature reads in the shape of Feast's feature server (0.67, feast/feature_server.py).

The same JSON: times of features as whole seconds, statuses by Feast's names, the join keys among
the results, 1970 where a row has no event time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from mlops.stores.online import FeatureStatus, ViewTable
from serving.proxy.feast_choice import ComputedFeature
from serving.proxy.feature_answers import (
    OPTIONS,
    event_times,
    json_columns,
    json_statuses,
    json_value,
)

_NAMES = {status: status.value for status in FeatureStatus} | {FeatureStatus.NULL: "NULL_VALUE"}
_NO_TIME = "1970-01-01T00:00:00Z"
_MILLISECONDS = re.compile(rb"(\.\d{3})000Z")
"""Protobuf writes three digits where that is enough."""
_TIMES = ("UnixTimestamp", "Array(UnixTimestamp)", "Set(UnixTimestamp)")


def write_feast_answer(
    tables: Sequence[ViewTable],
    entities: Mapping[str, Sequence[Any]],
    computed: Sequence[ComputedFeature],
    shows: Callable[[str, str], bool],
    *,
    full_names: bool,
    with_versions: bool,
) -> bytes:
    """GetOnlineFeaturesResponse as JSON.

    shows: whether a view's feature is answered. full_names: 'view__feature' in place of 'feature'.
    """
    names, results = list(entities), [_present(values) for values in entities.values()]

    def add(view: str, name: str, vector: dict[str, Any]) -> None:
        if shows(view, name):
            names.append(f"{view}__{name}" if full_names else name)
            results.append(vector)

    for table in tables:
        for name, vector in zip(table.read.features, _vectors(table), strict=True):
            add(table.read.view.name, name, vector)
    for one in computed:
        add(one.view, one.name, _present(one.values))
    metadata: dict[str, Any] = {"feature_names": names}
    if with_versions:
        # Their version is 0, which Feast leaves out.
        views = [{"name": table.read.view.name} for table in tables]
        metadata["feature_view_metadata"] = views
    return orjson.dumps({"results": results, "metadata": metadata}, option=OPTIONS)


def _present(values: Sequence[Any]) -> dict[str, Any]:
    """Ids, and what is computed: Feast calls every one of these present, a null, too."""
    count = len(values)
    return {
        "values": [json_value(value) for value in values],
        "statuses": [FeatureStatus.PRESENT] * count,
        "event_timestamps": [_NO_TIME] * count,
    }


def _vectors(table: ViewTable) -> list[dict[str, Any]]:
    times = orjson.Fragment(_event_times(table))
    if table.is_plain:
        statuses = json_statuses(table.statuses, is_present=True)
        return [
            {"values": values, "statuses": statuses, "event_timestamps": times}
            for values in json_columns(table)
        ]
    return [
        {
            "values": values,
            "statuses": [_NAMES[status] for status in table.statuses_of(place)],
            "event_timestamps": times,
        }
        for place, values in enumerate(_columns(table))
    ]


def _event_times(table: ViewTable) -> bytes:
    times = event_times(table)
    if not table.is_plain:
        times = [_NO_TIME if time is None else time for time in times]
    return _MILLISECONDS.sub(rb"\1Z", orjson.dumps(times, option=OPTIONS))


def _columns(table: ViewTable) -> Sequence[Any]:
    types = {field.name: field.dtype for field in table.read.view.features}
    return [
        [_seconds(value) for value in stored] if types[name] in _TIMES else written
        for name, stored, written in zip(
            table.read.features, table.values, json_columns(table), strict=True
        )
    ]


def _seconds(value: Any) -> Any:
    if isinstance(value, datetime):
        return int(value.timestamp())
    return [_seconds(item) for item in value] if isinstance(value, list) else value
