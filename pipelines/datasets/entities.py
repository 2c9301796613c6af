"""Entity rows: where they come from, and the one order that they are kept in.

The order depends on the rows alone: by time, then by join keys, then by every other column. So the
same rows make the same dataset, in whatever order a file, a dataframe or Athena gave them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from mlops.errors import InputError
from mlops.plan import FeaturePlan
from mlops.training_rows import entity_keys
from pipelines.datasets.checksum import comparable
from pipelines.datasets.record import Origin

TIMES = ("event_time", "event_timestamp")
"""The column of times is the first of these that there is; the second is Feast's name."""
REQUESTED = {
    "Float64": pa.float64(),
    "Float32": pa.float64(),
    "Int64": pa.int64(),
    "Int32": pa.int64(),
    "String": pa.string(),
    "Bool": pa.bool_(),
}
"""By Feast's type of a request field: what it is kept as."""
_TIME = pa.timestamp("us", tz="UTC")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EntityRows:
    """Entity rows in their order, and where they came from."""

    table: pa.Table
    time_column: str
    origin: Origin
    source: str = ""
    """The query's text, the file's name, or the dataset that they were taken from."""

    def keys(self, plan: FeaturePlan) -> pd.DataFrame:
        """What the offline store is asked: ordinals, times and join keys."""
        # As texts before pandas sees them, which makes floats of whole numbers with a gap.
        keys = {e.name: self.table[e.name].cast(pa.string()) for e in plan.entities}
        frame = pa.table({**keys, self.time_column: self.table[self.time_column]}).to_pandas()
        return entity_keys(plan, frame, frame[self.time_column])


def from_frame(frame: pd.DataFrame, plan: FeaturePlan) -> EntityRows:
    """A caller's dataframe, which is not changed; its index is left out."""
    columns = [str(column) for column in frame.columns]
    if twice := sorted({c for c in columns if columns.count(c) > 1}):
        raise InputError(f"The entity rows have {', '.join(twice)} twice. Rename one.")
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as exc:
        raise InputError(
            f"The entity rows have a column that mixes types: {exc.args[0]}. Give it one type, or "
            "leave it out."
        ) from exc
    return arrange(table, plan, origin="dataframe")


def from_file(path: Path, plan: FeaturePlan) -> EntityRows:
    """A Parquet or CSV file; a CSV's join keys are texts, whatever they look like."""
    if not path.is_file():
        raise InputError(f"There is no file {path}. Check the path.")
    try:
        table = _read_csv(path, plan) if path.suffix == ".csv" else pq.read_table(path)
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError) as exc:
        raise InputError(
            f"{path} cannot be read: {str(exc).splitlines()[0]} It must be Parquet, or CSV with a "
            "header and the ending .csv."
        ) from exc
    return arrange(table, plan, origin="file", source=path.name)


def _read_csv(path: Path, plan: FeaturePlan) -> pa.Table:
    texts = dict.fromkeys((entity.name for entity in plan.entities), pa.string())
    options = pa_csv.ConvertOptions(column_types=texts, strings_can_be_null=True)
    return pa_csv.read_csv(path, convert_options=options)


def arrange(table: pa.Table, plan: FeaturePlan, *, origin: Origin, source: str = "") -> EntityRows:
    """Check the rows, give their columns the types that the service takes, put them in order.

    Raises InputError naming columns that are missing, that the features have too, or that hold
    something else than the service takes.
    """
    time = find_time(table.column_names)
    check_columns(table.column_names, plan, time)
    if not table.num_rows:
        raise InputError("There are no entity rows. Widen the query, or give another file.")
    fit = _Fit(plan, time)
    columns = {n: fit(n, c) for n, c in zip(table.column_names, table.columns, strict=True)}
    keys = [entity.name for entity in plan.entities]
    return EntityRows(in_order(pa.table(columns), [time, *keys]), time, origin, source)


