"""Trino's types, and what Hive, DuckDB and Athena's API call them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from sqlglot import exp

from infra.local.athena.errors import unsupported


@dataclass(frozen=True)
class Type:
    """A Trino type.

    precision: of decimal, timestamp and char(n); None where the type has none or it is open.
    zone: the zone in which a timestamp with time zone shows itself, where it is known.
    """

    name: str
    precision: int | None = None
    scale: int | None = None
    args: tuple[Type, ...] = ()
    fields: tuple[str | None, ...] = ()
    zone: str | None = field(default=None, compare=False)

    def __str__(self) -> str:
        if self.name == "decimal":
            return f"decimal({self.precision},{self.scale})"
        if self.name == "row":
            return f"row({', '.join(self._row_fields())})"
        if self.args:
            return f"{self.name}({', '.join(map(str, self.args))})"
        if self.name == "timestamp with time zone":
            return f"timestamp({self.precision}) with time zone"
        return f"{self.name}({self.precision})" if self.precision is not None else self.name

    def _row_fields(self) -> list[str]:
        pairs = zip(self.fields, self.args, strict=True)
        return [f"{name} {kind}" if name else str(kind) for name, kind in pairs]

    @property
    def digits(self) -> tuple[int, int]:
        """A decimal's precision and scale."""
        return self.precision or 0, self.scale or 0

    @property
    def is_integer(self) -> bool:
        return self.name in _INTEGERS

    @property
    def is_number(self) -> bool:
        return self.name in _NUMBERS

    @property
    def is_text(self) -> bool:
        return self.name in {"varchar", "char"}

    @property
    def is_time(self) -> bool:
        """date or a timestamp: something on the time line."""
        return self.name in _TIMES


UNKNOWN = Type("unknown")
BOOLEAN = Type("boolean")
TINYINT, SMALLINT, INTEGER, BIGINT = (
    Type("tinyint"),
    Type("smallint"),
    Type("integer"),
    Type("bigint"),
)
REAL, DOUBLE = Type("real"), Type("double")
VARCHAR, VARBINARY = Type("varchar"), Type("varbinary")
DATE = Type("date")
TIMESTAMP = Type("timestamp", 3)
TIMESTAMP_TZ = Type("timestamp with time zone", 3)
JSON = Type("json")
DAY_INTERVAL, MONTH_INTERVAL = Type("interval day to second"), Type("interval year to month")

PATH = "$path"
"""The hidden column that says which file a row is from."""

_INTEGERS = ("tinyint", "smallint", "integer", "bigint")
_NUMBERS = (*_INTEGERS, "decimal", "real", "double")
_TIMES = ("date", "timestamp", "timestamp with time zone")
_INTEGER_DIGITS = {"tinyint": 3, "smallint": 5, "integer": 10, "bigint": 19}
INTERVALS = (DAY_INTERVAL.name, MONTH_INTERVAL.name)


def decimal(precision: int, scale: int) -> Type:
    return Type("decimal", min(precision, 38), min(scale, 38))


def array(item: Type) -> Type:
    return Type("array", args=(item,))


def as_decimal(kind: Type) -> Type:
    """An integer type as the decimal that Trino widens it to."""
    return decimal(_INTEGER_DIGITS[kind.name], 0) if kind.is_integer else kind


def common(left: Type, right: Type) -> Type | None:
    """The type that both are coerced to when they meet, or None. (Trino's TypeCoercion.)"""
    if left == right:
        return left if left.zone == right.zone else _one_zone(left, right)
    if UNKNOWN in (left, right):
        return right if left == UNKNOWN else left
    if left.is_number and right.is_number:
        return _common_number(left, right)
    if left.is_text and right.is_text:
        return _common_text(left, right)
    if left.is_time and right.is_time:
        return _common_time(left, right)
    if left.name == right.name == "time":
        return max(left, right, key=lambda kind: kind.precision or 0)
    if left.name == right.name and left.args and len(left.args) == len(right.args):
        return _common_nested(left, right)
    return None


def _one_zone(left: Type, right: Type) -> Type:
    if left.zone and right.zone:
        raise unsupported(f"values of two time zones in one column ({left.zone}, {right.zone})")
    return replace(left, zone=None)


def _common_number(left: Type, right: Type) -> Type:
    for kind in (DOUBLE, REAL):
        if kind in (left, right):
            return kind
    if left.is_integer and right.is_integer:
        return max(left, right, key=lambda kind: _INTEGERS.index(kind.name))
    a, b = as_decimal(left), as_decimal(right)
    (p1, s1), (p2, s2) = a.digits, b.digits
    scale = max(s1, s2)
    return decimal(max(p1 - s1, p2 - s2) + scale, scale)


def _common_text(left: Type, right: Type) -> Type:
    if left.precision is None or right.precision is None:
        return VARCHAR
    return Type(
        "char" if "char" in (left.name, right.name) else "varchar",
        max(left.precision, right.precision),
    )


