"""Names, literals, casts, and the constructors of arrays and rows."""

from __future__ import annotations

import re

from sqlglot import exp

from infra.local.athena import collection_functions, json_functions, time_functions
from infra.local.athena.calls import tried
from infra.local.athena.errors import QueryFailed, unsupported
from infra.local.athena.expressions import Expressions, writes
from infra.local.athena.functions import FUNCTIONS, call
from infra.local.athena.operators import Typed, arithmetic, cast, together
from infra.local.athena.scope import position
from infra.local.athena.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DAY_INTERVAL,
    DOUBLE,
    INTEGER,
    INTERVALS,
    MONTH_INTERVAL,
    TIMESTAMP,
    UNKNOWN,
    VARBINARY,
    Type,
    array,
    decimal,
    from_sqlglot,
    quote,
    row_names,
    text,
)

_INTERVAL_UNITS = {
    "SECOND": DAY_INTERVAL,
    "MINUTE": DAY_INTERVAL,
    "HOUR": DAY_INTERVAL,
    "DAY": DAY_INTERVAL,
    "WEEK": DAY_INTERVAL,
    "MONTH": MONTH_INTERVAL,
    "YEAR": MONTH_INTERVAL,
}
_ARITHMETIC: dict[type[exp.Expr], str] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.Mod: "%",
}


@writes(*_ARITHMETIC)
def _arithmetic(writer: Expressions, node: exp.Expr) -> Typed:
    left, right = writer.write(node.this), writer.write(node.args["expression"])
    return arithmetic(_ARITHMETIC[type(node)], left, right, position(node))


@writes(exp.Column)
def _column(writer: Expressions, node: exp.Column) -> Typed:
    parts = tuple(part.name.lower() for part in node.parts)
    item, inside = writer.scope.resolve(parts, position(node))
    value = Typed(item.sql, item.type)
    for part in inside:
        value = _dereference(value, part, position(node))
    return value


@writes(exp.Identifier)
def _identifier(writer: Expressions, node: exp.Identifier) -> Typed:
    item, _ = writer.scope.resolve((node.name.lower(),), position(node))
    return Typed(item.sql, item.type)


@writes(exp.Dot)
def _dot(writer: Expressions, node: exp.Dot) -> Typed:
    return _dereference(
        writer.write(node.this), node.expression.name.lower(), position(node.expression)
    )


@writes(exp.Literal)
def _literal(writer: Expressions, node: exp.Literal) -> Typed:
    if node.is_string:
        return Typed(text(node.name), Type("varchar", len(node.name)), literal=node.name)
    return number(node.name)


@writes(exp.Null)
def _null(writer: Expressions, node: exp.Null) -> Typed:
    return Typed("NULL", UNKNOWN)


@writes(exp.Placeholder)
def _placeholder(writer: Expressions, node: exp.Placeholder) -> Typed:
    count = len(list(node.root().find_all(exp.Placeholder)))
    raise QueryFailed(
        "INVALID_PARAMETER_USAGE",
        f"{position(node)}Incorrect number of parameters: expected {count} but found 0",
    )


@writes(exp.Boolean)
def _boolean(writer: Expressions, node: exp.Boolean) -> Typed:
    return Typed("TRUE" if node.this else "FALSE", BOOLEAN)


@writes(exp.HexString)
def _hex(writer: Expressions, node: exp.HexString) -> Typed:
    return Typed(f"unhex({text(node.name)})", VARBINARY)


@writes(exp.Interval)
def _interval(writer: Expressions, node: exp.Interval) -> Typed:
    unit = node.args.get("unit")
    if isinstance(unit, exp.IntervalSpan):
        return _interval_span(node, unit)
    if not isinstance(unit, exp.Var) or unit.name.upper() not in _INTERVAL_UNITS:
        raise unsupported(f"the interval {node.sql('trino')}", position(node))
    sql = f"INTERVAL {text(f'{node.this.name} {unit.name.lower()}')}"
    return Typed(sql, _INTERVAL_UNITS[unit.name.upper()])


_SPAN_UNITS = ("DAY", "HOUR", "MINUTE", "SECOND")


def _interval_span(node: exp.Interval, unit: exp.IntervalSpan) -> Typed:
    """INTERVAL '1-2' YEAR TO MONTH, and '1 02:03:04.005' DAY TO SECOND and parts of it."""
    first, last, digits = unit.this.name.upper(), unit.expression.name.upper(), node.this.name
    sign, parts = ("-" if digits.startswith("-") else ""), re.split(r"[- :]", digits.lstrip("+-"))
    units = ("YEAR", "MONTH") if first == "YEAR" else _SPAN_UNITS
    named = units[units.index(first) : units.index(last) + 1] if {first, last} <= {*units} else ()
    if len(named) != len(parts) or not all(re.fullmatch(r"\d+(\.\d+)?", p) for p in parts):
        raise QueryFailed(
            "INVALID_LITERAL", f"{position(node)}'{digits}' is not a valid INTERVAL literal"
        )
    sql = " + ".join(
        f"INTERVAL '{sign}{part} {one.lower()}'" for part, one in zip(parts, named, strict=True)
    )
    return Typed(f"({sql})", MONTH_INTERVAL if first == "YEAR" else DAY_INTERVAL)