def find_time(columns: Sequence[str]) -> str:
    """The column of times. Raises InputError when there is none."""
    found = next((name for name in TIMES if name in columns), None)
    if found is None:
        raise InputError(
            f"The entity rows have no column '{TIMES[0]}' that says when to look; they have "
            f"{', '.join(columns) or 'no columns'}. Rename the column of times."
        )
    return found


def check_columns(columns: Sequence[str], plan: FeaturePlan, time: str) -> None:
    """Raises InputError for what the service needs and is not there, and for names taken twice."""
    needed = [field.name for field in (*plan.entities, *plan.request)]
    missing = [name for name in dict.fromkeys(needed) if name not in columns]
    if missing:
        raise InputError(
            f"The entity rows lack {', '.join(missing)}, which feature service '{plan.service}' "
            f"needs; they have {', '.join(columns)}."
        )
    taken = [name for name in columns if name in plan.stored or name in plan.computed]
    if taken:
        raise InputError(
            f"The entity rows and feature service '{plan.service}' both have {', '.join(taken)}. "
            "Rename the entity rows' columns, or leave them out."
        )


def in_order(table: pa.Table, first: Sequence[str]) -> pa.Table:
    """The rows by these columns, and then by all others."""
    names = [*first, *(name for name in table.column_names if name not in first)]
    keys = pa.table({str(n): _sortable(table[name]) for n, name in enumerate(names)})
    order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.column_names])
    return table.take(order).combine_chunks()


def _sortable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([comparable(chunk) for chunk in column.chunks])


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """One of few types, whatever it was read from; what is no number is no value."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _plain(column.cast(kind.value_type))
    if pa.types.is_null(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    if pa.types.is_floating(kind):
        return pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column)
    return column


class _Fit:
    """Gives each column the type that the service takes."""

    def __init__(self, plan: FeaturePlan, time: str) -> None:
        self._time = time
        self._keys = {entity.name for entity in plan.entities}
        self._requested = {field.name: field.dtype for field in plan.request}

    def __call__(self, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
        plain = _plain(column)
        if name == self._time:
            return _as_time(plain, name)
        if name in self._keys:
            return _as_key(plain, name)
        if name in self._requested:
            return _as_requested(plain, name, self._requested[name])
        return plain


def _as_time(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """UTC in microseconds. Raises InputError for rows without a time."""
    if pa.types.is_string(column.type):
        column = _parsed(column, name)
    elif not pa.types.is_timestamp(column.type) and not pa.types.is_date(column.type):
        raise InputError(f"Column '{name}' of the entity rows is {column.type}; give it times.")
    if column.null_count:
        raise InputError(
            f"{column.null_count} of {len(column)} entity rows have no '{name}'. Leave them out."
        )
    if pa.types.is_timestamp(column.type) and column.type.tz is None:
        _log.warning("Entity times in '%s' have no zone; they are taken as UTC.", name)
    return column.cast(pa.timestamp("us"), safe=False).cast(_TIME)


def _parsed(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    try:
        times = pd.to_datetime(column.to_pandas(), utc=True, format="ISO8601")
    except ValueError as exc:
        raise InputError(
            f"Column '{name}' of the entity rows holds something that is no time: {exc}. Write "
            "times as 2025-05-01T10:00:00Z."
        ) from exc
    return pa.chunked_array([pa.Array.from_pandas(times)])


def _as_key(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Whole numbers again where a gap made pandas turn them into floats."""
    if not pa.types.is_floating(column.type):
        return column
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid as exc:
        raise InputError(
            f"Join key '{name}' of the entity rows holds fractions: {exc}. Give it as text or as "
            "whole numbers."
        ) from exc


def _as_requested(column: pa.ChunkedArray, name: str, dtype: str) -> pa.ChunkedArray:
    wanted = REQUESTED.get(dtype)
    if wanted is None:
        return column
    try:
        return _plain(column.cast(wanted, safe=not pa.types.is_decimal(column.type)))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
        raise InputError(
            f"Column '{name}' of the entity rows is {column.type}, but the service takes {dtype}: "
            f"{exc}."
        ) from exc