def _common_time(left: Type, right: Type) -> Type:
    later = max(left, right, key=lambda kind: _TIMES.index(kind.name))
    precision = max(left.precision or 0, right.precision or 0)
    if later.name == "date":
        return later
    return Type(later.name, precision, zone=later.zone)


def _common_nested(left: Type, right: Type) -> Type | None:
    args = [common(a, b) for a, b in zip(left.args, right.args, strict=True)]
    if any(arg is None for arg in args):
        return None
    return replace(left, args=tuple(arg for arg in args if arg is not None))


def coercible(source: Type, target: Type) -> bool:
    """Whether Trino converts it without being asked."""
    return common(source, target) == target


_DUCK = {
    "boolean": "BOOLEAN",
    "tinyint": "TINYINT",
    "smallint": "SMALLINT",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "real": "FLOAT",
    "double": "DOUBLE",
    "varchar": "VARCHAR",
    "char": "VARCHAR",
    "varbinary": "BLOB",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "TIMESTAMP",
    "timestamp with time zone": "TIMESTAMPTZ",
    "json": "VARCHAR",
    "interval day to second": "INTERVAL",
    "interval year to month": "INTERVAL",
    "unknown": "INTEGER",
}


def duck(kind: Type) -> str:
    """DuckDB's name of the type that holds its values."""
    if kind.name == "decimal":
        return f"DECIMAL({kind.precision},{kind.scale})"
    if kind.name == "array":
        return f"{duck(kind.args[0])}[]"
    if kind.name == "map":
        return f"MAP({duck(kind.args[0])}, {duck(kind.args[1])})"
    if kind.name == "row":
        parts = zip(row_names(kind), kind.args, strict=True)
        return f"STRUCT({', '.join(f'{quote(name)} {duck(arg)}' for name, arg in parts)})"
    return _DUCK[kind.name]


def row_names(kind: Type) -> list[str]:
    """The names of a row's fields inside DuckDB, where every field needs one."""
    return [name or f"field{index}" for index, name in enumerate(kind.fields)]


def quote(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def text(value: str) -> str:
    """A string literal, the same in Trino and in DuckDB."""
    return "'" + value.replace("'", "''") + "'"


_SIMPLE = {
    exp.DType.BOOLEAN: BOOLEAN,
    exp.DType.TINYINT: TINYINT,
    exp.DType.SMALLINT: SMALLINT,
    exp.DType.INT: INTEGER,
    exp.DType.BIGINT: BIGINT,
    exp.DType.FLOAT: REAL,
    exp.DType.DOUBLE: DOUBLE,
    exp.DType.TEXT: VARCHAR,
    exp.DType.VARBINARY: VARBINARY,
    exp.DType.BINARY: VARBINARY,
    exp.DType.DATE: DATE,
    exp.DType.JSON: JSON,
}


def from_sqlglot(kind: exp.DataType) -> Type:
    """The Trino type that a CAST or a literal names."""
    if kind.this in _SIMPLE:
        return _SIMPLE[kind.this]
    params = [int(p.name) for p in kind.expressions if isinstance(p, exp.DataTypeParam)]
    if kind.this == exp.DType.DECIMAL:
        precision, scale = (*params, 38, 0)[:2] if len(params) != 1 else (params[0], 0)
        return decimal(precision, scale)
    if kind.this in {exp.DType.VARCHAR, exp.DType.CHAR}:
        name = "varchar" if kind.this == exp.DType.VARCHAR else "char"
        return Type(name, params[0] if params else (1 if name == "char" else None))
    if kind.this == exp.DType.TIME:
        return Type("time", _micro(params[0] if params else 3))
    if kind.this in {exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ}:
        zoned = kind.this == exp.DType.TIMESTAMPTZ
        name = "timestamp with time zone" if zoned else "timestamp"
        return Type(name, _micro(params[0] if params else 3))
    return _nested(kind)


def _micro(precision: int) -> int:
    if precision > 6:
        raise unsupported(f"timestamp({precision}); its timestamps have up to 6 digits")
    return precision


def _nested(kind: exp.DataType) -> Type:
    if kind.this == exp.DType.ARRAY:
        return array(from_sqlglot(kind.expressions[0]))
    if kind.this == exp.DType.MAP:
        return Type("map", args=tuple(from_sqlglot(part) for part in kind.expressions))
    if kind.this == exp.DType.STRUCT:
        return _row(kind.expressions)
    raise unsupported(f"the type {kind.sql('trino')}")


def _row(parts: list[Any]) -> Type:
    names = [part.name.lower() if isinstance(part, exp.ColumnDef) else None for part in parts]
    kinds = [part.args["kind"] if isinstance(part, exp.ColumnDef) else part for part in parts]
    return Type("row", args=tuple(map(from_sqlglot, kinds)), fields=tuple(names))
