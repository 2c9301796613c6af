"""Numbers at known places of many entities, copied into tables by NumPy.

What lies at equal distances is copied at once: the values of a view, and those of views alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np

from mlops.stores.redis.schema import SLOTS

_FLOATING = ("Float32", "Float64")
_T = TypeVar("_T")


class Slot(NamedTuple):
    """Where a value is."""

    place: int
    """Among all that is wanted."""
    dtype: str
    """Feast's name of a type that has a slot."""
    offset: int
    """From where the entity begins."""


@dataclass(frozen=True)
class _Run:
    """Values of one type at equal distances, in groups at equal distances."""

    groups: Sequence[Sequence[Slot]]

    @cached_property
    def places(self) -> list[int]:
        return [slot.place for group in self.groups for slot in group]

    @cached_property
    def _shape(self) -> tuple[int, int]:
        return len(self.groups), len(self.groups[0])

    @cached_property
    def _steps(self) -> tuple[int, int]:
        return _step([group[0] for group in self.groups]), _step(self.groups[0])

    @cached_property
    def _first(self) -> tuple[str, int]:
        return SLOTS[self.groups[0][0].dtype][1], self.groups[0][0].offset

    def copy(self, data: Any, start: int, size: int, target: Any) -> None:
        """To `target` [values, entities], of entities of `size` bytes from `start` on."""
        (dtype, offset), shape = self._first, (*self._shape, target.shape[1])
        found: Any = np.ndarray(shape, dtype, data, start + offset, (*self._steps, size))
        target.reshape(shape)[:] = found


@dataclass(frozen=True)
class ValueTable:
    """Values that have one type when they are read."""

    dtype: str
    """NumPy's name: float64 for whatever is floating."""
    runs: Sequence[_Run]

    @cached_property
    def places(self) -> list[int]:
        """Where its rows stand among all that is wanted."""
        return [place for run in self.runs for place in run.places]

    def read(self, data: Any, start: int, count: int, size: int) -> Any:
        """[values, entities] of `count` entities of `size` bytes, one after another from `start`.

        data: bytes, or a view of them.
        """
        found, first = np.empty((len(self.places), count), self.dtype), 0
        for run in self.runs:
            end = first + len(run.places)
            run.copy(data, start, size, found[first:end])
            first = end
        return found


def value_tables(slots: Sequence[Slot]) -> list[ValueTable]:
    """What reads these: a table for each type, and one for both that are floating."""
    runs: dict[str, list[_Run]] = {}
    by_type: dict[str, list[Slot]] = {}
    for slot in slots:
        by_type.setdefault(slot.dtype, []).append(slot)
    for dtype, alike in by_type.items():
        read_as = "<f8" if dtype in _FLOATING else SLOTS[dtype][1]
        runs.setdefault(read_as, []).extend(_runs(alike))
    return [ValueTable(dtype, found) for dtype, found in runs.items()]


def _runs(slots: Sequence[Slot]) -> list[_Run]:
    """Those of one type, cut where their distances change."""
    groups = _evenly(slots, lambda slot: slot.offset)
    alike = itertools.groupby(groups, lambda group: (len(group), _step(group)))
    parts = [_evenly(list(some), lambda group: group[0].offset) for _, some in alike]
    return [_Run(part) for part in itertools.chain.from_iterable(parts)]


def _evenly(items: Sequence[_T], offset: Callable[[_T], int]) -> list[list[_T]]:
    """Cut where one is not as far from the last as the second is from the first."""
    parts: list[list[_T]] = []
    for item in items:
        last = parts[-1] if parts else []
        steps = [offset(b) - offset(a) for a, b in itertools.pairwise([*last, item])]
        if last and len(set(steps)) == 1:
            last.append(item)
        else:
            parts.append([item])
    return parts


def _step(slots: Sequence[Slot]) -> int:
    return slots[1].offset - slots[0].offset if len(slots) > 1 else 0
