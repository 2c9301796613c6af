"""Functions that take a lambda: its body is written with SQL in the place of its parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from infra.local.athena import regexp_functions
from infra.local.athena.errors import QueryFailed, unsupported
from infra.local.athena.functions import FUNCTIONS, Function
from infra.local.athena.operators import Typed, coerce
from infra.local.athena.scope import Field
from infra.local.athena.types import BOOLEAN, UNKNOWN, Type, array, common, duck

if TYPE_CHECKING:
    from infra.local.athena.expressions import Expressions


class Lambdas:
    """Writes lambda bodies inside the expressions of a scope.

    Every use of a parameter gets names of its own in the engine's SQL, so that a lambda in a
    lambda does not hide the outer one's.
    """

    def __init__(self, expressions: Expressions, where: str) -> None:
        self.expressions = expressions
        self.where = where
        depth = len(expressions.scope.lambdas)
        self.x, self.y, self.i = f"x{depth}", f"y{depth}", f"i{depth}"

    def value(self, node: exp.Expr) -> Typed:
        return self.expressions.write(node)

    def array(self, node: exp.Expr) -> Typed:
        found = self.value(node)
        if found.type.name != "array":
            raise QueryFailed("TYPE_MISMATCH", f"{self.where}{found.type} is not an array")
        return found

    def map(self, node: exp.Expr) -> Typed:
        found = self.value(node)
        if found.type.name != "map":
            raise QueryFailed("TYPE_MISMATCH", f"{self.where}{found.type} is not a map")
        return found

    def applied(self, node: exp.Expr, arguments: Sequence[Typed]) -> Typed:
        """The lambda's body over these arguments."""
        if not isinstance(node, exp.Lambda):
            raise unsupported(f"{node.sql('trino')} where a lambda is expected", self.where)
        if node.find(exp.Query):
            raise unsupported("a subquery in a lambda", self.where)
        names = [parameter.name.lower() for parameter in node.expressions]
        if len(names) != len(arguments):
            raise QueryFailed(
                "INVALID_PARAMETER_USAGE", f"{self.where}Expected {len(arguments)} lambda arguments"
            )
        fields = {n: Field(n, a.type, a.sql) for n, a in zip(names, arguments, strict=True)}
        scope = self.expressions.scope
        self.expressions.scope = replace(scope, lambdas={**scope.lambdas, **fields})
        try:
            return self.value(node.this)
        finally:
            self.expressions.scope = scope


def _transform(lambdas: Lambdas, arguments: list[exp.Expr]) -> Typed:
    items = lambdas.array(arguments[0])
    body = lambdas.applied(arguments[1], [Typed(lambdas.x, items.type.args[0])])
    sql = f"list_transform({items.sql}, lambda {lambdas.x}: {body.sql})"
    return Typed(sql, array(body.type))


def _filter(lambdas: Lambdas, arguments: list[exp.Expr]) -> Typed:
    items = lambdas.array(arguments[0])
    body = lambdas.applied(arguments[1], [Typed(lambdas.x, items.type.args[0])])
    return Typed(f"list_filter({items.sql}, lambda {lambdas.x}: {body.sql})", items.type)


def _matches(template: str) -> LambdaCall:
    def write(lambdas: Lambdas, arguments: list[exp.Expr]) -> Typed:
        items = lambdas.array(arguments[0])
        body = lambdas.applied(arguments[1], [Typed(lambdas.x, items.type.args[0])])
        tested = coerce(body, BOOLEAN).sql
        return Typed(
            template.format(f"list_transform({items.sql}, lambda {lambdas.x}: {tested})"), BOOLEAN
        )

    return write


def _reduce(lambdas: Lambdas, arguments: list[exp.Expr]) -> Typed:
    """The engine folds values of one type, so state and item travel in one struct."""
    items, start = lambdas.array(arguments[0]), lambdas.value(arguments[1])
    return _folded(lambdas, items, start, arguments[2], arguments[3])


