"""Whether a grouped SELECT asks only for what a group has: its keys and aggregates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from sqlglot import exp

from infra.local.athena.errors import QueryFailed
from infra.local.athena.functions import FUNCTIONS
from infra.local.athena.scope import position

IsKey = Callable[[exp.Column], bool]
"""Whether a column is one of the groups' keys, or comes from a query around this one."""


def is_grouped(node: exp.Select) -> bool:
    """Whether a SELECT has groups: by GROUP BY, or one group by an aggregate."""
    if node.args.get("group") is not None:
        return True
    having = node.args.get("having")
    parts = [*node.expressions, *([having.this] if having else [])]
    return any(_is_aggregate(call) for part in parts for call in _own_nodes(part))


def makes_totals(node: exp.Select) -> bool:
    """Whether keys may be NULL in rows that are totals of others."""
    group = node.args.get("group")
    totals = (exp.Rollup, exp.Cube, exp.GroupingSets)
    return group is not None and any(isinstance(item, totals) for item in group.expressions)


def check_grouped(items: Iterable[exp.Expr], keys: Sequence[exp.Expr], is_key: IsKey) -> None:
    """Raises EXPRESSION_NOT_AGGREGATE, in Trino's words, for the first item that does not fit."""
    written = {_plain(key) for key in keys}
    for item in items:
        for column in _loose_columns(item, written):
            if not is_key(column):
                shown = item.name if isinstance(item, exp.Column) else _written(item)
                raise QueryFailed(
                    "EXPRESSION_NOT_AGGREGATE",
                    f"{position(item)}'{shown}' must be an aggregate expression or appear in GROUP "
                    "BY clause",
                )


def _loose_columns(node: exp.Expr, keys: set[str]) -> Iterator[exp.Column]:
    """Columns that stand neither in a key's expression nor in an aggregate."""
    if _plain(node) in keys or _is_aggregate(node) or isinstance(node, exp.Query):
        return
    if isinstance(node, exp.Column):
        yield node
        return
    windowed = node.this if isinstance(node, exp.Window) else None
    for child in node.iter_expressions():
        if child is windowed and isinstance(child, exp.Anonymous):
            for argument in child.expressions:
                yield from _loose_columns(argument, keys)
        else:
            yield from _loose_columns(child, keys)


def _is_aggregate(node: exp.Expr) -> bool:
    if isinstance(node, exp.GroupConcat):
        return True
    if isinstance(node, exp.Filter):
        return _is_aggregate(node.this)
    if not isinstance(node, exp.Anonymous) or isinstance(node.parent, exp.Window):
        return False
    around = node.parent
    while isinstance(around, exp.Filter | exp.IgnoreNulls | exp.RespectNulls):
        around = around.parent
    function = FUNCTIONS.get(node.name.lower())
    return (
        function is not None and function.kind == "aggregate" and not isinstance(around, exp.Window)
    )


def _own_nodes(node: exp.Expr) -> Iterator[exp.Expr]:
    """The nodes of an expression, without those of queries inside it."""
    yield node
    for child in node.iter_expressions():
        if not isinstance(child, exp.Query):
            yield from _own_nodes(child)


def _plain(node: exp.Expr) -> str:
    return node.sql("trino", comments=False).lower().replace('"', "")


def _written(node: exp.Expr) -> str:
    return node.sql("trino", comments=False, normalize_functions=False)
