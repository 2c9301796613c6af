"""Comparisons as Trino makes them: of NaN, and of NULL inside arrays, maps and rows."""

from __future__ import annotations

import re

from infra.local.athena.errors import QueryFailed
from infra.local.athena.operators import Typed, together
from infra.local.athena.types import Type, array, quote, row_names

_FLOATS = {"double", "real"}
_RISING = {"<", "<=", ">", ">="}
_NUMBER = re.compile(r"(CAST\()*[\d.]+(e[+-]?\d+)?( AS [A-Z]+(\(\d+,\d+\))?\))*", re.IGNORECASE)


def compare(operator: str, left: Typed, right: Typed, where: str, *, joins: bool = False) -> str:
    """A comparison's SQL. Raises TYPE_MISMATCH as Trino does: it compares like with like.

    joins: the comparison is a condition of a join, where FALSE and NULL are the same.
    """
    shown = {"IS NOT DISTINCT FROM": "=", "IS DISTINCT FROM": "="}.get(operator, operator)
    complaint = f"{where}Cannot apply operator: {{0}} {shown} {{1}}"
    a, b = together([left, right], complaint)
    kind = a.type
    if kind.name in _FLOATS and operator == "=" and joins:
        return f"({a.sql} = CASE WHEN NOT isnan({b.sql}) THEN {b.sql} END)"
    if kind.name in _FLOATS and "IS" not in operator:
        return _floats(operator, a.sql, b.sql)
    if operator in {"=", "<>"} and kind.args:
        found = equal(a.sql, b.sql, kind)
        return found if operator == "=" else f"(NOT {found})"
    if operator in _RISING and _is(kind, "map"):
        raise QueryFailed("TYPE_MISMATCH", complaint.format(kind, kind))
    if operator in _RISING and kind.args:
        a, b = (Typed(_whole(item), kind) for item in (a, b))
    return f"({a.sql} {operator} {b.sql})"


def equal(a: str, b: str, kind: Type, depth: int = 0) -> str:
    """SQL of a = b, which is NULL where only a NULL inside leaves it open."""
    if kind.name in _FLOATS:
        return _floats("=", a, b)
    if not kind.args:
        return f"({a} = {b})"
    if kind.name == "row":
        fields = zip(row_names(kind), kind.args, strict=True)
        parts = [
            equal(f"({a}).{quote(name)}", f"({b}).{quote(name)}", part, depth)
            for name, part in fields
        ]
        found = f"({' AND '.join(parts)})"
        if a.startswith("{") and b.startswith("{"):
            return found
    elif kind.name == "array":
        name = f"p{depth}"
        item = equal(f"({a})[{name}]", f"({b})[{name}]", kind.args[0], depth + 1)
        places = f"range(1, len({a}) + 1)"
        each = f"athena_every(list_transform({places}, lambda {name}: {item}))"
        found = f"CASE WHEN len({a}) <> len({b}) THEN FALSE ELSE {each} END"
    else:
        name = f"p{depth}"
        x, y = (f"map_extract_value({side}, {name})" for side in (a, b))
        item = equal(x, y, kind.args[1], depth + 1)
        item = f"CASE WHEN map_contains({b}, {name}) THEN {item} ELSE FALSE END"
        each = f"athena_every(list_transform(map_keys({a}), lambda {name}: {item}))"
        found = f"CASE WHEN cardinality({a}) <> cardinality({b}) THEN FALSE ELSE {each} END"
    return f"CASE WHEN {a} IS NOT NULL AND {b} IS NOT NULL THEN {found} END"


def without_nan(column: str) -> str:
    """The condition that leaves out the values of a subquery that nothing equals."""
    return f"({column} IS NULL OR NOT isnan({column}))"


def is_float(kind: Type) -> bool:
    return kind.name in _FLOATS


def _floats(operator: str, a: str, b: str) -> str:
    """The engine holds NaN for equal to itself and above all else; for Trino it is neither."""
    greater, less = (a, b) if operator in {">", ">="} else (b, a)
    plain = f"{a} {operator} {b}"
    if _NUMBER.fullmatch(greater):
        return f"({plain})"
    if operator == "<>":
        return f"({plain} OR (isnan({a}) AND isnan({b})))"
    return f"({plain} AND (NOT isnan({greater}) OR {less} IS NULL))"


def _whole(value: Typed) -> str:
    """The array or row, or an error where a NULL in it has no order."""
    complaint = (
        f"NOT_SUPPORTED: {value.type.name.upper()} comparison not supported for "
        f"{value.type.name}s with null elements"
    )
    return (
        f"CASE WHEN {has_null(value.sql, value.type)} THEN error('{complaint}') "
        f"ELSE {value.sql} END"
    )


def has_null(sql: str, kind: Type, depth: int = 0) -> str:
    """The condition that somewhere inside an array, map or row there is a NULL."""
    if kind.name == "map":
        return has_null(f"map_values({sql})", array(kind.args[1]), depth)
    if kind.name == "array":
        name = f"n{depth}"
        item = f"({name} IS NULL{_inside(name, kind.args[0], depth + 1)})"
        return f"coalesce(list_bool_or(list_transform({sql}, lambda {name}: {item})), FALSE)"
    fields = zip(row_names(kind), kind.args, strict=True)
    parts = (
        f"({sql}).{quote(name)} IS NULL{_inside(f'({sql}).{quote(name)}', part, depth)}"
        for name, part in fields
    )
    return f"({sql} IS NOT NULL AND ({' OR '.join(parts)}))"


def _inside(sql: str, kind: Type, depth: int) -> str:
    return f" OR {has_null(sql, kind, depth)}" if kind.args else ""


def _is(kind: Type, name: str) -> bool:
    return kind.name == name or any(_is(part, name) for part in kind.args)
