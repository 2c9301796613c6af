"""Arrays, maps, rows and numbers: constructors, subscripts, functions that no template says."""

from __future__ import annotations

from collections.abc import Sequence

from infra.local.athena.errors import QueryFailed
from infra.local.athena.functions import special
from infra.local.athena.operators import Typed, arithmetic, as_text, coerce, together
from infra.local.athena.types import (
    BIGINT,
    DOUBLE,
    UNKNOWN,
    VARCHAR,
    Type,
    array,
    duck,
    quote,
    row_names,
    text,
)


@special("row")
def _row(arguments: Sequence[Typed], where: str) -> Typed:
    return row(arguments)


def row(values: Sequence[Typed]) -> Typed:
    kind = Type("row", args=tuple(v.type for v in values), fields=(None,) * len(values))
    pairs = zip(row_names(kind), values, strict=True)
    return Typed("{" + ", ".join(f"'{name}': {value.sql}" for name, value in pairs) + "}", kind)


@special("map_from_entries")
def _map_from_entries(arguments: Sequence[Typed], where: str) -> Typed:
    entries = arguments[0].type
    if entries.name != "array" or entries.args[0].name != "row" or len(entries.args[0].args) != 2:
        raise QueryFailed("TYPE_MISMATCH", f"{where}map_from_entries takes an array of rows of two")
    key, value = (quote(name) for name in row_names(entries.args[0]))
    sql = f"map_from_entries([{{'k': x.{key}, 'v': x.{value}}} FOR x IN {arguments[0].sql}])"
    return Typed(sql, Type("map", args=entries.args[0].args))


def _extreme(name: str) -> None:
    def write(arguments: Sequence[Typed], where: str) -> Typed:
        values = together(list(arguments), f"{where}All {name} operands must be the same type")
        missing = " OR ".join(f"{value.sql} IS NULL" for value in values)
        inner = f"{name}({', '.join(value.sql for value in values)})"
        return Typed(f"CASE WHEN {missing} THEN NULL ELSE {inner} END", values[0].type)

    special(name)(write)


_extreme("greatest")
_extreme("least")


def _rounding(name: str) -> None:
    """round, floor, ceil: integers stay as they are, a decimal loses its fraction."""

    def write(arguments: Sequence[Typed], where: str) -> Typed:
        value = arguments[0]
        if not value.type.is_number:
            raise QueryFailed(
                "TYPE_MISMATCH", f"{where}Unexpected parameters ({value.type}) for function {name}"
            )
        digits = f", CAST({arguments[1].sql} AS INTEGER)" if len(arguments) > 1 else ""
        if value.type.is_integer and not digits:
            return value
        engine = "ceil" if name == "ceiling" else name
        kind = value.type
        if kind.name == "decimal" and not digits:
            whole = (kind.precision or 0) - (kind.scale or 0) + (1 if kind.scale else 0)
            kind = Type("decimal", min(max(whole, 1), 38), 0)
        return Typed(f"CAST({engine}({value.sql}{digits}) AS {duck(kind)})", kind)

    special(name)(write)


for _name in ("round", "floor", "ceil", "ceiling"):
    _rounding(_name)


@special("mod")
def _mod(arguments: Sequence[Typed], where: str) -> Typed:
    return arithmetic("%", arguments[0], arguments[1], where)


@special("zip")
def _zip(arguments: Sequence[Typed], where: str) -> Typed:
    kind = Type(
        "row", args=tuple(a.type.args[0] for a in arguments), fields=(None,) * len(arguments)
    )
    names = row_names(kind)
    lists = [f"{a.sql}" for a in arguments]
    longest = f"list_max([{', '.join(f'len({one})' for one in lists)}])"
    parts = ", ".join(f"'{n}': ({one})[i]" for n, one in zip(names, lists, strict=True))
    return Typed(f"[{{{parts}}} FOR i IN generate_series(1, {longest})]", array(kind))


@special("concat_ws")
def _concat_ws(arguments: Sequence[Typed], where: str) -> Typed:
    """NULL texts are left out; a NULL separator gives NULL."""
    texts = all(a.type.is_text or a.type == UNKNOWN for a in arguments)
    if len(arguments) == 2 and arguments[1].type.name == "array":
        return Typed(_ws(arguments[0].sql, arguments[1].sql), VARCHAR)
    if len(arguments) < 2 or not texts:
        raise QueryFailed("TYPE_MISMATCH", f"{where}Unexpected parameters for function concat_ws")
    separator, *items = (coerce(a, VARCHAR).sql for a in arguments)
    return Typed(_ws(separator, f"[{', '.join(items)}]"), VARCHAR)


def _ws(separator: str, items: str) -> str:
    return f"athena_joined({items}, {separator})"


@special("array_join")
def _array_join(arguments: Sequence[Typed], where: str) -> Typed:
    """Items as their casts to text; NULL ones are left out or replaced."""
    fits = len(arguments) in {2, 3} and arguments[0].type.name == "array"
    if not fits:
        raise QueryFailed("TYPE_MISMATCH", f"{where}Unexpected parameters for function array_join")
    item = as_text(Typed("x", arguments[0].type.args[0])) if arguments[0].type.args else "x"
    if len(arguments) == 3:
        item = f"coalesce({item}, {arguments[2].sql})"
    items = f"list_transform({arguments[0].sql}, lambda x: {item})"
    return Typed(f"athena_joined({items}, {arguments[1].sql})", VARCHAR)


