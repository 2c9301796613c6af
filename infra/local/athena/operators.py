"""Operators and casts between typed SQL: Trino's rules, DuckDB's words."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from infra.local.athena.decimals import quotient, roomy
from infra.local.athena.errors import QueryFailed, unsupported
from infra.local.athena.types import (
    BIGINT,
    DATE,
    DAY_INTERVAL,
    DOUBLE,
    INTERVALS,
    UNKNOWN,
    Type,
    as_decimal,
    common,
    decimal,
    duck,
    quote,
    row_names,
    text,
)


@dataclass(frozen=True)
class Typed:
    """An expression in DuckDB's SQL, and its Trino type.

    literal: the value of a string literal, for what must be known before the query runs.
    """

    sql: str
    type: Type
    literal: str | None = None


def coerce(value: Typed, target: Type) -> Typed:
    """The value as the wider type that Trino gives it unasked."""
    if value.type == target:
        return value
    if value.type.is_text and target.is_text:
        return Typed(value.sql, target, value.literal)
    if target.args and value.type.name == target.name:
        return Typed(_rebuilt(value, target, coerce), target)
    if duck(value.type) == duck(target) and value.type != UNKNOWN:
        return Typed(value.sql, target)
    return Typed(f"CAST({value.sql} AS {duck(target)})", target)


def together(values: list[Typed], complaint: str) -> list[Typed]:
    """All values coerced to their one common type. Raises TYPE_MISMATCH with the complaint."""
    kind = values[0].type
    for value in values[1:]:
        found = common(kind, value.type)
        if found is None:
            raise QueryFailed("TYPE_MISMATCH", complaint.format(kind, value.type))
        kind = found
    return [coerce(value, kind) for value in values]


def arithmetic(operator: str, left: Typed, right: Typed, where: str) -> Typed:
    """Add, subtract, multiply, divide or take the remainder, typed as Trino does."""
    if left.type.is_number and right.type.is_number:
        return _numbers(operator, left, right)
    if UNKNOWN in (left.type, right.type):
        known = next((t for t in (left.type, right.type) if t.is_number), BIGINT)
        if left.type.is_number or right.type.is_number or left.type == right.type:
            return _numbers(operator, coerce(left, known), coerce(right, known))
    found = _times(operator, left, right)
    if found is None:
        complaint = f"{where}Cannot apply operator: {left.type} {operator} {right.type}"
        raise QueryFailed("TYPE_MISMATCH", complaint)
    return found


def _numbers(operator: str, left: Typed, right: Typed) -> Typed:
    kind = common(left.type, right.type)
    assert kind is not None
    if kind.name == "decimal":
        return _decimals(operator, left, right)
    a, b = coerce(left, kind), coerce(right, kind)
    if operator in "/%" and kind.is_integer:
        sign = "//" if operator == "/" else "%"
        return Typed(f"({a.sql} {sign} {_not_zero(b)})", kind)
    return Typed(f"({a.sql} {operator} {b.sql})", kind)


def _not_zero(divisor: Typed) -> str:
    """A divisor that says so when it is zero; a number other than zero needs no asking."""
    if re.fullmatch(r"CAST\(-?0*[1-9]\d* AS \w+\)", divisor.sql):
        return divisor.sql
    return f"athena_not_zero({divisor.sql})"


def _decimals(operator: str, left: Typed, right: Typed) -> Typed:
    a, b = as_decimal(left.type), as_decimal(right.type)
    kind = decimal_result(operator, a, b)
    x, y = coerce(left, a).sql, coerce(right, b).sql
    if operator == "/":
        return Typed(quotient(x, a, f"athena_not_zero({y})", b, kind), kind)
    if operator == "%":
        y = f"athena_not_zero({y})"
    elif kind.digits[0] > _SHORT >= max(a.digits[0], b.digits[0]):
        x = roomy(x, a)
    return Typed(f"CAST(({x} {operator} {y}) AS {duck(kind)})", kind)


_SHORT = 18
"""The digits of a decimal that the engine keeps in 64 bits."""


def decimal_result(operator: str, a: Type, b: Type) -> Type:
    """https://trino.io/docs/current/functions/decimal.html#arithmetic-decimal-operators"""
    (p1, s1), (p2, s2) = a.digits, b.digits
    scale, whole = max(s1, s2), max(p1 - s1, p2 - s2)
    if operator in "+-":
        return decimal(whole + scale + 1, scale)
    if operator == "*":
        return decimal(p1 + p2, s1 + s2)
    if operator == "/":
        return decimal(p1 + s2 + max(s2 - s1, 0), scale)
    return decimal(min(p1 - s1, p2 - s2) + scale, scale)


