"""On-demand features, computed for all instances at once and, where that fails, one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlops.errors import MlopsError
from serving.errors import ComputationFailed
from serving.proxy.served import OnDemand


def compute_on_demand(
    views: Sequence[OnDemand], values: Sequence[dict[str, Any]]
) -> dict[int, MlopsError]:
    """Add each view's outputs to the values; an instance that a function fails for is returned.

    values: request fields and features by plain name, None where missing.
    """
    errors: dict[int, MlopsError] = {}
    for view in views:
        sound = [index for index in range(len(values)) if index not in errors]
        try:
            _apply(view, [values[index] for index in sound])
        except Exception:  # noqa: BLE001 — whatever a function raises: find out for which of them
            errors |= _apply_one_by_one(view, values, sound)
    return errors


def _apply(view: OnDemand, values: Sequence[dict[str, Any]]) -> None:
    if not values:
        return
    columns = {name: [row[name] for row in values] for name in view.planned.inputs}
    outputs = view.function(columns)
    computed = {output.name: outputs[output.name] for output in view.planned.outputs}
    if any(len(column) != len(values) for column in computed.values()):
        raise ValueError(f"'{view.planned.function}' must return as many values as it was given")
    for index, row in enumerate(values):
        row.update({name: column[index] for name, column in computed.items()})


def _apply_one_by_one(
    view: OnDemand, values: Sequence[dict[str, Any]], indices: Sequence[int]
) -> dict[int, MlopsError]:
    errors: dict[int, MlopsError] = {}
    for index in indices:
        try:
            _apply(view, [values[index]])
        except Exception as exc:  # noqa: BLE001 — this caller is told, the others are served
            error = ComputationFailed(
                f"On-demand view '{view.planned.name}' cannot be computed from these values "
                f"({type(exc).__name__}).",
                remedy=f"Check {', '.join(view.planned.inputs)}.",
            )
            error.__cause__ = exc
            errors[index] = error
    return errors
