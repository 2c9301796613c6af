"""The messages of feature reads over gRPC, and what they say: see feature_reader.proto."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from mlops.stores.online import TIMELESS, FeatureStatus, ViewTable
from serving.errors import InvalidRequest
from serving.messages import build_messages, read_fields
from serving.proxy.entity_columns import EntityRows
from serving.proxy.feature_answers import OPTIONS, json_value

PACKAGE = "mlops.features.v1"
SERVICE = f"{PACKAGE}.FeatureReader"
TABLE = {
    name: read_fields(fields)
    for name, fields in {
        "ReadRequest": """string feature_service = 1; map Column entities = 2;
            repeated string features = 3; string id = 4""",
        "Column": """repeated string strings = 1; repeated int64 integers = 2;
            repeated double doubles = 3; repeated bool bools = 4; repeated bytes bytes = 5;
            repeated string json = 6""",
        "ReadResponse": """string request_id = 1; string id = 2; string feature_service = 3;
            repeated Feature features = 4; map EventTimes event_times = 5;
            repeated Error errors = 6; Error error = 7""",
        "Feature": "string name = 1; Column values = 2; repeated int32 statuses = 3",
        "EventTimes": "repeated int64 microseconds = 1",
        "Error": """int32 row = 1; string code = 2; string message = 3; string field = 4;
            string remedy = 5""",
    }.items()
}
MESSAGES: dict[str, Any] = build_messages(PACKAGE, TABLE)
STATUSES = {
    FeatureStatus.INVALID: 0,
    FeatureStatus.PRESENT: 1,
    FeatureStatus.NULL: 2,
    FeatureStatus.NOT_FOUND: 3,
    FeatureStatus.OUTSIDE_MAX_AGE: 4,
}
_KINDS: dict[str, tuple[str, Any]] = {
    **dict.fromkeys(("Float32", "Float64"), ("doubles", 0.0)),
    **dict.fromkeys(("Int32", "Int64", "UnixTimestamp"), ("integers", 0)),
    "Bool": ("bools", False),
    **dict.fromkeys(("String", "Json", "Uuid", "TimeUuid", "Decimal"), ("strings", "")),
    **dict.fromkeys(("Bytes", "PdfBytes", "ImageBytes"), ("bytes", b"")),
}
"""Per Feast type the list that holds its values, and what stands for none."""
_JSON = ("json", "")
_ENTITY_KINDS = ("strings", "integers", "bytes")


def read_entities(request: Any) -> dict[str, list[Any]]:
    """The columns of a request. Raises InvalidRequest where one is of two kinds, or of none."""
    columns = {}
    for name, column in request.entities.items():
        kinds = [field.name for field, _ in column.ListFields()]
        if len(kinds) != 1 or kinds[0] not in _ENTITY_KINDS:
            raise InvalidRequest(
                f"'entities.{name[:100]}' must be strings, integers or bytes, and one of them.",
                field=f"entities.{name[:100]}",
            )
        columns[name] = list(getattr(column, kinds[0]))
    return columns


def write_features(tables: Sequence[ViewTable]) -> dict[str, Any]:
    """The features and event times of a ReadResponse."""
    features = [
        MESSAGES["Feature"](
            name=reference,
            values=_column(field_type, values, is_plain=table.is_plain),
            statuses=[STATUSES[status] for status in table.statuses_of(place)],
        )
        for table in tables
        for place, (reference, field_type, values) in enumerate(_typed(table))
    ]
    times = {
        table.read.view.name: MESSAGES["EventTimes"](microseconds=_times(table)) for table in tables
    }
    return {"features": features, "event_times": times}


def write_errors(rows: EntityRows) -> list[Any]:
    return [write_error(error, row) for row, error in sorted(rows.errors.items())]


def write_error(error: Any, row: int = 0) -> Any:
    """An Error message."""
    return MESSAGES["Error"](
        row=row,
        code=error.code,
        message=str(error),
        field=getattr(error, "field", None) or "",
        remedy=getattr(error, "remedy", None) or "",
    )


def _typed(table: ViewTable) -> Any:
    types: Mapping[str, str] = {field.name: field.dtype for field in table.read.view.features}
    kinds = [types[name] for name in table.read.features]
    return zip(table.read.references(), kinds, table.values, strict=True)


def _column(dtype: str, values: Any, *, is_plain: bool) -> Any:
    kind, empty = _KINDS.get(dtype, _JSON)
    listed = values.tolist() if isinstance(values, np.ndarray) else values
    if is_plain:
        return MESSAGES["Column"](**{kind: listed})
    if dtype == "UnixTimestamp":
        listed = [None if value is None else int(value.timestamp()) for value in listed]
    if kind == "json":
        listed = [None if v is None else _text(v) for v in listed]
    return MESSAGES["Column"](**{kind: [empty if v is None else v for v in listed]})


def _text(value: Any) -> str:
    return orjson.dumps(json_value(value), option=OPTIONS).decode()


def _times(table: ViewTable) -> list[int]:
    if isinstance(table.events, np.ndarray):
        listed: list[int] = table.events.tolist()
        return listed
    pairs = zip(table.statuses, table.events, strict=True)
    return [0 if status in TIMELESS else int(event) for status, event in pairs]