def _times(operator: str, left: Typed, right: Typed) -> Typed | None:
    a, b = left.type, right.type
    if "time" in (a.name, b.name):
        return _clock(operator, left, right)
    if a.name in INTERVALS and b.is_number and operator in "*/":
        return Typed(f"({left.sql} {operator} {right.sql})", a)
    if b.name in INTERVALS and a.is_number and operator == "*":
        return Typed(f"({right.sql} * {left.sql})", b)
    if a.name in INTERVALS and b == a and operator in "+-":
        return Typed(f"({left.sql} {operator} {right.sql})", a)
    if b.name in INTERVALS and a.is_time and operator in "+-":
        return shift(left, f"{operator} {right.sql}", within_day=b == DAY_INTERVAL)
    if a.name in INTERVALS and b.is_time and operator == "+":
        return shift(right, f"+ {left.sql}", within_day=a == DAY_INTERVAL)
    if a.is_time and b.is_time and operator == "-":
        return _difference(left, right)
    return None


def _clock(operator: str, left: Typed, right: Typed) -> Typed | None:
    """A time of day moved by an interval; it wraps at midnight."""
    if left.type.name == "time" and right.type == DAY_INTERVAL and operator in "+-":
        return Typed(f"({left.sql} {operator} {right.sql})", left.type)
    if left.type == DAY_INTERVAL and right.type.name == "time" and operator == "+":
        return Typed(f"({right.sql} + {left.sql})", right.type)
    return None


def shift(time: Typed, by: str, *, within_day: bool) -> Typed:
    """A time moved by `by`, an operator and an interval; calendar units move local time."""
    if time.type == DATE:
        return Typed(f"CAST(({time.sql} {by}) AS DATE)", DATE)
    if time.type.zone and not within_day:
        return Typed(from_wall(f"({local(time).sql} {by})", time.type.zone), time.type)
    return Typed(f"({time.sql} {by})", time.type)


def _difference(left: Typed, right: Typed) -> Typed | None:
    kind = common(left.type, right.type)
    if kind is None:
        return None
    a, b = coerce(left, kind).sql, coerce(right, kind).sql
    if kind == DATE:
        return Typed(f"to_days(CAST({a} - {b} AS INTEGER))", DAY_INTERVAL)
    return Typed(f"to_microseconds(epoch_us({a}) - epoch_us({b}))", DAY_INTERVAL)


def local(time: Typed) -> Typed:
    """A zoned time as the wall clock of its zone (UTC where none is known)."""
    if time.type.name != "timestamp with time zone":
        return time
    kind = Type("timestamp", time.type.precision)
    return Typed(to_wall(time.sql, time.type.zone), kind)


def to_wall(sql: str, zone: str | None) -> str:
    """SQL of an instant's wall-clock time in a zone (an IANA name or an offset)."""
    if offset := _offset(zone):
        return f"(timezone('UTC', {sql}) + INTERVAL '{offset} minutes')"
    return f"timezone({text(zone or 'UTC')}, {sql})"


