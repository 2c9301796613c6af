"""Entity rows: a dataframe, a query, or a range of time, as a table that Athena can join.

Only ordinals, times and join keys of a dataframe are uploaded; its other columns stay with the
caller, and are put back beside the features as they were.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlops.errors import InputError
from mlops.stores.athena.join import AT, ROW, Carried, View
from mlops.stores.athena.sql import EPOCH, TimeColumn, Window, base_type, is_zoned, literal, name

TIME = "event_timestamp"
"""Feast's name for an entity row's time; another single column of times is taken too."""
_ARROW = {
    "varchar": pa.string(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "varbinary": pa.binary(),
}
_HIVE = {"varchar": "string", "varbinary": "binary"}
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EntityTable:
    """Entity rows as they lie in a table."""

    relation: str
    times: Window
    rows: int
    carried: tuple[Carried, ...] = ()
    reach: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """The smallest and largest of each integer key, by column, where they are known."""


@dataclass(frozen=True)
class EntityRows:
    """A caller's dataframe as Arrow, and which of its columns is the time."""

    table: pa.Table
    time_column: str
    microseconds: pa.Int64Array = field(repr=False)

    @property
    def window(self) -> Window:
        found = pc.min_max(self.microseconds).as_py()
        return Window(found["min"], found["max"])


def find_time_column(columns: Mapping[str, bool]) -> str:
    """The column of times among columns that are times (True) or not.

    Raises InputError with the remedy when there is none, or no telling which.
    """
    if TIME in columns:
        return TIME
    times = [column for column, is_time in columns.items() if is_time]
    if len(times) == 1:
        return times[0]
    raise InputError(
        f"The entity rows have {'several columns' if times else 'no column'} of times"
        f"{': ' + ', '.join(times) if times else ''}. Call the one to join at '{TIME}'. "
        f"They have {', '.join(columns) or 'no columns'}."
    )


def read_entity_rows(frame: pd.DataFrame, join_keys: Sequence[str]) -> EntityRows:
    """Read a dataframe without changing it.

    Raises InputError when join keys or the time are missing, or a time cannot be read.
    """
    if not frame.columns.is_unique:
        twice = sorted(set(frame.columns[frame.columns.duplicated()].astype(str)))
        raise InputError(f"The entity rows have {', '.join(twice)} twice. Rename one.")
    is_time = {str(c): pd.api.types.is_datetime64_any_dtype(frame[c].dtype) for c in frame.columns}
    column = find_time_column(is_time)
    require_join_keys(join_keys, list(is_time))
    return EntityRows(_as_arrow(frame), column, _microseconds(frame[column], column))


def require_join_keys(join_keys: Sequence[str], columns: Sequence[str]) -> None:
    missing = [key for key in join_keys if key not in columns]
    if missing:
        raise InputError(
            f"The entity rows lack the join {'key' if len(missing) == 1 else 'keys'} "
            f"{', '.join(missing)}; they have {', '.join(columns)}. Add or rename the columns."
        )


def _as_arrow(frame: pd.DataFrame) -> pa.Table:
    columns = {}
    for column in frame.columns:
        try:
            columns[str(column)] = pa.Array.from_pandas(frame[column])
        except (pa.ArrowInvalid, pa.ArrowTypeError) as exc:
            raise InputError(
                f"Column '{column}' of the entity rows mixes types: {exc}. Give it one type, or "
                "leave it out."
            ) from exc
    return pa.table(columns)


def _microseconds(times: pd.Series, column: str) -> pa.Int64Array:
    try:
        read = pd.to_datetime(times, utc=True)
    except (ValueError, TypeError) as exc:
        raise InputError(
            f"Column '{column}' of the entity rows holds something that is no time: {exc}."
        ) from exc
    if _is_naive(times):
        _log.warning("Entity times in '%s' have no zone; they are taken as UTC.", column)
    since = (read - pd.Timestamp(EPOCH)) // pd.Timedelta(microseconds=1)
    return pa.array(since, from_pandas=True).cast(pa.int64())


def _is_naive(times: pd.Series) -> bool:
    if isinstance(times.dtype, pd.DatetimeTZDtype):
        return False
    if pd.api.types.is_datetime64_dtype(times.dtype):
        return True
    return any(isinstance(t, datetime) and t.tzinfo is None for t in times)


