"""From ids and request values to the model's input: pure, one outcome per instance."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mlops.errors import MlopsError
from mlops.manifest import Manifest, ModelInput
from mlops.stores.online import FeatureRow, FeatureStatus, FeatureValue
from serving.proxy.input_values import Value, read_value
from serving.proxy.instances import Instance
from serving.proxy.missing import explain_missing
from serving.proxy.on_demand import compute_on_demand
from serving.proxy.plain_features import FoundRows, assemble_plain
from serving.proxy.served import ServedModel
from serving.tensors import BY_MANIFEST, Tensors

FloatMatrix = npt.NDArray[np.float32]


@dataclass(slots=True)
class Assembled:
    """What was found for one instance."""

    features: Mapping[str, FeatureValue] = field(default_factory=dict)
    """Stored and computed features, by name."""
    defaulted: set[str] = field(default_factory=set)
    vector: list[Value] = field(default_factory=list)
    """The model's inputs in order; NaN where the manifest says null."""
    error: MlopsError | None = None


def assemble(
    model: ServedModel, instances: Sequence[Instance], rows: Sequence[FeatureRow]
) -> list[Assembled]:
    """Stored features, request values and computed features as the model's inputs.

    An instance whose features are missing and refused, or whose on-demand function raises, carries
    its error; the others are not touched by it.
    """
    if isinstance(rows, FoundRows) and (plain := assemble_together(model, instances, rows)):
        return plain
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


def assemble_together(
    model: ServedModel, instances: Sequence[Instance], rows: FoundRows
) -> list[Assembled] | None:
    """The same in one piece; None where an instance is not plain, see `plain_features`."""
    plain = assemble_plain(model, instances, rows)
    if plain is None:
        return None
    return [Assembled(features=features, vector=vector) for features, vector in plain]


def to_tensors(manifest: Manifest, assembled: Sequence[Assembled]) -> Tensors:
    """The vectors as the graph takes them: one float32 [n, inputs], or [n, 1] for each input."""
    if manifest.layout == "matrix":
        return {manifest.graph_input: to_matrix(assembled)}
    columns = zip(*(one.vector for one in assembled), strict=True)
    return {
        column.name: np.array(values, dtype=BY_MANIFEST[column.dtype].dtype).reshape(-1, 1)
        for column, values in zip(manifest.inputs, columns, strict=True)
    }


def to_matrix(assembled: Iterable[Assembled]) -> FloatMatrix:
    """The vectors as float32 [n, inputs]."""
    with np.errstate(over="ignore"):
        return np.array([one.vector for one in assembled], dtype=np.float32)


def _known(model: ServedModel, instance: Instance, row: FeatureRow) -> dict[str, Any]:
    known = {name: as_trained(row[reference].value) for reference, name in model.stored}
    known.update(instance.entities)
    known.update(instance.request)
    return known


def as_trained(value: Any) -> Any:
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
        given = values.get(name)
        value = read_value(given, column.dtype)
        if column.origin == "on_demand":
            features[name] = _computed(given, value)
        if value is not None:
            one.vector.append(value)
            continue
        if column.origin == "feature":
            features[name] = _without_value(features[name])
        if column.on_missing == "refuse":
            refused.append(name)
        elif column.on_missing == "default":
            one.defaulted.add(name)
        one.vector.append(_substitute(column))
    if refused:
        one.error = explain_missing(
            model.endpoint, model.plan, instance, features=features, refused=refused
        )


def _substitute(column: ModelInput) -> Value:
    default = read_value(column.default, column.dtype)
    return math.nan if default is None else default


def _computed(given: Any, value: Value | None) -> FeatureValue:
    status = FeatureStatus.NULL if value is None else FeatureStatus.PRESENT
    return FeatureValue(status, None if value is None else given)


def _without_value(found: FeatureValue) -> FeatureValue:
    """A stored value that is there and does not fit the input: NaN is null, all else invalid."""
    if found.status != FeatureStatus.PRESENT:
        return found
    status = FeatureStatus.NULL if isinstance(found.value, float) else FeatureStatus.INVALID
    return FeatureValue(status, None, found.event_time)