def from_wall(sql: str, zone: str | None) -> str:
    """SQL of the instant at which a zone's clocks show a wall-clock time."""
    if offset := _offset(zone):
        return f"timezone('UTC', ({sql}) - INTERVAL '{offset} minutes')"
    return f"timezone({text(zone or 'UTC')}, {sql})"


def _offset(zone: str | None) -> int | None:
    found = re.fullmatch(r"([+-])(\d\d):(\d\d)", zone or "")
    if not found:
        return None
    minutes = int(found[2]) * 60 + int(found[3])
    return -minutes if found[1] == "-" else minutes


def cast(value: Typed, target: Type, where: str = "") -> Typed:
    """CAST(value AS target), by Trino's rules of what is a valid text and how to round."""
    source = value.type
    if source == target and source.precision == target.precision:
        return value
    if source == UNKNOWN:
        return Typed(f"CAST({value.sql} AS {duck(target)})", target)
    if target.name == "char":
        raise unsupported(f"CAST to {target}", where)
    if target.name == "varchar":
        return _to_text(value, target)
    if source.is_text:
        return _from_text(value, target)
    if target.is_time:
        return _to_time(value, target, where)
    if target.name == "time" and source.name.startswith("timestamp"):
        wall = _rounded(local(value).sql, source, target)
        return Typed(f"CAST({wall} AS TIME)", target)
    return _to_other(value, target, where)


def _to_other(value: Typed, target: Type, where: str) -> Typed:
    source = value.type
    if target.is_integer and source.name in {"double", "real"}:
        return Typed(f"CAST(round({value.sql}) AS {duck(target)})", target)
    if target.args and source.name == target.name and len(source.args) == len(target.args):
        return Typed(_rebuilt(value, target, cast), target)
    _check_castable(source, target, where)
    return Typed(f"CAST({value.sql} AS {duck(target)})", target)


def _rebuilt(value: Typed, target: Type, convert: Callable[[Typed, Type], Typed]) -> str:
    """An array, map or row whose parts are converted; a row's by position, whatever its names."""
    source = value.type
    if not _names_differ(source, target):
        return f"CAST({value.sql} AS {duck(target)})"
    if target.name == "array":
        item = convert(Typed("x", source.args[0]), target.args[0]).sql
        return f"list_transform({value.sql}, lambda x: {item})"
    if target.name == "map":
        key, item = (
            convert(Typed(f"x.{part}", source.args[i]), target.args[i]).sql
            for i, part in enumerate(("key", "value"))
        )
        entries = f"list_transform(map_entries({value.sql}), lambda x: {{'k': {key}, 'v': {item}}})"
        return f"map_from_entries({entries})"
    pairs = zip(row_names(source), source.args, target.args, row_names(target), strict=True)
    items = [
        f"{text(name)}: {convert(Typed(f'({value.sql}).{quote(old)}', kind), wanted).sql}"
        for old, kind, wanted, name in pairs
    ]
    return f"CASE WHEN {value.sql} IS NOT NULL THEN {{{', '.join(items)}}} END"


def _names_differ(source: Type, target: Type) -> bool:
    if source.name == "row" and row_names(source) != row_names(target):
        return True
    return any(_names_differ(a, b) for a, b in zip(source.args, target.args, strict=True))


_CASTABLE = {"number": ("number", "boolean"), "boolean": ("number", "boolean")}


def _check_castable(source: Type, target: Type, where: str) -> None:
    def group(kind: Type) -> str:
        return "number" if kind.is_number else kind.name

    allowed = _CASTABLE.get(group(target), (group(target),))
    if group(source) not in allowed:
        raise QueryFailed("TYPE_MISMATCH", f"{where}Cannot cast {source} to {target}")


def _to_text(value: Typed, target: Type) -> Typed:
    sql = as_text(value)
    if target.precision is not None and (value.type.precision or 1 << 30) > target.precision:
        sql = f"substr({sql}, 1, {target.precision})"
    return Typed(sql, target)