def key_array(values: pa.ChunkedArray, kind: str, column: str) -> pa.Array:
    """A join key as what it is compared as; what cannot be one is null and matches nothing."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_floating(values.type) and kind in {"varchar", "bigint"}:
        values = _as_integers(values, column)
    wanted = _ARROW[kind]
    if pa.types.is_string(values.type) and kind in {"bigint", "double"}:
        read = pd.to_numeric(values.to_pandas(), errors="coerce")
        return key_array(pa.chunked_array([pa.Array.from_pandas(read)]), kind, column)
    try:
        return values.cast(wanted).combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
        raise InputError(
            f"Join key '{column}' of the entity rows is {values.type}, which cannot be compared "
            f"with {kind}: {exc}."
        ) from exc


def _as_integers(values: pa.ChunkedArray, column: str) -> pa.ChunkedArray:
    """pandas turns integers with a gap into floats; others are no join keys."""
    whole = pc.if_else(pc.equal(values, pc.floor(values)), values, None)
    if whole.null_count > pc.if_else(pc.is_nan(values), None, values).null_count:
        _log.warning("Join key '%s' holds fractions; those entity rows match nothing.", column)
    return whole.cast(pa.int64())


def staged_rows(rows: EntityRows, entity_keys: Mapping[str, tuple[str, str]]) -> pa.Table:
    """What is uploaded of a dataframe: ordinals, times, and join keys as they are compared."""
    columns: dict[str, Any] = {
        ROW: pa.array(np.arange(rows.table.num_rows, dtype=np.int64)),
        AT: rows.microseconds,
    }
    for stored, (column, kind) in entity_keys.items():
        columns[stored] = key_array(rows.table[column], kind, column)
    return pa.table(columns)


def integer_keys(entity_keys: Mapping[str, tuple[str, str]]) -> list[str]:
    """The columns of the entity table that hold integer keys."""
    return [stored for stored, (_, kind) in entity_keys.items() if kind == "bigint"]


def reach_of(
    staged: pa.Table, entity_keys: Mapping[str, tuple[str, str]]
) -> dict[str, tuple[int, int]]:
    """The smallest and largest of each integer key of what is uploaded."""
    ends = {key: pc.min_max(staged[key]).as_py() for key in integer_keys(entity_keys)}
    return {key: (e["min"], e["max"]) for key, e in ends.items() if e["min"] is not None}


def staged_types(entity_keys: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Hive's types of what is uploaded."""
    keys = {stored: _HIVE.get(kind, kind) for stored, (_, kind) in entity_keys.items()}
    return {ROW: "bigint", AT: "bigint", **keys}


def write_rows(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, compression="snappy", coerce_timestamps="us")


def carried_rows(rows: EntityRows) -> tuple[pa.Table, dict[str, str], tuple[Carried, ...]]:
    """The caller's own columns for results that stay in Athena: data, Hive types, names.

    Raises InputError for a column that Athena cannot hold.
    """
    columns, types, carried = {}, {}, []
    for number, column in enumerate(rows.table.column_names):
        stored = f"c{number}"
        values = rows.table[column]
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        if column == rows.time_column:
            values = rows.microseconds.cast(pa.timestamp("us"))
        elif pa.types.is_timestamp(values.type):
            values = values.cast(pa.timestamp("us"), safe=False)
        columns[stored], types[stored] = values, hive_type(values.type, column)
        carried.append(Carried(stored, column))
    return pa.table(columns), types, tuple(carried)


def hive_type(kind: pa.DataType, column: str) -> str:
    """Hive's name of an Arrow type. Raises InputError where it has none."""
    simple: list[tuple[Any, str]] = [
        (pa.types.is_boolean, "boolean"),
        (pa.types.is_int8, "tinyint"),
        (pa.types.is_int16, "smallint"),
        (pa.types.is_int32, "int"),
        (pa.types.is_integer, "bigint"),
        (pa.types.is_float32, "float"),
        (pa.types.is_floating, "double"),
        (pa.types.is_string, "string"),
        (pa.types.is_large_string, "string"),
        (pa.types.is_null, "string"),
        (pa.types.is_binary, "binary"),
        (pa.types.is_timestamp, "timestamp"),
        (pa.types.is_date, "date"),
    ]
    for matches, hive in simple:
        if matches(kind):
            return hive
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"array<{hive_type(kind.value_type, column)}>"
    raise InputError(f"Column '{column}' is {kind}, which Athena cannot hold. Leave it out.")


def numbered_sql(
    sql: str, columns: Mapping[str, str], entity_keys: Mapping[str, tuple[str, str]]
) -> tuple[str, dict[str, str], tuple[Carried, ...]]:
    """A query's rows with ordinals, times, join keys, and all its columns: SQL, types, names.

    Times are microseconds since 1970, since Hive tables cut them and hold no zones.
    """
    time = find_time_column({c: base_type(t).startswith("timestamp") for c, t in columns.items()})
    require_join_keys([column for column, _ in entity_keys.values()], list(columns))
    at = _finest(time, columns[time]).microseconds()
    selected = [f"row_number() OVER () - 1 AS {ROW}", f"{at} AS {AT}"]
    types = {ROW: "bigint", AT: "bigint"}
    for stored, (column, kind) in entity_keys.items():
        selected.append(f"TRY_CAST({name(column)} AS {kind}) AS {stored}")
        types[stored] = _HIVE.get(kind, kind)
    carried = []
    for number, (column, kind) in enumerate(columns.items()):
        stored = f"c{number}"
        instant = base_type(kind).startswith("timestamp")
        value = _finest(column, kind).microseconds() if instant else plain_column(column, kind)
        selected.append(f"{value} AS {stored}")
        types[stored] = "bigint" if instant else _hive_of_query(kind)
        carried.append(Carried(stored, column, instant=instant))
    query = f"SELECT {', '.join(selected)}\nFROM (\n{sql.strip().rstrip(';')}\n)"
    return query, types, tuple(carried)


