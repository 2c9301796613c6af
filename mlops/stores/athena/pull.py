"""Reading a source for itself: the latest row of each key in a window, or all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlops.stores.athena.join import Feature
from mlops.stores.athena.sql import DayColumn, TimeColumn, Window, name


@dataclass(frozen=True)
class Pull:
    """Columns of a source, by the names that they have there."""

    relation: str
    keys: tuple[str, ...]
    features: tuple[Feature, ...]
    event_time: TimeColumn
    created: TimeColumn | None = None
    order: TimeColumn | None = None
    day: DayColumn | None = None

    @property
    def columns(self) -> list[str]:
        """Without repetition, in Feast's order: keys, features, event time, created time."""
        times = [self.event_time.column, *([self.created.column] if self.created else [])]
        return list(dict.fromkeys([*self.keys, *(f.column for f in self.features), *times]))

    @property
    def conditions_column(self) -> TimeColumn:
        return self.order or self.event_time


def all_sql(pull: Pull, window: Window, *, as_of: int | None = None) -> str:
    """Every row with an event time in the window, both ends included, to the last microsecond."""
    columns = ", ".join(_selected(pull, column) for column in pull.columns)
    return f"SELECT {columns}\nFROM {pull.relation}{_where(pull, window, as_of)}"


def latest_sql(
    pull: Pull,
    window: Window,
    *,
    as_of: int | None = None,
    given: Sequence[str] = (),
    select: Sequence[str] = (),
) -> str:
    """The latest row of each key in the window; ties are decided as in the point-in-time join.

    Rows without a key are left out: nobody could ask for them. given: more conditions on the rows
    to choose from. select: what to select of the source's columns, in place of all.
    """
    order = [f"{name(pull.conditions_column.column)} DESC"]
    if pull.created is not None:
        order.append(f"{name(pull.created.column)} DESC NULLS LAST")
    order += [f"{f.sortable(name(f.column))} DESC NULLS LAST" for f in pull.features]
    partition = f"PARTITION BY {', '.join(map(name, pull.keys))} " if pull.keys else ""
    needed = dict.fromkeys([*pull.columns, pull.conditions_column.column])
    rank = f"row_number() OVER ({partition}ORDER BY {', '.join(order)}) AS place"
    inner = f"SELECT {', '.join(map(name, needed))}, {rank}\nFROM {pull.relation}"
    known = [f"{name(key)} IS NOT NULL" for key in pull.keys]
    where = _where(pull, window, as_of, [*known, *given])
    columns = ", ".join(select or [_selected(pull, column) for column in pull.columns])
    return f"SELECT {columns}\nFROM (\n{inner}{where}\n)\nWHERE place = 1"


def _where(pull: Pull, window: Window, as_of: int | None, more: Sequence[str] = ()) -> str:
    conditions = [*window.conditions(pull.event_time, pull.day), *more]
    if pull.order is not None:
        conditions += window.conditions(pull.order, None)
    if pull.created is not None and as_of is not None:
        conditions.append(f"{name(pull.created.column)} <= {pull.created.literal(as_of)}")
    return f"\nWHERE {' AND '.join(conditions)}" if conditions else ""


def _selected(pull: Pull, column: str) -> str:
    times = [pull.event_time, *([pull.created] if pull.created else [])]
    kind = next((time.type for time in times if time.column == column), "")
    if "with time zone" in kind:
        return f"CAST({name(column)} AT TIME ZONE 'UTC' AS timestamp) AS {name(column)}"
    return name(column)
