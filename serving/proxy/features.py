"""From ids and request values to the model's input: pure, one outcome per instance."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mlops.errors import MlopsError
from mlops.stores.online import FeatureRow, FeatureStatus, FeatureValue
from serving.proxy.input_values import as_number
from serving.proxy.instances import Instance
from serving.proxy.missing import explain_missing
from serving.proxy.on_demand import compute_on_demand
from serving.proxy.plain_features import FoundRows, assemble_plain
from serving.proxy.served import ServedModel

FloatMatrix = npt.NDArray[np.float32]


@dataclass
class Assembled:
    """What was found for one instance."""

    features: Mapping[str, FeatureValue] = field(default_factory=dict)
    """Stored and computed features, by name."""
    defaulted: set[str] = field(default_factory=set)
    vector: list[float] = field(default_factory=list)
    """The model's inputs in order; NaN where the manifest says null."""
    error: MlopsError | None = None


def assemble(
    model: ServedModel, instances: Sequence[Instance], rows: Sequence[FeatureRow]
) -> list[Assembled]:
    """Stored features, request values and computed features as the model's inputs.

    An instance whose features are missing and refused, or whose on-demand function raises, carries
    its error; the others are not touched by it.
    """
    if isinstance(rows, FoundRows) and (plain := assemble_plain(model, instances, rows)):
        return [Assembled(features=features, vector=vector) for features, vector in plain]
    values = [_known(model, *pair) for pair in zip(instances, rows, strict=True)]
    errors = compute_on_demand(model.on_demand, values)
    assembled = []
    for index, (instance, row) in enumerate(zip(instances, rows, strict=True)):
        stored = {name: row[reference] for reference, name in model.stored}
        one = Assembled(features=stored, error=errors.get(index))
        if one.error is None:
            _fill(one, stored, model, instance, values[index])
        assembled.append(one)
    return assembled


def to_matrix(assembled: Iterable[Assembled]) -> FloatMatrix:
    """The vectors as float32 [n, inputs]."""
    with np.errstate(over="ignore"):
        return np.array([one.vector for one in assembled], dtype=np.float32)


def _known(model: ServedModel, instance: Instance, row: FeatureRow) -> dict[str, Any]:
    known = {name: _as_trained(row[reference].value) for reference, name in model.stored}
    known.update(instance.entities)
    known.update(instance.request)
    return known


def _as_trained(value: Any) -> Any:
    """As on-demand functions saw it in training, where stored numbers are float64 or missing."""
    if type(value) is int:
        return float(value)
    return None if isinstance(value, float) and math.isnan(value) else value


def _fill(
    one: Assembled,
    features: dict[str, FeatureValue],
    model: ServedModel,
    instance: Instance,
    values: dict[str, Any],
) -> None:
    """features: those of `one`, to add to."""
    refused = []
    for column, name in model.inputs:
        value = values.get(name)
        number = as_number(value)
        if column.origin == "on_demand":
            features[name] = _computed(value, number)
        if number is not None:
            one.vector.append(number)
            continue
        if column.origin == "feature":
            features[name] = _without_number(features[name])
        if column.on_missing == "refuse":
            refused.append(name)
        elif column.on_missing == "default":
            one.defaulted.add(name)
        one.vector.append(math.nan if column.default is None else float(column.default))
    if refused:
        one.error = explain_missing(
            model.endpoint, model.plan, instance, features=features, refused=refused
        )


def _computed(value: Any, number: float | None) -> FeatureValue:
    status = FeatureStatus.NULL if number is None else FeatureStatus.PRESENT
    return FeatureValue(status, None if number is None else value)


def _without_number(found: FeatureValue) -> FeatureValue:
    """A stored value that is there but no finite number: NaN is null, anything else invalid."""
    if found.status != FeatureStatus.PRESENT:
        return found
    status = FeatureStatus.NULL if isinstance(found.value, float) else FeatureStatus.INVALID
    return FeatureValue(status, None, found.event_time)