def _folded(
    lambdas: Lambdas, items: Typed, start: Typed, step: exp.Expr, last: exp.Expr | None
) -> Typed:
    x, y, kind = lambdas.x, lambdas.y, items.type.args[0]
    state = start.type
    for _ in range(2):
        # The first step may widen the state's type; the second is then of that type.
        body = lambdas.applied(step, [Typed(f"{x}.s", state), Typed(f"{y}.x", kind)])
        state = common(state, body.type) or body.type
    if state == start.type == kind:
        return _folded_items(lambdas, items, start, step, last)
    states = f"CAST(NULL AS {duck(state)})"
    wrapped = f"list_transform({items.sql}, lambda {x}: {{'s': {states}, 'x': {x}}})"
    first = f"{{'s': {coerce(start, state).sql}, 'x': CAST(NULL AS {duck(kind)})}}"
    next_ = f"{{'s': {coerce(body, state).sql}, 'x': {y}.x}}"
    sql = f"list_reduce({wrapped}, lambda {x}, {y}: {next_}, {first}).s"
    if last is None:
        return Typed(sql, state)
    final = lambdas.applied(last, [Typed(x, state)])
    return Typed(f"list_transform([{sql}], lambda {x}: {final.sql})[1]", final.type)


def _folded_items(
    lambdas: Lambdas, items: Typed, start: Typed, step: exp.Expr, last: exp.Expr | None
) -> Typed:
    """Where the state is what the items are, they are folded as they are."""
    x, y, kind = lambdas.x, lambdas.y, start.type
    body = lambdas.applied(step, [Typed(x, kind), Typed(y, kind)])
    sql = f"list_reduce({items.sql}, lambda {x}, {y}: {coerce(body, kind).sql}, {start.sql})"
    if last is None or (isinstance(last, exp.Lambda) and last.this == last.expressions[0]):
        return Typed(sql, kind)
    final = lambdas.applied(last, [Typed(x, kind)])
    return Typed(f"list_transform([{sql}], lambda {x}: {final.sql})[1]", final.type)


def _zip_with(lambdas: Lambdas, arguments: list[exp.Expr]) -> Typed:
    first, second = lambdas.array(arguments[0]), lambdas.array(arguments[1])
    pair = [
        Typed(f"({one.sql})[{lambdas.i}]", one.type.args[0] if one.type.args else UNKNOWN)
        for one in (first, second)
    ]
    body = lambdas.applied(arguments[2], pair)
    longest = f"greatest(len({first.sql}), len({second.sql}))"
    items = f"list_transform(range(1, {longest} + 1), lambda {lambdas.i}: {body.sql})"
    none = f"{first.sql} IS NULL OR {second.sql} IS NULL"
    return Typed(f"CASE WHEN NOT ({none}) THEN {items} END", array(body.type))


def _array_sort(lambdas: Lambdas, arguments: list[exp.Expr]) -> Typed:
    """Each item is placed behind those that the comparator puts before it."""
    items, x, y = lambdas.array(arguments[0]), lambdas.x, lambdas.y
    kind = items.type.args[0]
    compared = lambdas.applied(arguments[1], [Typed(x, kind), Typed(y, kind)])
    before = f"len(list_filter({items.sql}, lambda {y}: athena_comparison({compared.sql}) > 0))"
    ranked = f"list_transform({items.sql}, lambda {x}, {lambdas.i}: "
    ranked += f"{{'r': {before}, 'i': {lambdas.i}, 'x': {x}}})"
    return Typed(f"list_transform(list_sort({ranked}), lambda e: e.x)", items.type)


def _entries(lambdas: Lambdas, value: Typed) -> list[Typed]:
    key, item = value.type.args
    return [Typed(f"{lambdas.x}.key", key), Typed(f"{lambdas.x}.value", item)]


