"""Pieces of Athena SQL: names, literals, and times as microseconds since 1970, UTC."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from mlops.errors import InputError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PRECISION = re.compile(r"^timestamp\((\d+)\)")
_INTEGERS = ("tinyint", "smallint", "int", "integer", "bigint")


def name(identifier: str) -> str:
    """A quoted identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def text(value: str) -> str:
    """A string literal."""
    return "'" + value.replace("'", "''") + "'"


def literal(value: Any) -> str:
    """A value as Athena's SQL writes it: times without zone, a float that is no number as null."""
    if value is None or (isinstance(value, float) and value != value):
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    if isinstance(value, float):
        return f"{value!r}e0" if "e" not in repr(value) else repr(value)
    if isinstance(value, datetime):
        return f"TIMESTAMP '{value:%Y-%m-%d %H:%M:%S.%f}'"
    if isinstance(value, date):
        return f"DATE '{value:%Y-%m-%d}'"
    if isinstance(value, list):
        return f"ARRAY[{', '.join(map(literal, value))}]"
    return str(value) if isinstance(value, int) else text(str(value))


def to_microseconds(instant: datetime) -> int:
    """An aware time as microseconds since 1970."""
    return (instant - EPOCH) // _MICROSECOND


def to_instant(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def base_type(athena_type: str) -> str:
    """The type without its arguments: 'timestamp' of 'timestamp(3)', 'array' of 'array<int>'."""
    found = re.match(r"[a-z ]+", athena_type.lower())
    return found[0].strip() if found else athena_type.lower()


def is_zoned(athena_type: str) -> bool:
    return athena_type.lower().startswith("timestamp") and "with time zone" in athena_type.lower()


def is_integer(athena_type: str) -> bool:
    return base_type(athena_type) in _INTEGERS


@dataclass(frozen=True)
class TimeColumn:
    """A column that holds a time: timestamp (with or without zone, then UTC), date, or bigint of
    microseconds since 1970.
    """

    column: str
    type: str

    @property
    def precise(self) -> bool:
        """Whether it keeps microseconds. Hive's timestamps on Athena keep milliseconds."""
        found = _PRECISION.match(self.type.lower())
        return is_integer(self.type) or (found is not None and int(found[1]) > 3)

    def microseconds(self) -> str:
        """Its value as microseconds since 1970."""
        column = name(self.column)
        kind = base_type(self.type)
        if is_integer(self.type):
            return column
        if kind == "date":
            column = f"CAST({column} AS timestamp)"
        elif is_zoned(self.type):
            column = f"CAST({column} AT TIME ZONE 'UTC' AS timestamp({6 if self.precise else 3}))"
        elif not kind.startswith("timestamp"):
            raise InputError(
                f"Column '{self.column}' is {self.type}, not a time. Athena's types for times are "
                "timestamp and date; microseconds since 1970 as bigint are understood too."
            )
        whole = f"date_diff('millisecond', TIMESTAMP '1970-01-01 00:00:00', {column}) * 1000"
        if not self.precise:
            return whole
        # date_diff counts milliseconds at the finest; the rest is in the written form.
        written = f"CAST(CAST({column} AS timestamp(6)) AS varchar)"
        return f"{whole} + CAST(substr({written}, 24, 3) AS bigint)"

    def literal(self, microseconds: int) -> str:
        """A constant to compare the column with; below the column's precision it is cut off."""
        if is_integer(self.type):
            return str(microseconds)
        instant = to_instant(microseconds)
        if base_type(self.type) == "date":
            return f"DATE '{instant:%Y-%m-%d}'"
        fraction = f"{instant.microsecond:06d}"[: 6 if self.precise else 3]
        zone = " UTC" if is_zoned(self.type) else ""
        return f"TIMESTAMP '{instant:%Y-%m-%d %H:%M:%S}.{fraction}{zone}'"


@dataclass(frozen=True)
class DayColumn:
    """A partition column that holds the UTC day of the event time: date, or 'YYYY-MM-DD'."""

    column: str
    type: str

    def literal(self, microseconds: int) -> str:
        day = f"{to_instant(microseconds):%Y-%m-%d}"
        kind = base_type(self.type)
        if kind == "date":
            return f"DATE '{day}'"
        if kind in {"string", "varchar", "char"}:
            return text(day)
        raise InputError(
            f"Partition column '{self.column}' is {self.type}. Days are pruned by a date, or by a "
            "string 'YYYY-MM-DD'; leave out date_partition_column for anything else."
        )


@dataclass(frozen=True)
class Window:
    """A range of event times in microseconds, both ends included; None is open."""

    first: int | None = None
    last: int | None = None

    def earlier(self, microseconds: int) -> Window:
        """The range moved into the past."""
        first, last = (None if t is None else t - microseconds for t in (self.first, self.last))
        return Window(first, last)

    def conditions(self, time: TimeColumn, day: DayColumn | None) -> list[str]:
        """What a scan can be pruned by: the time column itself, and the day partitions."""
        columns: list[TimeColumn | DayColumn] = [time] if day is None else [time, day]
        found = []
        for column in columns:
            if self.first is not None:
                found.append(f"{name(column.column)} >= {column.literal(self.first)}")
            if self.last is not None:
                found.append(f"{name(column.column)} <= {column.literal(self.last)}")
        return found
