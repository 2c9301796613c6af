"""Arrays, maps and rows: constructors, subscripts, and functions that take a lambda."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from infra.local.athena.errors import QueryFailed, unsupported
from infra.local.athena.functions import FUNCTIONS, Function, special
from infra.local.athena.operators import Typed, coerce, together
from infra.local.athena.scope import Field
from infra.local.athena.types import BIGINT, BOOLEAN, Type, array, duck, quote, row_names

if TYPE_CHECKING:
    from infra.local.athena.expressions import Expressions


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
    from infra.local.athena.operators import arithmetic

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


LambdaCall = Callable[["_Lambdas", list[exp.Expr]], Typed]


class _Lambdas:
    """Writes lambda bodies inside the expressions of a scope."""

    def __init__(self, expressions: Expressions, where: str) -> None:
        self.expressions = expressions
        self.where = where

    def value(self, node: exp.Expr) -> Typed:
        return self.expressions.write(node)

    def array(self, node: exp.Expr) -> tuple[str, Type]:
        found = self.value(node)
        if found.type.name != "array":
            raise QueryFailed("TYPE_MISMATCH", f"{self.where}{found.type} is not an array")
        return found.sql, found.type.args[0]

    def body(self, node: exp.Expr, kinds: Sequence[Type]) -> tuple[str, Typed]:
        """The lambda's parameters and its body, in DuckDB's words."""
        if not isinstance(node, exp.Lambda):
            raise unsupported(f"{node.sql('trino')} where a lambda is expected", self.where)
        names = [parameter.name.lower() for parameter in node.expressions]
        scope = self.expressions.scope
        inner = replace(
            scope,
            lambdas={
                **scope.lambdas,
                **{
                    name: Field(name, kind, quote(name))
                    for name, kind in zip(names, kinds, strict=True)
                },
            },
        )
        self.expressions.scope = inner
        try:
            return ", ".join(quote(name) for name in names), self.value(node.this)
        finally:
            self.expressions.scope = scope


def _transform(lambdas: _Lambdas, arguments: list[exp.Expr]) -> Typed:
    items, kind = lambdas.array(arguments[0])
    names, body = lambdas.body(arguments[1], [kind])
    return Typed(f"list_transform({items}, lambda {names}: {body.sql})", array(body.type))


def _filter(lambdas: _Lambdas, arguments: list[exp.Expr]) -> Typed:
    items, kind = lambdas.array(arguments[0])
    names, body = lambdas.body(arguments[1], [kind])
    return Typed(f"list_filter({items}, lambda {names}: {body.sql})", array(kind))


def _matches(template: str) -> LambdaCall:
    def write(lambdas: _Lambdas, arguments: list[exp.Expr]) -> Typed:
        items, kind = lambdas.array(arguments[0])
        names, body = lambdas.body(arguments[1], [kind])
        tested = f"list_transform({items}, lambda {names}: {body.sql})"
        return Typed(template.format(tested), BOOLEAN)

    return write


def _reduce(lambdas: _Lambdas, arguments: list[exp.Expr]) -> Typed:
    items, kind = lambdas.array(arguments[0])
    start = lambdas.value(arguments[1])
    names, step = lambdas.body(arguments[2], [start.type, kind])
    start = coerce(start, step.type)
    names, step = lambdas.body(arguments[2], [start.type, kind])
    if kind != start.type:
        raise unsupported(f"reduce of {kind} into {start.type}", lambdas.where)
    reduced = f"list_reduce({items}, lambda {names}: {step.sql}, {start.sql})"
    final_names, final = lambdas.body(arguments[3], [start.type])
    return Typed(f"list_transform([{reduced}], lambda {final_names}: {final.sql})[1]", final.type)


_LAMBDA_CALLS: dict[str, LambdaCall] = {
    "transform": _transform,
    "filter": _filter,
    "any_match": _matches("coalesce(list_bool_or({0}), FALSE)"),
    "all_match": _matches("coalesce(list_bool_and({0}), TRUE)"),
    "none_match": _matches("NOT coalesce(list_bool_or({0}), FALSE)"),
    "reduce": _reduce,
}
for _name in _LAMBDA_CALLS:
    FUNCTIONS.setdefault(_name, Function(_name, "scalar"))


def with_lambdas(
    expressions: Expressions, name: str, arguments: list[exp.Expr], where: str
) -> Typed:
    if name not in _LAMBDA_CALLS:
        raise unsupported(f"the function {name} with a lambda", where)
    return _LAMBDA_CALLS[name](_Lambdas(expressions, where), arguments)