def _map_filter(lambdas: Lambdas, arguments: list[exp.Expr]) -> Typed:
    value = lambdas.map(arguments[0])
    kept = lambdas.applied(arguments[1], _entries(lambdas, value)).sql
    entries = f"list_filter(map_entries({value.sql}), lambda {lambdas.x}: {kept})"
    return Typed(f"map_from_entries({entries})", value.type)


def _transform_values(lambdas: Lambdas, arguments: list[exp.Expr]) -> Typed:
    value, x = lambdas.map(arguments[0]), lambdas.x
    body = lambdas.applied(arguments[1], _entries(lambdas, value))
    pairs = f"{{'k': {x}.key, 'v': {body.sql}}}"
    entries = f"list_transform(map_entries({value.sql}), lambda {x}: {pairs})"
    return Typed(f"map_from_entries({entries})", Type("map", args=(value.type.args[0], body.type)))


def _transform_keys(lambdas: Lambdas, arguments: list[exp.Expr]) -> Typed:
    value, x = lambdas.map(arguments[0]), lambdas.x
    body = lambdas.applied(arguments[1], _entries(lambdas, value))
    pairs = f"{{'k': {body.sql}, 'v': {x}.value}}"
    entries = f"list_transform(map_entries({value.sql}), lambda {x}: {pairs})"
    return Typed(f"athena_unique_map({entries})", Type("map", args=(body.type, value.type.args[1])))


def _map_zip_with(lambdas: Lambdas, arguments: list[exp.Expr]) -> Typed:
    first, second, x = lambdas.map(arguments[0]), lambdas.map(arguments[1]), lambdas.x
    key = common(first.type.args[0], second.type.args[0])
    if key is None:
        raise QueryFailed("TYPE_MISMATCH", f"{lambdas.where}The maps have keys of two types")
    values = [Typed(f"({m.sql})[{x}]", m.type.args[1]) for m in (first, second)]
    body = lambdas.applied(arguments[2], [Typed(x, key), *values])
    keys = f"athena_distinct(list_concat(map_keys({first.sql}), map_keys({second.sql})))"
    entries = f"list_transform({keys}, lambda {x}: {{'k': {x}, 'v': {body.sql}}})"
    none = f"{first.sql} IS NULL OR {second.sql} IS NULL"
    sql = f"CASE WHEN NOT ({none}) THEN map_from_entries({entries}) END"
    return Typed(sql, Type("map", args=(key, body.type)))


LambdaCall = Callable[[Lambdas, list[exp.Expr]], Typed]
_LAMBDA_CALLS: dict[str, LambdaCall] = {
    "transform": _transform,
    "filter": _filter,
    "any_match": _matches("athena_some({0})"),
    "all_match": _matches("athena_every({0})"),
    "none_match": _matches("(NOT athena_some({0}))"),
    "reduce": _reduce,
    "zip_with": _zip_with,
    "array_sort": _array_sort,
    "map_filter": _map_filter,
    "transform_keys": _transform_keys,
    "transform_values": _transform_values,
    "map_zip_with": _map_zip_with,
    "regexp_replace": regexp_functions.replace_with,
}
for _name in _LAMBDA_CALLS:
    FUNCTIONS.setdefault(_name, Function(_name, "scalar"))
FUNCTIONS["reduce_agg"] = Function("reduce_agg", "aggregate")


def with_lambdas(
    expressions: Expressions, name: str, arguments: list[exp.Expr], where: str, tail: str = ""
) -> Typed:
    """A call that has a lambda among its arguments. tail: FILTER and OVER, of an aggregate."""
    lambdas = Lambdas(expressions, where)
    if name == "reduce_agg":
        values, start = lambdas.value(arguments[0]), lambdas.value(arguments[1])
        items = Typed(f"list({values.sql}) FILTER (WHERE {values.sql} IS NOT NULL){tail}", UNKNOWN)
        return _folded(lambdas, replace(items, type=array(values.type)), start, arguments[2], None)
    if name not in _LAMBDA_CALLS:
        raise unsupported(f"the function {name} with a lambda", where)
    return _LAMBDA_CALLS[name](lambdas, arguments)
