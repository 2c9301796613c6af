"""Conditions and choices: comparisons, AND and OR, IN, EXISTS, LIKE, CASE, IF."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from infra.local.athena.comparing import compare, equal, has_null, is_float, without_nan
from infra.local.athena.errors import QueryFailed, unsupported
from infra.local.athena.expressions import NO_COMMON, Expressions, writes
from infra.local.athena.operators import Typed, together
from infra.local.athena.scope import position
from infra.local.athena.types import BOOLEAN, UNKNOWN, Type, duck, row_names

if TYPE_CHECKING:
    from infra.local.athena.query import Query

_COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM",
    exp.NullSafeNEQ: "IS DISTINCT FROM",
}


@writes(*_COMPARISONS)
def _comparison(writer: Expressions, node: exp.Expr) -> Typed:
    operator = _COMPARISONS[type(node)]
    left, right = node.this, node.args["expression"]
    if isinstance(right, exp.Any | exp.All):
        return _quantified(writer, operator, left, right)
    a, b = writer.write(left), writer.write(right)
    return Typed(compare(operator, a, b, position(node), joins=_filters(node, exp.Join)), BOOLEAN)


def _filters(node: exp.Expr, *clauses: type[exp.Expr]) -> bool:
    """Whether it is the clause's condition, or a part that must hold: FALSE and NULL are one."""
    while isinstance(node.parent, exp.And | exp.Paren):
        node = node.parent
    return isinstance(node.parent, clauses) and node.arg_key in {"on", "this"}


def _quantified(
    writer: Expressions, operator: str, left: exp.Expr, right: exp.Any | exp.All
) -> Typed:
    value, query = writer.write(left), _subquery_of(writer, right.this)
    if value.type.args:
        raise unsupported(f"{operator} of {value.type} with a subquery's", position(left))
    together([value, Typed("", query.fields[0].type)], "Cannot compare {0} with {1}")
    word = "ANY" if isinstance(right, exp.Any) else "ALL"
    return Typed(f"({value.sql} {operator} {word} ({query.sql}))", BOOLEAN)


@writes(exp.And)
def _and(writer: Expressions, node: exp.And) -> Typed:
    return _connected(writer, node, "AND")


@writes(exp.Or)
def _or(writer: Expressions, node: exp.Or) -> Typed:
    return _connected(writer, node, "OR")


def _connected(writer: Expressions, node: exp.Connector, word: str) -> Typed:
    parts = [writer.condition(part, f"Logical expression of {word}") for part in node.flatten()]
    return Typed(f"({f' {word} '.join(parts)})", BOOLEAN)


@writes(exp.Not)
def _not(writer: Expressions, node: exp.Not) -> Typed:
    return Typed(f"(NOT {writer.condition(node.this, 'NOT')})", BOOLEAN)


@writes(exp.Is)
def _is(writer: Expressions, node: exp.Is) -> Typed:
    if not isinstance(node.expression, exp.Null):
        raise unsupported(node.sql("trino"), position(node))
    return Typed(f"({writer.write(node.this).sql} IS NULL)", BOOLEAN)


@writes(exp.Between)
def _between(writer: Expressions, node: exp.Between) -> Typed:
    where = position(node)
    values = [writer.write(node.this), writer.write(node.args["low"])]
    values.append(writer.write(node.args["high"]))
    complaint = f"{where}Cannot check if {{0}} is BETWEEN {{1}}"
    value, low, high = together(values, complaint)
    if is_float(value.type) or value.type.args:
        ends = (compare(">=", value, low, where), compare("<=", value, high, where))
        return Typed(f"({' AND '.join(ends)})", BOOLEAN)
    return Typed(f"({value.sql} BETWEEN {low.sql} AND {high.sql})", BOOLEAN)


@writes(exp.In)
def _in(writer: Expressions, node: exp.In) -> Typed:
    where, value = position(node), writer.write(node.this)
    if query := node.args.get("query"):
        return _in_query(
            writer, value, query, where, filters=_filters(node, exp.Where, exp.Having, exp.Join)
        )
    complaint = where + NO_COMMON.format("IN value and list items")
    first, *items = together([value, *map(writer.write, node.expressions)], complaint)
    if is_float(first.type) or first.type.args:
        equal = (compare("=", first, item, where) for item in items)
        return Typed(f"({' OR '.join(equal)})", BOOLEAN)
    return Typed(f"({first.sql} IN ({', '.join(i.sql for i in items)}))", BOOLEAN)