@special("map")
def _map(arguments: Sequence[Typed], where: str) -> Typed:
    if not arguments:
        kind = Type("map", args=(UNKNOWN, UNKNOWN))
        return Typed(f"CAST(MAP {{}} AS {duck(kind)})", kind)
    fits = len(arguments) == 2 and all(a.type.name == "array" for a in arguments)
    if not fits:
        raise QueryFailed("TYPE_MISMATCH", f"{where}map takes an array of keys and one of values")
    kind = Type("map", args=tuple(a.type.args[0] for a in arguments))
    return Typed(f"MAP({arguments[0].sql}, {arguments[1].sql})", kind)


@special("multimap_from_entries")
def _multimap_from_entries(arguments: Sequence[Typed], where: str) -> Typed:
    entries = arguments[0].type
    if entries.name != "array" or len(entries.args[0].args) != 2:
        raise QueryFailed("TYPE_MISMATCH", f"{where}it takes an array of rows of two")
    key, value = (quote(name) for name in row_names(entries.args[0]))
    pairs = f"list_transform({arguments[0].sql}, lambda x: {{'k': x.{key}, 'v': x.{value}}})"
    keys, values = entries.args[0].args
    return Typed(f"athena_multimap({pairs})", Type("map", args=(keys, array(values))))


@special("format")
def _format(arguments: Sequence[Typed], where: str) -> Typed:
    if not arguments or not arguments[0].type.is_text:
        raise QueryFailed("TYPE_MISMATCH", f"{where}Unexpected parameters for function format")
    values = ", ".join(f"CAST({a.sql} AS VARCHAR)" for a in arguments[1:])
    kinds = ", ".join(text(str(a.type)) for a in arguments[1:])
    return Typed(
        f"athena_format({arguments[0].sql}, CAST([{values}] AS VARCHAR[]), "
        f"CAST([{kinds}] AS VARCHAR[]))",
        VARCHAR,
    )


@special("truncate")
def _truncate(arguments: Sequence[Typed], where: str) -> Typed:
    """Digits dropped: all behind the point, or of a decimal those behind so many."""
    value = arguments[0]
    kind = value.type
    if len(arguments) == 1 and kind.name == "decimal":
        whole = Type("decimal", max((kind.precision or 0) - (kind.scale or 0), 1), 0)
        return Typed(f"CAST(trunc({value.sql}) AS {duck(whole)})", whole)
    if len(arguments) == 1 and kind.is_number:
        return Typed(f"trunc({coerce(value, DOUBLE).sql})", DOUBLE)
    if len(arguments) == 2 and kind.name == "decimal":
        digits = f"CAST({arguments[1].sql} AS INTEGER)"
        return Typed(f"CAST(trunc({value.sql}, {digits}) AS {duck(kind)})", kind)
    raise QueryFailed(
        "TYPE_MISMATCH", f"{where}Unexpected parameters ({kind}) for function truncate"
    )


def _shifting(name: str) -> None:
    def write(arguments: Sequence[Typed], where: str) -> Typed:
        kind = arguments[0].type
        if not kind.is_integer:
            raise QueryFailed("TYPE_MISMATCH", f"{where}{name} shifts integers, not {kind}")
        bits = {"tinyint": 8, "smallint": 16, "integer": 32, "bigint": 64}[kind.name]
        value, shift = (coerce(a, BIGINT).sql for a in arguments)
        sql = f"athena_{name.removeprefix('bitwise_')}({value}, {shift}, {bits})"
        return Typed(f"CAST({sql} AS {duck(kind)})", kind)

    special(name)(write)


for _name in ("bitwise_left_shift", "bitwise_right_shift", "bitwise_right_shift_arithmetic"):
    _shifting(_name)


def _random(arguments: Sequence[Typed], where: str) -> Typed:
    """A double below 1, or an integer below n, or from m to below n."""
    if not arguments:
        return Typed("random()", DOUBLE)
    if not all(a.type.is_integer for a in arguments):
        raise QueryFailed("TYPE_MISMATCH", f"{where}random takes integers")
    low, high = (*arguments, arguments[0])[:2] if len(arguments) > 1 else (None, arguments[0])
    start = low.sql if low is not None else "0"
    sql = f"({start} + floor(random() * ({high.sql} - {start})))"
    return Typed(f"CAST({sql} AS {duck(high.type)})", high.type)


special("random")(_random)
special("rand")(_random)


def subscript(value: Typed, index: Typed, where: str) -> Typed:
    """a[i] and m[k]; Trino fails where element_at would answer NULL."""
    if value.type.name == "array":
        checked = f"athena_inside({coerce(index, BIGINT).sql}, len({value.sql}))"
        return Typed(f"({value.sql})[{checked}]", value.type.args[0])
    if value.type.name == "map":
        key = coerce(index, value.type.args[0]).sql
        sql = f"athena_present(({value.sql})[{key}], map_contains({value.sql}, {key}))"
        return Typed(sql, value.type.args[1])
    if value.type.name == "row":
        position_ = int(index.sql) - 1
        name = quote(row_names(value.type)[position_])
        return Typed(f"({value.sql}).{name}", value.type.args[position_])
    raise QueryFailed("TYPE_MISMATCH", f"{where}Cannot use {value.type} for subscript")
