"""What one of Feast's clients asks for: stored features, and those that are computed of them.

Computed as for predictions: by this image's functions, on stored numbers as training saw them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlops.plan import PlannedField
from mlops.stores.online import ViewTable
from serving.errors import InvalidRequest
from serving.proxy.feature_answers import json_value
from serving.proxy.feature_services import ReadableService
from serving.proxy.features import as_trained
from serving.proxy.instances import READERS
from serving.proxy.on_demand import compute_on_demand

_TYPES: Mapping[str, Any] = {
    **dict.fromkeys(("Float32", "Float64"), float),
    **dict.fromkeys(("Int32", "Int64"), int),
    "Bool": bool,
}


@dataclass(frozen=True)
class ComputedFeature:
    """A feature that was computed, for every row."""

    view: str
    name: str
    values: Sequence[Any]
    """As JSON has them."""


def split_columns(
    service: ReadableService, columns: Mapping[str, list[Any]]
) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """The ids, and what else is sent of a row, in its types.

    Raises InvalidRequest where the latter is missing or of another type.
    """
    fields = {field.name: field for field in service.plan.request}
    ids = {name: values for name, values in columns.items() if name not in fields}
    return ids, {name: _given(field, columns.get(name)) for name, field in fields.items()}


def _given(field: PlannedField, values: list[Any] | None) -> list[Any]:
    kind, read = READERS[field.dtype]
    where = f"entities.{field.name}"
    if values is None:
        raise InvalidRequest(
            f"'{where}' is missing.",
            field=where,
            remedy=f"Features that are computed on demand need it: {kind}, for each row.",
        )
    found = []
    for row, value in enumerate(values):
        try:
            found.append(_moment(value) if _is_seconds(field, value) else read(value))
        except (ValueError, OverflowError, OSError) as exc:
            place = f"{where}[{row}]"
            raise InvalidRequest(f"'{place}' must be {kind}.", field=place) from exc
    return found


def _is_seconds(field: PlannedField, value: Any) -> bool:
    """Feast's clients send times as whole seconds, as its servers answer them."""
    return field.dtype == "UnixTimestamp" and type(value) is int


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def compute(
    service: ReadableService,
    tables: Sequence[ViewTable],
    ids: Mapping[str, list[Any]],
    given: Mapping[str, list[Any]],
) -> list[ComputedFeature]:
    """Every computed feature of the service. Raises the error of the first row that fails."""
    if not service.on_demand:
        return []
    columns = {**ids, **given}
    for table in tables:
        stored = ([as_trained(value) for value in column] for column in table.columns())
        columns.update(zip(table.read.features, stored, strict=True))
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    errors = compute_on_demand(service.on_demand, rows)
    if errors:
        raise errors[min(errors)]
    return [
        ComputedFeature(
            one.planned.name, field.name, [_written(row[field.name], field) for row in rows]
        )
        for one in service.on_demand
        for field in one.planned.outputs
    ]


def _written(value: Any, field: PlannedField) -> Any:
    if value is None:
        return None
    if isinstance(value, datetime):
        return int(value.timestamp())
    return json_value(_TYPES.get(field.dtype, lambda same: same)(value))