@writes(exp.Localtime)
def _localtime(writer: Expressions, node: exp.Localtime) -> Typed:
    return cast(time_functions.current_time(3), Type("time", 3))


@writes(exp.CurrentTime)
def _current_time(writer: Expressions, node: exp.CurrentTime) -> Typed:
    raise unsupported("current_time: it has no time with time zone", position(node))


@writes(exp.Paren)
def _paren(writer: Expressions, node: exp.Paren) -> Typed:
    inner = writer.write(node.this)
    return Typed(f"({inner.sql})", inner.type, inner.literal)


@writes(exp.CurrentDate)
def _current_date(writer: Expressions, node: exp.CurrentDate) -> Typed:
    return Typed("current_date", DATE)


@writes(exp.CurrentTimestamp)
def _current_timestamp(writer: Expressions, node: exp.CurrentTimestamp) -> Typed:
    return time_functions.current_time(3)


@writes(exp.Localtimestamp)
def _localtimestamp(writer: Expressions, node: exp.Localtimestamp) -> Typed:
    return cast(time_functions.current_time(3), TIMESTAMP)


@writes(exp.Neg)
def _neg(writer: Expressions, node: exp.Neg) -> Typed:
    value = writer.write(node.this)
    if not value.type.is_number and value.type.name not in INTERVALS:
        raise QueryFailed("TYPE_MISMATCH", f"{position(node)}Cannot negate {value.type}")
    return Typed(f"(-{value.sql})", value.type)


@writes(exp.DPipe)
def _join_text(writer: Expressions, node: exp.DPipe) -> Typed:
    left, right = writer.write(node.this), writer.write(node.expression)
    return call(FUNCTIONS["concat"], [left, right], position(node))


@writes(exp.Cast)
def _cast(writer: Expressions, node: exp.Cast) -> Typed:
    value, target = writer.write(node.this), from_sqlglot(node.args["to"])
    if target.name == "decimal" and value.literal is not None and "called" not in node.meta:
        digits = value.literal if "." in value.literal else f"{value.literal}."
        return number(digits, leading=True)
    if value.literal is not None and target.name.startswith("timestamp"):
        return time_functions.timestamp_literal(value.literal, target, position(node))
    if target.name == "time" and "called" not in node.meta:
        kind = Type("time", min(len((value.literal or "").partition(".")[2]), 6))
        return cast(value, kind, position(node))
    if target.name == "json" or value.type.name == "json":
        return json_functions.cast_json(value, target, position(node))
    return cast(value, target, position(node))


@writes(exp.TryCast)
def _try_cast(writer: Expressions, node: exp.TryCast) -> Typed:
    return tried(_cast(writer, node))


@writes(exp.AtTimeZone)
def _at_time_zone(writer: Expressions, node: exp.AtTimeZone) -> Typed:
    value, zone = writer.write(node.this), writer.write(node.args["zone"])
    return time_functions.at_zone(value, zone, position(node))


@writes(exp.Extract)
def _extract(writer: Expressions, node: exp.Extract) -> Typed:
    value = writer.write(node.expression)
    return time_functions.field_of(node.name.lower(), value, position(node))


@writes(exp.Array)
def _array(writer: Expressions, node: exp.Array) -> Typed:
    if not node.expressions:
        return Typed("[]", array(UNKNOWN))
    complaint = f"{position(node)}All ARRAY elements must be the same type: {{0}}, {{1}}"
    items = together([writer.write(item) for item in node.expressions], complaint)
    return Typed(f"[{', '.join(item.sql for item in items)}]", array(items[0].type))


@writes(exp.Tuple)
def _tuple(writer: Expressions, node: exp.Tuple) -> Typed:
    return collection_functions.row([writer.write(item) for item in node.expressions])


@writes(exp.Bracket)
def _bracket(writer: Expressions, node: exp.Bracket) -> Typed:
    value, index = writer.write(node.this), writer.write(node.expressions[0])
    return collection_functions.subscript(value, index, position(node))


def number(digits: str, *, leading: bool = False) -> Typed:
    """A number literal: with an exponent a double, with a point a decimal, else an integer.

    leading: whether zeros at the start count as digits of a decimal.
    """
    if "e" in digits.lower():
        return Typed(f"CAST({digits} AS DOUBLE)", DOUBLE)
    if "." in digits:
        whole, _, fraction = digits.partition(".")
        counted = whole.lstrip("+-") if leading else whole.lstrip("0")
        kind = decimal(max(len(counted) + len(fraction), 1), len(fraction))
        return Typed(f"CAST({digits} AS DECIMAL({kind.precision},{kind.scale}))", kind)
    small = int(digits) < 1 << 31
    return Typed(digits if small else f"CAST({digits} AS BIGINT)", INTEGER if small else BIGINT)


def _dereference(value: Typed, name: str, where: str) -> Typed:
    if value.type.name != "row":
        raise QueryFailed(
            "TYPE_MISMATCH", f"{where}Expression {name} is not of type ROW but {value.type}"
        )
    if name not in value.type.fields:
        raise QueryFailed("COLUMN_NOT_FOUND", f"{where}Column '{name}' cannot be resolved")
    index = value.type.fields.index(name)
    return Typed(f"({value.sql}).{quote(row_names(value.type)[index])}", value.type.args[index])