def _in_query(
    writer: Expressions, value: Typed, node: exp.Expr, where: str, *, filters: bool
) -> Typed:
    query = _subquery_of(writer, node)
    kinds = [item.type for item in query.fields]
    if value.type.name == "row":
        item = _packed(value.type, [f.sql for f in query.fields])
        return _in_composites(value, f"SELECT {item} AS item FROM ({query.sql})", filters)
    if len(kinds) != 1:
        raise QueryFailed(
            "SYNTAX_ERROR",
            f"{where}Multiple columns returned by subquery are not yet supported",
        )
    pair = together(
        [value, Typed("", kinds[0])],
        f"{where}value and result of subquery must be of the same type for IN expression: "
        "{0} vs {1}",
    )
    item, kind = query.fields[0].sql, pair[0].type
    if kind.args:
        items = f"SELECT CAST({item} AS {duck(kind)}) AS item FROM ({query.sql})"
        return _in_composites(pair[0], items, filters)
    inner = query.sql
    if pair[1].sql:
        inner = f"SELECT CAST({item} AS {duck(kind)}) FROM ({inner})"
    if is_float(kind):
        inner = f"SELECT item FROM ({inner}) AS items(item) WHERE {without_nan('item')}"
    return Typed(f"({pair[0].sql} IN ({inner}))", BOOLEAN)


def _in_composites(value: Typed, items: str, filters: bool) -> Typed:
    """IN over rows, arrays or maps: NULL inside them leaves it open, which no filter lets by."""
    if filters:
        whole = f"NOT {has_null(value.sql, value.type)}"
        return Typed(f"({value.sql} IN ({items}) AND {whole})", BOOLEAN)
    same = equal(value.sql, "item", value.type)
    found = (
        f"SELECT CASE WHEN bool_or({same}) THEN TRUE WHEN count(*) = count({same}) THEN FALSE END"
    )
    return Typed(f"({found} FROM ({items}))", BOOLEAN)


@writes(exp.Exists)
def _exists(writer: Expressions, node: exp.Exists) -> Typed:
    return Typed(f"EXISTS ({_subquery_of(writer, node.this).sql})", BOOLEAN)


@writes(exp.Subquery, exp.Select)
def _scalar_subquery(writer: Expressions, node: exp.Subquery) -> Typed:
    query = _subquery_of(writer, node)
    if len(query.fields) != 1:
        raise QueryFailed(
            "SYNTAX_ERROR",
            f"{position(node)}Multiple columns returned by subquery are not yet supported",
        )
    return Typed(f"({query.sql})", query.fields[0].type)


def _subquery_of(writer: Expressions, node: exp.Expr) -> Query:
    inner = node.this if isinstance(node, exp.Subquery) and not _has_clauses(node) else node
    if isinstance(inner, exp.Values):
        inner = exp.select("*").from_(inner)
    if not isinstance(inner, exp.Query):
        raise unsupported(node.sql("trino"), position(node))
    return writer.subqueries(inner, writer.scope)


@writes(exp.Like)
def _like(writer: Expressions, node: exp.Like, escape: str = "") -> Typed:
    value, pattern = writer.write(node.this), writer.write(node.expression)
    for part in (value, pattern):
        if not part.type.is_text and part.type != UNKNOWN:
            raise QueryFailed(
                "TYPE_MISMATCH",
                f"{position(node)}Left side of LIKE expression must evaluate to a varchar "
                f"(actual: {part.type})",
            )
    word = "NOT LIKE" if node.args.get("negate") else "LIKE"
    return Typed(f"({value.sql} {word} {pattern.sql}{escape})", BOOLEAN)


@writes(exp.Escape)
def _escape(writer: Expressions, node: exp.Escape) -> Typed:
    if not isinstance(node.this, exp.Like):
        raise unsupported(node.sql("trino"), position(node))
    return _like(writer, node.this, f" ESCAPE {writer.write(node.expression).sql}")


@writes(exp.Case)
def _case(writer: Expressions, node: exp.Case) -> Typed:
    branches = node.args["ifs"]
    results = [writer.write(branch.args["true"]) for branch in branches]
    if default := node.args.get("default"):
        results.append(writer.write(default))
    complaint = position(node) + NO_COMMON.format("All CASE results")
    results = together(results, complaint)
    conditions = [_case_condition(writer, node.this, branch.this) for branch in branches]
    pairs = zip(conditions, results, strict=False)
    sql = " ".join(f"WHEN {when} THEN {then.sql}" for when, then in pairs)
    if default:
        sql += f" ELSE {results[-1].sql}"
    return Typed(f"CASE {sql} END", results[0].type)


def _case_condition(writer: Expressions, operand: exp.Expr | None, when: exp.Expr) -> str:
    if operand is None:
        return writer.condition(when, "CASE WHEN")
    return compare("=", writer.write(operand), writer.write(when), position(when))


@writes(exp.If)
def _if(writer: Expressions, node: exp.If) -> Typed:
    when = writer.condition(node.this, "IF")
    results = [writer.write(node.args["true"])]
    if otherwise := node.args.get("false"):
        results.append(writer.write(otherwise))
    complaint = f"{position(node)}Result types for IF must be the same: {{0}} vs {{1}}"
    results = together(results, complaint)
    tail = f" ELSE {results[1].sql}" if otherwise else ""
    return Typed(f"CASE WHEN {when} THEN {results[0].sql}{tail} END", results[0].type)


def _packed(kind: Type, values: list[str]) -> str:
    names = row_names(kind)
    return "{" + ", ".join(f"'{n}': {v}" for n, v in zip(names, values, strict=True)) + "}"


def _has_clauses(node: exp.Subquery) -> bool:
    return any(node.args.get(part) for part in ("order", "limit", "offset", "with_"))