def _finest(column: str, kind: str) -> TimeColumn:
    """A query's time to the microsecond: Athena does not say how precise it is."""
    if not base_type(kind).startswith("timestamp"):
        return TimeColumn(column, kind)
    return TimeColumn(column, f"timestamp(6){' with time zone' if is_zoned(kind) else ''}")


def plain_column(column: str, kind: str) -> str:
    """A query's column as a file of Athena can hold it: times in UTC, cut to milliseconds;
    structures as JSON; nulls of no type as text.
    """
    base, value = base_type(kind), name(column)
    if base.startswith("timestamp"):
        zone = " AT TIME ZONE 'UTC'" if is_zoned(kind) else ""
        return f"CAST(date_trunc('millisecond', {value}){zone} AS timestamp)"
    if base in {"array", "map", "row"}:
        return f"json_format(CAST({value} AS json))"
    return f"CAST({value} AS varchar)" if base == "unknown" else value


def _hive_of_query(kind: str) -> str:
    """Hive's name of the type of a plain column."""
    base = base_type(kind)
    if base in {"array", "map", "row", "unknown", "varchar", "char"}:
        return "string"
    return {"real": "float", "integer": "int", "varbinary": "binary"}.get(base, kind)


def range_sql(views: Sequence[View], join_keys: Mapping[str, Sequence[str]], window: Window) -> str:
    """Every moment in a range of time at which a feature row became known, as entity rows.

    join_keys: the names of each view's keys, by view. Raises InputError when views differ in them.
    """
    keyed = [view for view in views if view.keys] or list(views[:1])
    if len({tuple(sorted(join_keys[view.title])) for view in keyed}) > 1:
        shown = "; ".join(f"{view.title}: {', '.join(join_keys[view.title])}" for view in keyed)
        raise InputError(
            "A range of time needs views with the same join keys, since it says nothing of which "
            f"belong together ({shown}). Give entity rows instead."
        )
    order = list(join_keys[keyed[0].title])
    return "\nUNION\n".join(
        _known_rows(view, join_keys[view.title], order, window) for view in keyed
    )


def _known_rows(view: View, given: Sequence[str], order: Sequence[str], window: Window) -> str:
    stored = dict(zip(given, view.keys, strict=True))
    columns = [f"{stored[key].stored()} AS {name(key)}" for key in order]
    columns.append(f"{_known_at(view)} AS {TIME}")
    seen = window.earlier(view.delay)
    conditions = [*view.conditions(seen), *(f"{name(k.column)} IS NOT NULL" for k in view.keys)]
    where = f"FROM {view.relation}\nWHERE {' AND '.join(conditions)}"
    return f"SELECT DISTINCT {', '.join(columns)}\n{where}"


def _known_at(view: View) -> str:
    """The moment from which a feature row is known, rounded up to milliseconds."""
    if view.time.precise:
        known = f"{view.time.microseconds()} + {view.delay}"
        # A division cuts off towards zero.
        rounded = f"IF({known} > 0, ({known} + 999) / 1000, ({known}) / 1000)"
        return f"date_add('millisecond', {rounded}, TIMESTAMP '1970-01-01 00:00:00.000')"
    column = name(view.event_time.column)
    if not is_zoned(view.event_time.type):
        column = f"CAST({column} AS timestamp)"
    milliseconds = -(-view.delay // 1000)
    return f"date_add('millisecond', {milliseconds}, {column})" if milliseconds else column


def values_sql(table: pa.Table, types: Mapping[str, str]) -> str:
    """Rows written out, each value as a literal of its type."""
    casts = ", ".join(
        f"CAST({column} AS {_query_type(kind)}) AS {column}" for column, kind in types.items()
    )
    rows = ",\n".join(
        f"({', '.join(literal(value) for value in row.values())})" for row in table.to_pylist()
    )
    return f"SELECT {casts}\nFROM (VALUES\n{rows}\n) AS t ({', '.join(types)})"


def _query_type(hive: str) -> str:
    names = {"string": "varchar", "binary": "varbinary", "float": "real", "int": "integer"}
    inner = hive.removeprefix("array<").removesuffix(">")
    return f"array({_query_type(inner)})" if inner != hive else names.get(hive, hive)