def as_text(value: Typed) -> str:
    """SQL of CAST(value AS VARCHAR): Trino writes exponents and every digit of a time."""
    kind = value.type
    if kind.is_text or kind.name == "json":
        return value.sql
    if kind in (DOUBLE, Type("real")):
        return f"athena_scientific({value.sql})"
    if kind.name == "time":
        moment = Typed(f"(DATE '1970-01-01' + {value.sql})", Type("timestamp", kind.precision))
        return f"substr({_time_text(moment)}, 12)"
    if kind.name.startswith("timestamp"):
        return _time_text(value)
    if kind.args or kind.name in (*INTERVALS, "varbinary"):
        raise QueryFailed("TYPE_MISMATCH", f"Cannot cast {kind} to varchar")
    if kind.name == "decimal" and kind.precision == kind.scale:
        return rf"regexp_replace(CAST({value.sql} AS VARCHAR), '^(-?)\.', '\10.')"
    return f"CAST({value.sql} AS VARCHAR)"


def _time_text(value: Typed) -> str:
    wall, precision = local(value), value.type.precision or 0
    digits = {0: "%Y-%m-%d %H:%M:%S", 3: "%Y-%m-%d %H:%M:%S.%g"}.get(
        precision, "%Y-%m-%d %H:%M:%S.%f"
    )
    sql = f"strftime({wall.sql}, {text(digits)})"
    if precision in {1, 2, 4, 5}:
        sql = f"substr({sql}, 1, {20 + precision})"
    if value.type.name == "timestamp with time zone":
        return f"({sql} || {text(' ' + (value.type.zone or 'UTC'))})"
    return sql


def _from_text(value: Typed, target: Type) -> Typed:
    if target.is_integer:
        return Typed(f"CAST(athena_integer_text({value.sql}) AS {duck(target)})", target)
    if target.name == "timestamp":
        found = Typed(
            f"CAST(athena_timestamp_text({value.sql}) AS TIMESTAMP)", Type("timestamp", 6)
        )
        return _to_time(found, target, "")
    check = _TEXT_CHECKS.get(target.name)
    sql = f"athena_{check}({value.sql})" if check else value.sql
    return Typed(f"CAST({sql} AS {duck(target)})", target)


_TEXT_CHECKS = {
    "date": "date_text",
    "time": "time_text",
    "boolean": "boolean_text",
    **dict.fromkeys(("double", "real", "decimal"), "number_text"),
}
"""What of the engine's leniency about texts is not Trino's."""


def _to_time(value: Typed, target: Type, where: str) -> Typed:
    source = value.type
    if not source.is_time:
        raise QueryFailed("TYPE_MISMATCH", f"{where}Cannot cast {source} to {target}")
    if target == DATE:
        return Typed(f"CAST({local(value).sql} AS DATE)", DATE)
    if target.name == "timestamp":
        wall = local(value)
        sql = wall.sql if source != DATE else f"CAST({value.sql} AS TIMESTAMP)"
        return Typed(_rounded(sql, source, target), target)
    zoned = source.name == target.name
    sql = value.sql if zoned else f"CAST({value.sql} AS TIMESTAMPTZ)"
    if (source.precision or 0) > (target.precision or 0):
        sql = f"make_timestamptz(CAST(round(epoch_us({sql}) / 1e3) AS BIGINT) * 1000)"
    return Typed(sql, Type(target.name, target.precision, zone=source.zone if zoned else None))


def _rounded(sql: str, source: Type, target: Type) -> str:
    have, want = source.precision or 0, target.precision or 0
    if have <= want:
        return sql
    step = 10 ** (6 - want)
    exact = {3: "TIMESTAMP_MS", 0: "TIMESTAMP_S"}.get(want)
    if exact:
        return f"CAST(CAST({sql} AS {exact}) AS TIMESTAMP)"
    return f"make_timestamp(CAST(round(epoch_us({sql}) / {step}.0) AS BIGINT) * {step})"
