"""A query of Trino's, resolved against the catalog and written for DuckDB."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from sqlglot import exp

from infra.local.athena import (
    calls,
    json_functions,
    logic,
    regexp_functions,
    text_functions,
    values,
)
from infra.local.athena.catalog import Table
from infra.local.athena.errors import QueryFailed, unsupported
from infra.local.athena.expressions import Expressions
from infra.local.athena.query import (
    Cte,
    Ctes,
    Query,
    alias_columns,
    calls_itself,
    coerced,
    limit_clause,
    matching_types,
    merged_field,
    named,
    ordinal,
    replace_sql,
)
from infra.local.athena.relations import Relations
from infra.local.athena.scope import Leaf, Needs, Relation, Scope, position
from infra.local.athena.select import SelectClause, check_clauses
from infra.local.athena.types import quote, text

MAX_RECURSION = 10
"""Steps of WITH RECURSIVE, as Trino's max_recursion_depth has it."""
_WRITERS = (
    calls,
    json_functions,
    logic,
    regexp_functions,
    text_functions,
    values,
)  # imported, they say how expressions are written

Lookup = Callable[[tuple[str, ...], str], Table]
"""Finds a table by its written name; the second argument is the position for messages."""
ParseView = Callable[[Table], exp.Query]


class Analyzer:
    """Analyzes one statement's queries; collects the tables that they read."""

    def __init__(self, lookup: Lookup, parse_view: ParseView) -> None:
        self.lookup = lookup
        self.parse_view = parse_view
        self.relations = Relations(self)
        self.leaves: list[Leaf] = []
        self._count = 0

    def analyze(self, node: exp.Query) -> Query:
        """Raises QueryFailed for what does not resolve or fit."""
        return self.query(node, None, {})

    def alias(self) -> str:
        """A name that nothing else has."""
        self._count += 1
        return f"r{self._count}"

    def query(self, node: exp.Expr, parent: Scope | None, ctes: Ctes) -> Query:
        heading, ctes = self._with(node, parent, ctes)
        if isinstance(node, exp.Select):
            found = self._select(node, parent, ctes)
        elif isinstance(node, exp.SetOperation):
            found = self._set_operation(node, parent, ctes)
        elif isinstance(node, exp.Subquery):
            found = self._wrapped(node, parent, ctes)
        else:
            raise unsupported(f"the query {node.sql('trino')}", position(node))
        return replace_sql(found, heading + found.sql) if heading else found

    def _with(self, node: exp.Expr, parent: Scope | None, ctes: Ctes) -> tuple[str, Ctes]:
        with_ = node.args.get("with_")
        if with_ is None:
            return "", ctes
        ctes, written = dict(ctes), []
        references = Counter(
            table.name.lower() for table in node.find_all(exp.Table) if not table.db
        )
        for part in with_.expressions:
            name = part.alias.lower()
            if with_.args.get("recursive") and calls_itself(part):
                written += self._recursive(part, parent, ctes)
                continue
            query = named(self.query(part.this, parent, ctes), alias_columns(part))
            ctes[name] = Cte(self.alias(), query, references[name] == 1)
            written.append(f"{quote(ctes[name].name)} AS ({query.sql})")
        return f"WITH {', '.join(written)} ", ctes

    def _recursive(self, part: exp.CTE, parent: Scope | None, ctes: Ctes) -> list[str]:
        """A query that reads itself, step after step, as deep as Trino goes by default."""
        union, columns, name = part.this, alias_columns(part), part.alias.lower()
        if not isinstance(union, exp.Union) or not columns:
            raise QueryFailed(
                "INVALID_RECURSIVE_REFERENCE",
                f"{position(part)}A recursive query is a UNION of two, with column aliases",
            )
        step = named(self.query(union.this, parent, ctes), columns)
        kinds, fields = [item.type for item in step.fields], step.fields
        steps, written = [self.alias()], []
        written.append(f"{quote(steps[0])} AS ({step.sql})")
        while len(steps) <= MAX_RECURSION + 1:
            inside = {**ctes, name: Cte(steps[-1], replace_sql(step, ""), once=False)}
            found = self.query(union.expression, parent, inside)
            matching_types(Query("", fields), found, "UNION", position(union))
            steps.append(self.alias())
            written.append(f"{quote(steps[-1])} AS ({coerced(found, kinds)})")
        complaint = (
            f"NOT_SUPPORTED: Recursion depth limit exceeded ({MAX_RECURSION}). Use "
            "'max_recursion_depth' session property to modify the limit"
        )
        parts = [f"SELECT * FROM {quote(one)}" for one in steps[:-1]]
        check = ", ".join(f"error({text(complaint)})" for _ in fields)
        every = "" if union.args.get("distinct") else " ALL"
        total = f" UNION{every} ".join([*parts, f"SELECT {check} FROM {quote(steps[-1])}"])
        needs = Needs(relations={Relation([], needs=step.needs)})
        ctes[name] = Cte(self.alias(), Query(total, fields, needs), once=False)
        return [*written, f"{quote(ctes[name].name)} AS ({total})"]

    def _wrapped(self, node: exp.Subquery, parent: Scope | None, ctes: Ctes) -> Query:
        inner = self.query(node.this, parent, ctes)
        tail, cut = self._tail(node, inner, Scope(parent=parent))
        if not tail:
            return inner
        fields = [replace(f, origins=()) for f in inner.fields] if cut else inner.fields
        return Query(f"SELECT * FROM ({inner.sql}){tail}", fields, inner.needs)

    def _tail(self, node: exp.Expr, query: Query, scope: Scope) -> tuple[str, bool]:
        """ORDER BY, OFFSET and LIMIT over the columns of a finished query."""
        sql = ""
        if order := node.args.get("order"):
            outputs = Scope(relations=[Relation(query.fields)], parent=scope.parent)
            writer = self.expressions(outputs, {}, {})
            sql += " ORDER BY " + ", ".join(
                ordinal(item, query.fields) or writer.ordered(item) for item in order.expressions
            )
        limit = limit_clause(node)
        return sql + limit, bool(limit)

    def _set_operation(self, node: exp.SetOperation, parent: Scope | None, ctes: Ctes) -> Query:
        left = self.query(node.this, parent, ctes)
        right = self.query(node.expression, parent, ctes)
        word = type(node).__name__.upper()
        if node.args.get("by_name"):
            raise unsupported(f"{word} CORRESPONDING", position(node))
        kinds = matching_types(left, right, word, position(node))
        fields = [
            merged_field(a, b, kind)
            for a, b, kind in zip(left.fields, right.fields, kinds, strict=True)
        ]
        every = "" if node.args.get("distinct") else " ALL"
        sql = f"({coerced(left, kinds)}) {word}{every} ({coerced(right, kinds)})"
        needs = Needs(
            set() if every else {*left.fields, *right.fields},
            {Relation([], needs=left.needs), Relation([], needs=right.needs)},
        )
        query = Query(sql, fields, needs)
        tail, cut = self._tail(node, query, Scope(parent=parent))
        if cut:
            query.fields = [replace(item, origins=()) for item in fields]
        return replace_sql(query, sql + tail) if tail else query

    def _select(self, node: exp.Select, parent: Scope | None, ctes: Ctes) -> Query:
        check_clauses(node)
        return SelectClause(self, node, Scope(parent=parent), ctes).query()

    def expressions(self, scope: Scope, ctes: Ctes, windows: dict[str, exp.Window]) -> Expressions:
        def nested(query: exp.Query, outer: Scope) -> Query:
            found = self.query(query, outer, ctes)
            outer.needs.fields.update(found.fields)
            outer.needs.relations.add(Relation([], needs=found.needs))
            return found

        return Expressions(scope, nested, windows)
