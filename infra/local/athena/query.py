"""A query written for DuckDB, and what happens to it as a whole: names, types, order, limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sqlglot import exp

from infra.local.athena.errors import QueryFailed, unsupported
from infra.local.athena.expressions import direction
from infra.local.athena.operators import Typed, coerce
from infra.local.athena.scope import Field, Needs, position
from infra.local.athena.types import Type, common


@dataclass(eq=False)
class Query:
    """A query written for DuckDB; its columns are called c0, c1, … in its SQL."""

    sql: str
    fields: list[Field]
    needs: Needs = field(default_factory=Needs)


@dataclass(eq=False)
class Cte:
    """A named query of WITH."""

    name: str
    query: Query
    once: bool
    """Whether only one place reads it, so that conditions there hold for all of it."""


Ctes = dict[str, Cte]


def replace_sql(query: Query, sql: str) -> Query:
    return Query(sql, query.fields, query.needs)


def named(query: Query, names: Sequence[str]) -> Query:
    """The query with the column names that an alias gives it."""
    if not names:
        return query
    return Query(query.sql, renamed_fields(query.fields, names), query.needs)


def renamed_fields(fields: list[Field], names: Sequence[str]) -> list[Field]:
    if not names:
        return fields
    if len(names) != len(fields):
        raise QueryFailed(
            "MISMATCHED_COLUMN_ALIASES",
            f"Column alias list has {len(names)} entries but relation has {len(fields)} columns",
        )
    return [
        replace(item, name=name.lower(), shown=name, needs=Needs({item}))
        for item, name in zip(fields, names, strict=True)
    ]


def alias_columns(node: exp.Expr) -> list[str]:
    alias = node.args.get("alias")
    if not isinstance(alias, exp.TableAlias):
        return []
    return [column.name for column in alias.args.get("columns") or ()]


def calls_itself(part: exp.CTE) -> bool:
    """Whether a query of WITH reads what it is called."""
    name = part.alias.lower()
    return any(not t.db and t.name.lower() == name for t in part.this.find_all(exp.Table))


def limit_clause(node: exp.Expr) -> str:
    sql = ""
    limit = node.args.get("limit")
    if limit is not None and not _is_all(limit):
        options = limit.args.get("limit_options")
        if options is not None and options.args.get("with_ties"):
            raise unsupported("FETCH FIRST … WITH TIES", position(limit))
        count = limit.args.get("count") if isinstance(limit, exp.Fetch) else limit.expression
        sql += f" LIMIT {_row_count(count) if count is not None else 1}"
    if offset := node.args.get("offset"):
        sql += f" OFFSET {_row_count(offset.expression)}"
    return sql


def _row_count(node: exp.Expr) -> int:
    if not isinstance(node, exp.Literal) or not node.name.isdigit():
        raise QueryFailed(
            "SYNTAX_ERROR", f"{position(node)}mismatched input, expecting a number of rows"
        )
    return int(node.name)


def _is_all(limit: exp.Expr) -> bool:
    return isinstance(limit, exp.Limit) and limit.expression.name.upper() == "ALL"


def ordinal(node: exp.Expr, fields: list[Field]) -> str:
    """'2 DESC NULLS LAST' when an item of ORDER BY names a column of the result, else ''."""
    assert isinstance(node, exp.Ordered)
    target = node.this
    if isinstance(target, exp.Literal) and not target.is_string:
        if not 1 <= int(target.name) <= len(fields):
            raise QueryFailed(
                "INVALID_COLUMN_REFERENCE",
                f"{position(node)}ORDER BY position {target.name} is not in select list",
            )
        return f"{target.name}{direction(node)}"
    if isinstance(target, exp.Column) and not target.table:
        found = [i for i, item in enumerate(fields) if item.name == target.name.lower()]
        if len(found) == 1:
            return f"{found[0] + 1}{direction(node)}"
    return ""


def matching_types(left: Query, right: Query, word: str, where: str) -> list[Type]:
    if len(left.fields) != len(right.fields):
        raise QueryFailed(
            "TYPE_MISMATCH",
            f"{where}{word} query has different number of fields: "
            f"{len(left.fields)}, {len(right.fields)}",
        )
    kinds = []
    for index, (a, b) in enumerate(zip(left.fields, right.fields, strict=True), start=1):
        kind = common(a.type, b.type)
        if kind is None:
            raise QueryFailed(
                "TYPE_MISMATCH",
                f"{where}column {index} in {word} query has incompatible types: {a.type}, {b.type}",
            )
        kinds.append(kind)
    return kinds


def coerced(query: Query, kinds: Sequence[Type]) -> str:
    values = [Typed(f"c{i}", item.type) for i, item in enumerate(query.fields)]
    written = [coerce(v, kind).sql for v, kind in zip(values, kinds, strict=True)]
    if written == [v.sql for v in values]:
        return query.sql
    columns = ", ".join(f"{sql} AS c{i}" for i, sql in enumerate(written))
    return f"SELECT {columns} FROM ({query.sql})"


def merged_field(left: Field, right: Field, kind: Type) -> Field:
    same = left.type == kind and right.type == kind
    origins = (*left.origins, *right.origins) if same and left.origins and right.origins else ()
    return replace(left, type=kind, origins=origins, needs=Needs({left, right}))
