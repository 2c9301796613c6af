"""Assembling payments of which every feature is there and a number: column by column.

Most payments are so. Then no value is looked at by itself, and statuses and times are built only
where an answer shows them. Whatever is not so plain is left to `serving.proxy.features`, which
answers the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import orjson

from mlops.stores.online import (
    TIMELESS,
    FeatureRow,
    FeatureStatus,
    FeatureValue,
    ViewTable,
    to_datetime,
)
from serving.proxy.input_values import as_number
from serving.proxy.instances import MAX_NUMBER, Instance
from serving.proxy.served import ServedModel

Columns = dict[str, Sequence[Any]]


class FoundRows(Sequence[FeatureRow]):
    """What was read for n instances; its rows are built when somebody looks at them."""

    def __init__(self, tables: Sequence[ViewTable], count: int) -> None:
        self.tables = tables
        self._count = count

    @property
    def is_plain(self) -> bool:
        return all(table.is_plain for table in self.tables)

    def part(self, place: slice) -> FoundRows:
        """Some of the rows, plain where they are so by themselves."""
        count = len(range(*place.indices(self._count)))
        return FoundRows([_part(table, place) for table in self.tables], count)

    def columns(self) -> Columns:
        """The values of each feature by its plain name, whole numbers as float, as in training."""
        return {
            name: _as_trained(values)
            for table in self.tables
            for name, values in zip(table.read.features, table.values, strict=True)
        }

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        return self._rows[index]

    @cached_property
    def _rows(self) -> list[FeatureRow]:
        rows: list[dict[str, FeatureValue]] = [{} for _ in range(self._count)]
        for table in self.tables:
            times = _times(table)
            for place, reference in enumerate(table.read.references()):
                values: Any = table.values[place]
                listed = values.tolist() if isinstance(values, np.ndarray) else values
                found = zip(rows, table.statuses_of(place), listed, times, strict=True)
                for row, status, value, time in found:
                    row[reference] = FeatureValue(status, value, time)
        return list(rows)


def _part(table: ViewTable, place: slice) -> ViewTable:
    exceptions = {at: statuses[place] for at, statuses in table.exceptions.items()}
    statuses, events = table.statuses[place], table.events[place]
    everything = (statuses, *exceptions.values())
    is_plain = all(one is FeatureStatus.PRESENT for found in everything for one in found)
    values = [column[place] for column in table.values]
    return ViewTable(table.read, statuses, events, values, exceptions, is_plain)


def _as_trained(values: Any) -> list[Any]:
    listed = values.tolist() if isinstance(values, np.ndarray) else values
    return [float(value) if type(value) is int else value for value in listed]


def _times(table: ViewTable) -> list[Any]:
    events: Any = table.events
    listed = events.tolist() if isinstance(events, np.ndarray) else events
    return [
        None if status in TIMELESS else to_datetime(event)
        for status, event in zip(table.statuses, listed, strict=True)
    ]


class PlainFeatures(Mapping[str, FeatureValue]):
    """The features of one instance, all of them PRESENT; values are looked up when asked for."""

    def __init__(
        self, model: ServedModel, rows: FoundRows, computed: Mapping[str, Any], place: int
    ) -> None:
        """computed: the columns of what was computed on demand, by name."""
        self.names = model.shown
        self._model, self._rows, self._computed, self._place = model, rows, computed, place

    def __getitem__(self, name: str) -> FeatureValue:
        if name in self._computed:
            return FeatureValue(FeatureStatus.PRESENT, self._computed[name][self._place])
        found: FeatureValue = self._rows[self._place][self._model.reference_of[name]]
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


@lru_cache(maxsize=256)
def all_present(names: tuple[str, ...]) -> orjson.Fragment:
    """What an answer says of features that are all PRESENT, written once."""
    status = {"status": FeatureStatus.PRESENT}
    return orjson.Fragment(orjson.dumps(dict.fromkeys(names, status)))


def assemble_plain(
    model: ServedModel, instances: Sequence[Instance], rows: FoundRows
) -> list[tuple[PlainFeatures, list[Any]]] | None:
    """The features and the inputs of each instance; None where one is not that plain."""
    if not rows.is_plain or model.manifest.layout != "matrix":
        return None
    columns = rows.columns()
    for name in model.request_names:
        columns[name] = [instance.request[name] for instance in instances]
    for name in model.entity_names:
        columns[name] = [instance.entities[name] for instance in instances]
    computed = _compute(model, columns, len(instances))
    if computed is None:
        return None
    columns |= computed
    inputs = [columns[name] for _, name in model.inputs]
    vectors = list(map(list, zip(*inputs, strict=True)))
    if not all(map(_are_numbers, vectors)):
        return None
    shown = {name: computed[name] for name in model.computed_names}
    return [
        (PlainFeatures(model, rows, shown, place), list(map(float, vector)))
        for place, vector in enumerate(vectors)
    ]


def _are_numbers(vector: Sequence[Any]) -> bool:
    """Whether the model takes each of them; most are float, and quickly told."""
    for value in vector:
        is_plain = type(value) is float and -MAX_NUMBER <= value <= MAX_NUMBER
        if not is_plain and as_number(value) is None:
            return False
    return True


def _compute(model: ServedModel, columns: Columns, count: int) -> Columns | None:
    """What is computed on demand; None where a function fails, whoever's fault that is."""
    found: Columns = {}
    for view in model.on_demand:
        given = {name: list(found.get(name) or columns[name]) for name in view.planned.inputs}
        try:
            outputs = view.function(given)
            made = {field.name: outputs[field.name] for field in view.planned.outputs}
        except Exception:  # noqa: BLE001 — the careful way finds out for which instance
            return None
        if any(len(column) != count for column in made.values()):
            return None
        found |= made
    return found
