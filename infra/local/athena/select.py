"""A query of Trino's: its clauses resolved against the catalog and written for DuckDB."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from sqlglot import exp

from infra.local.athena.catalog import Table
from infra.local.athena.errors import QueryFailed, unsupported
from infra.local.athena.expressions import Expressions, direction
from infra.local.athena.functions import FUNCTIONS
from infra.local.athena.operators import Typed, coerce, together
from infra.local.athena.pruning import Pruner
from infra.local.athena.scope import (
    Field,
    Leaf,
    Needs,
    Origin,
    Relation,
    Scope,
    position,
    renamed,
)
from infra.local.athena.types import BOOLEAN, Type, common, quote

Lookup = Callable[[tuple[str, ...], str], Table]
"""Finds a table by its written name; the second argument is the position for messages."""
ParseView = Callable[[Table], exp.Query]


@dataclass(eq=False)
class Query:
    """A query written for DuckDB; its columns are called c0, c1, … in its SQL."""

    sql: str
    fields: list[Field]
    needs: Needs = field(default_factory=Needs)


@dataclass(eq=False)
class _Cte:
    name: str
    query: Query
    once: bool
    """Whether only one place reads it, so that conditions there hold for all of it."""


Ctes = dict[str, _Cte]


class Analyzer:
    """Analyzes one statement's queries; collects the tables that they read."""

    def __init__(self, lookup: Lookup, parse_view: ParseView) -> None:
        self._lookup = lookup
        self._parse_view = parse_view
        self._count = 0
        self.leaves: list[Leaf] = []

    def analyze(self, node: exp.Query) -> Query:
        return self._query(node, None, {})

    def _alias(self) -> str:
        self._count += 1
        return f"r{self._count}"

    # Queries

    def _query(self, node: exp.Expr, parent: Scope | None, ctes: Ctes) -> Query:
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
        if with_.args.get("recursive"):
            raise unsupported("WITH RECURSIVE", position(with_))
        ctes, written = dict(ctes), []
        references = Counter(
            table.name.lower() for table in node.find_all(exp.Table) if not table.db
        )
        for part in with_.expressions:
            name = part.alias.lower()
            query = _named(self._query(part.this, parent, ctes), _alias_columns(part))
            ctes[name] = _Cte(self._alias(), query, references[name] == 1)
            written.append(f"{quote(ctes[name].name)} AS ({query.sql})")
        return f"WITH {', '.join(written)} ", ctes

    def _wrapped(self, node: exp.Subquery, parent: Scope | None, ctes: Ctes) -> Query:
        inner = self._query(node.this, parent, ctes)
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
            writer = self._expressions(outputs, {}, {})
            sql += " ORDER BY " + ", ".join(
                _ordinal(item, query.fields) or writer.ordered(item) for item in order.expressions
            )
        limit = _limit(node)
        return sql + limit, bool(limit)

    def _set_operation(self, node: exp.SetOperation, parent: Scope | None, ctes: Ctes) -> Query:
        left = self._query(node.this, parent, ctes)
        right = self._query(node.expression, parent, ctes)
        word = type(node).__name__.upper()
        kinds = _matching_types(left, right, word, position(node))
        fields = [
            _merged(a, b, kind) for a, b, kind in zip(left.fields, right.fields, kinds, strict=True)
        ]
        every = "" if node.args.get("distinct") else " ALL"
        sql = f"({_coerced(left, kinds)}) {word}{every} ({_coerced(right, kinds)})"
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
        _check_clauses(node)
        return _Select(self, node, Scope(parent=parent), ctes).query()

    def _expressions(self, scope: Scope, ctes: Ctes, windows: dict[str, exp.Window]) -> Expressions:
        def nested(query: exp.Query, outer: Scope) -> Query:
            found = self._query(query, outer, ctes)
            outer.needs.fields.update(found.fields)
            outer.needs.relations.add(Relation([], needs=found.needs))
            return found

        return Expressions(scope, nested, windows)

    # Relations

    def relation(self, node: exp.Expr, scope: Scope, ctes: Ctes) -> tuple[str, list[Relation]]:
        """SQL of one item of FROM, and the relations that it brings into scope."""
        if isinstance(node, exp.Table):
            return self._table(node, ctes)
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table):
            return self._join_group(node.this, scope, ctes)
        if isinstance(node, exp.Subquery):
            return self._derived(self._query(_unaliased(node), scope.parent, ctes), node)
        if isinstance(node, exp.Lateral):
            inner = node.this
            query = self._query(inner, replace(scope, relations=list(scope.relations)), ctes)
            sql, relations = self._derived(query, node)
            return f"LATERAL {sql}", relations
        if isinstance(node, exp.Values):
            return self._values(node, scope, ctes)
        if isinstance(node, exp.Unnest):
            return self._unnest(node, scope, ctes)
        raise unsupported(f"{node.sql('trino')} in FROM", position(node))

    def _join_group(self, node: exp.Table, scope: Scope, ctes: Ctes) -> tuple[str, list[Relation]]:
        inner = Scope(parent=scope.parent, needs=scope.needs)
        sql = self.joined(node, node.args.get("joins") or [], inner, ctes)
        scope.merged.update(inner.merged)
        return f"({sql})", inner.relations

    def joined(self, first: exp.Expr, joins: Sequence[exp.Join], scope: Scope, ctes: Ctes) -> str:
        """SQL of a chain of joins; its relations are put into the scope."""
        sql, scope.relations = self.relation(_without_joins(first), scope, ctes)
        for join in joins:
            sql = self._join(sql, join, scope, ctes)
        return sql

    def _join(self, left: str, join: exp.Join, scope: Scope, ctes: Ctes) -> str:
        side, kind = (join.side or "").upper(), (join.kind or "").upper()
        if kind not in {"", "CROSS", "INNER", "OUTER"} or join.method:
            raise unsupported(f"{join.method or ''} {kind} JOIN".strip(), position(join))
        before = list(scope.relations)
        right, added = self.relation(join.this, scope, ctes)
        scope.relations = before + added
        condition = self._join_condition(join, before, added, side, scope, ctes)
        if side in {"LEFT", "FULL"}:
            _forget_origins(added)
        if side in {"RIGHT", "FULL"}:
            _forget_origins(before)
        if condition is None:
            return f"{left} CROSS JOIN {right}"
        return f"{left} {side or 'INNER'} JOIN {right} ON {condition}"

    def _join_condition(
        self,
        join: exp.Join,
        before: list[Relation],
        added: list[Relation],
        side: str,
        scope: Scope,
        ctes: Ctes,
    ) -> str | None:
        if using := join.args.get("using"):
            return self._using(using, before, added, side, scope)
        on = join.args.get("on")
        if on is None:
            return None
        writer = self._expressions(scope, ctes, {})
        condition = writer.condition(on, "JOIN ON")
        prunable = {"": before + added, "LEFT": added, "RIGHT": before}.get(side, [])
        Pruner(writer, _leaves(prunable)).note(on)
        return condition

    def _using(
        self,
        names: Sequence[exp.Expr],
        before: list[Relation],
        added: list[Relation],
        side: str,
        scope: Scope,
    ) -> str:
        conditions = []
        for identifier in names:
            name, where = identifier.name.lower(), position(identifier)
            a, _ = Scope(before, merged=scope.merged, needs=scope.needs).resolve((name,), where)
            b, _ = Scope(added, needs=scope.needs).resolve((name,), where)
            x, y = together(
                [Typed(a.sql, a.type), Typed(b.sql, b.type)],
                f"{where}Column '{name}' has types {{0}} and {{1}} in JOIN USING",
            )
            conditions.append(f"{x.sql} = {y.sql}")
            sql = {"RIGHT": y.sql, "FULL": f"coalesce({x.sql}, {y.sql})"}.get(side, x.sql)
            scope.merged[name] = Field(name, x.type, sql, identifier.name, needs=Needs({a, b}))
        return " AND ".join(conditions)

    def _table(self, node: exp.Table, ctes: Ctes) -> tuple[str, list[Relation]]:
        for clause in ("sample", "version", "when", "pivots"):
            if node.args.get(clause):
                raise unsupported(node.sql("trino"), position(node))
        if not node.db and node.name.lower() in ctes:
            return self._cte(ctes[node.name.lower()], node)
        table = self._lookup(tuple(part.name.lower() for part in node.parts), position(node))
        if table.view is not None:
            return self._view(table, node)
        return self._leaf(table, node)

    def _cte(self, cte: _Cte, node: exp.Table) -> tuple[str, list[Relation]]:
        alias = self._alias()
        columns = _alias_columns(node)
        query = _named(cte.query, columns)
        fields = [
            renamed(item, alias, f"c{index}", through=cte.once)
            for index, item in enumerate(query.fields)
        ]
        relation = Relation(fields, (node.alias or node.name).lower(), needs=query.needs)
        return f"{quote(cte.name)} AS {quote(alias)}", [relation]

    def _leaf(self, table: Table, node: exp.Table) -> tuple[str, list[Relation]]:
        alias = self._alias()
        leaf = Leaf(table, f"leaf_{alias}")
        self.leaves.append(leaf)
        fields = [
            Field(
                column.name,
                column.type,
                f"{quote(alias)}.{quote(column.name)}",
                column.name,
                (Origin(leaf, column.name),),
            )
            for column in table.all_columns
        ]
        relation = Relation(
            _renamed_fields(fields, _alias_columns(node)),
            (node.alias or table.name).lower(),
            () if node.alias else ("awsdatacatalog", table.database, table.name),
        )
        return f"{quote(leaf.name)} AS {quote(alias)}", [relation]

    def _view(self, table: Table, node: exp.Table) -> tuple[str, list[Relation]]:
        query = self._query(self._parse_view(table), None, {})
        if len(query.fields) != len(table.columns):
            raise QueryFailed(
                "VIEW_IS_STALE",
                f"{position(node)}View '{table.full_name}' is stale or in invalid state: "
                "it has another number of columns than its query",
            )
        kinds = [column.type for column in table.columns]
        for item, kind, column in zip(query.fields, kinds, table.columns, strict=True):
            if common(item.type, kind) is None:
                raise QueryFailed(
                    "VIEW_IS_STALE",
                    f"{position(node)}View '{table.full_name}' is stale or in invalid state: "
                    f"column [{column.name}] of type {item.type} projected from query view cannot "
                    f"be coerced to column [{column.name}] of type {kind} stored in view "
                    "definition",
                )
        query = replace_sql(query, _coerced(query, kinds))
        query.fields = [
            replace(item, name=column.name, shown=column.name, type=column.type)
            for item, column in zip(query.fields, table.columns, strict=True)
        ]
        qualifier = () if node.alias else ("awsdatacatalog", table.database, table.name)
        sql, relations = self._derived(query, node, default=table.name)
        relations[0].qualifier = qualifier
        return sql, relations

    def _derived(
        self, query: Query, node: exp.Expr, default: str = ""
    ) -> tuple[str, list[Relation]]:
        alias = self._alias()
        named = _named(query, _alias_columns(node))
        fields = [renamed(item, alias, f"c{i}") for i, item in enumerate(named.fields)]
        name = (node.alias or default).lower() or None
        relation = Relation(fields, name, needs=query.needs)
        return f"({query.sql}) AS {quote(alias)}", [relation]

    def _values(self, node: exp.Values, scope: Scope, ctes: Ctes) -> tuple[str, list[Relation]]:
        writer = self._expressions(Scope(parent=scope.parent), ctes, {})
        rows = [
            [writer.write(cell) for cell in (r.expressions if isinstance(r, exp.Tuple) else [r])]
            for r in node.expressions
        ]
        if len({len(one) for one in rows}) > 1:
            raise QueryFailed("SYNTAX_ERROR", "Values rows have mismatched sizes")
        columns = [
            together(list(cells), "Values rows have mismatched types: {0} vs {1}")
            for cells in zip(*rows, strict=True)
        ]
        lines = ", ".join(
            f"({', '.join(cell.sql for cell in cells)})" for cells in zip(*columns, strict=True)
        )
        fields = [
            Field(f"_col{i}", cells[0].type, quote(f"c{i}"), f"_col{i}")
            for i, cells in enumerate(columns)
        ]
        names = ", ".join(f"c{i}" for i in range(len(columns)))
        return self._derived(Query(f"SELECT * FROM (VALUES {lines}) AS v({names})", fields), node)

    def _unnest(self, node: exp.Unnest, scope: Scope, ctes: Ctes) -> tuple[str, list[Relation]]:
        outer = replace(scope, relations=list(scope.relations))
        writer = self._expressions(outer, ctes, {})
        parts: list[Typed] = []
        lengths = []
        for item in node.expressions:
            value = writer.write(item)
            lengths.append(f"len({_as_list(value)})")
            parts += list(_unnested(value, position(node)))
        fields = [
            Field(
                f"_col{i}",
                part.type,
                quote(f"c{i}"),
                f"_col{i}",
                needs=Needs(set(scope.needs.fields)),
            )
            for i, part in enumerate(parts)
        ]
        columns = [f"unnest({part.sql}) AS c{i}" for i, part in enumerate(parts)]
        offset = node.args.get("offset")
        if offset:
            longest = f"greatest({', '.join(lengths)}, 0)"
            columns.append(f"unnest(generate_series(1, {longest})) AS c{len(parts)}")
            name = offset.name if isinstance(offset, exp.Identifier) else "ordinality"
            fields.append(Field(name.lower(), Type("bigint"), quote(f"c{len(parts)}"), name))
        query = Query(f"SELECT {', '.join(columns)}", fields)
        if (names := _alias_columns(node)) and offset:
            names = [*names, fields[-1].name] if len(names) < len(fields) else names
        alias = self._alias()
        named = _named(query, names)
        relation = Relation(
            [renamed(item, alias, f"c{i}") for i, item in enumerate(named.fields)],
            node.alias.lower() or None,
        )
        return f"LATERAL ({query.sql}) AS {quote(alias)}", [relation]


class _Select:
    """One SELECT, clause by clause."""

    def __init__(self, analyzer: Analyzer, node: exp.Select, scope: Scope, ctes: Ctes) -> None:
        self.analyzer = analyzer
        self.node = node
        self.scope = scope
        self.ctes = ctes
        self.always = scope.needs
        windows = {w.name.lower(): w for w in node.args.get("windows") or ()}
        self.writer = analyzer._expressions(scope, ctes, windows)
        self.fields: list[Field] = []
        self.written: list[str] = []
        self.keys: set[Field] = set()

    def query(self) -> Query:
        node = self.node
        source = self._from()
        where = self._where()
        self._project()
        group = self._group()
        having = node.args.get("having")
        sql = (
            f"SELECT {'DISTINCT ' if node.args.get('distinct') else ''}{', '.join(self._columns())}"
        )
        sql += source + where + group
        if having:
            sql += f" HAVING {self.writer.condition(having.this, 'HAVING')}"
        sql += self._order()
        limit = _limit(node)
        self._settle(cut=bool(limit))
        return Query(sql + limit, self.fields, self.always)

    def _columns(self) -> Iterator[str]:
        for index, sql in enumerate(self.written):
            yield f"{sql} AS c{index}"

    def _from(self) -> str:
        source = self.node.args.get("from_")
        if source is None:
            return ""
        joins = self.node.args.get("joins") or []
        sql = self.analyzer.joined(source.this, joins, self.scope, self.ctes)
        self.always.relations.update(self.scope.relations)
        return f" FROM {sql}"

    def _where(self) -> str:
        where = self.node.args.get("where")
        if where is None:
            return ""
        sql = self.writer.condition(where.this)
        Pruner(self.writer, _leaves(self.scope.relations)).note(where.this)
        return f" WHERE {sql}"

    def _project(self) -> None:
        for node in self.node.expressions:
            if star := _star(node):
                self._expand(star, node)
            else:
                self._output(node)

    def _output(self, node: exp.Expr) -> None:
        inner = node.this if isinstance(node, exp.Alias) else node
        with self._noting() as needs:
            value = self.writer.write(inner)
        shown = node.alias if isinstance(node, exp.Alias) else _own_name(inner)
        shown = shown or f"_col{len(self.fields)}"
        origins = _passed_origins(needs) if isinstance(inner, exp.Column) else ()
        self._add(Field(shown.lower(), value.type, "", shown, origins, needs), value.sql)

    def _add(self, item: Field, sql: str) -> None:
        item.sql = quote(f"c{len(self.fields)}")
        self.fields.append(item)
        self.written.append(sql)

    def _expand(self, star: exp.Expr, node: exp.Expr) -> None:
        qualifier = (
            tuple(p.name.lower() for p in star.parts[:-1]) if isinstance(star, exp.Column) else ()
        )
        relations = [r for r in self.scope.relations if not qualifier or r.answers_to(qualifier)]
        if not relations:
            name = ".".join(qualifier)
            message = (
                f"Table '{name}' not found"
                if name
                else "SELECT * not allowed in queries without FROM clause"
            )
            raise QueryFailed("SYNTAX_ERROR", f"{position(node)}{message}")
        merged = {} if qualifier else self.scope.merged
        items = [*merged.values()]
        items += [f for r in relations for f in r.fields if f.name not in merged]
        for item in items:
            self._add(replace(item, shown=item.shown or item.name, needs=Needs({item})), item.sql)

    def _group(self) -> str:
        group = self.node.args.get("group")
        if group is None:
            return ""
        if any(group.args.get(part) for part in ("all", "totals")):
            raise unsupported(group.sql("trino"), position(group))
        return f" GROUP BY {', '.join(self._key(item) for item in group.expressions)}"

    def _key(self, node: exp.Expr) -> str:
        if isinstance(node, exp.Rollup | exp.Cube):
            inner = ", ".join(self._key(item) for item in node.expressions)
            return f"{type(node).__name__.upper()} ({inner})"
        if isinstance(node, exp.GroupingSets):
            return f"GROUPING SETS ({', '.join(self._key_set(item) for item in node.expressions)})"
        if isinstance(node, exp.Tuple):
            return self._key_set(node)
        if isinstance(node, exp.Literal) and not node.is_string:
            index = self._ordinal(int(node.name), position(node))
            self.keys.update(self.fields[index].needs.fields)
            return str(index + 1)
        with self._noting() as needs:
            sql = self.writer.write(node).sql
        if isinstance(node, exp.Column):
            self.keys.update(needs.fields)
        self.always.fields.update(needs.fields)
        return sql

    def _key_set(self, node: exp.Expr) -> str:
        items = node.expressions if isinstance(node, exp.Tuple) else [node.unnest()]
        return f"({', '.join(self._key(item) for item in items)})"

    def _ordinal(self, number: int, where: str) -> int:
        if not 1 <= number <= len(self.fields):
            raise QueryFailed(
                "INVALID_COLUMN_REFERENCE",
                f"{where}GROUP BY position {number} is not in select list",
            )
        return number - 1

    def _order(self) -> str:
        order = self.node.args.get("order")
        if order is None:
            return ""
        return " ORDER BY " + ", ".join(self._ordered(item) for item in order.expressions)

    def _ordered(self, node: exp.Ordered) -> str:
        if ordinal := _ordinal(node, self.fields):
            return ordinal
        sql = self._order_expression(node.this)
        if sql in self.written:
            return f"{self.written.index(sql) + 1}{direction(node)}"
        if self.node.args.get("distinct"):
            raise QueryFailed(
                "EXPRESSION_NOT_IN_DISTINCT",
                f"{position(node)}For SELECT DISTINCT, ORDER BY expressions must appear in select "
                "list",
            )
        return sql + direction(node)

    def _order_expression(self, node: exp.Expr) -> str:
        try:
            return self.writer.write(node).sql
        except QueryFailed as failed:
            if failed.code != "COLUMN_NOT_FOUND":
                raise
        outputs = {
            item.name: replace(item, sql=sql)
            for item, sql in zip(self.fields, self.written, strict=True)
        }
        scope = replace(self.scope, lambdas=outputs)
        return self.analyzer._expressions(scope, self.ctes, {}).write(node).sql

    def _settle(self, *, cut: bool) -> None:
        """Forget where a column comes from, when a condition on it may not move below."""
        windows = [w for item in self.node.expressions for w in item.find_all(exp.Window)]
        grouped = self.node.args.get("group") is not None or _aggregates(self.node)
        if self.node.args.get("distinct"):
            self.always.fields.update(self.fields)
        for item in self.fields:
            inner = item.needs.fields
            inside = all(inner <= self._partition(window) for window in windows)
            if cut or (grouped and not inner <= self.keys) or not inside:
                item.origins = ()

    def _partition(self, window: exp.Window) -> set[Field]:
        found: set[Field] = set()
        for node in window.args.get("partition_by") or ():
            if isinstance(node, exp.Column):
                with self._noting() as needs:
                    self.writer.write(node)
                found |= needs.fields
        return found

    @contextmanager
    def _noting(self) -> Iterator[Needs]:
        """Note what is needed inside for one column, not for the rows."""
        kept, self.scope.needs = self.scope.needs, Needs()
        try:
            yield self.scope.needs
        finally:
            self.scope.needs = kept


def replace_sql(query: Query, sql: str) -> Query:
    return Query(sql, query.fields, query.needs)


def _check_clauses(node: exp.Select) -> None:
    known = {
        "expressions", "from_", "joins", "where", "group", "having", "order", "limit", "offset",
        "distinct", "with_", "windows", "kind", "hint",
    }  # fmt: skip
    for name, value in node.args.items():
        if value and name not in known:
            raise unsupported(f"the clause {name.upper().rstrip('_')}", position(node))
    if isinstance(node.args.get("distinct"), exp.Distinct) and node.args["distinct"].args.get("on"):
        raise unsupported("DISTINCT ON", position(node))


def _limit(node: exp.Expr) -> str:
    sql = ""
    if limit := node.args.get("limit"):
        count = limit.args.get("count") if isinstance(limit, exp.Fetch) else limit.expression
        sql += f" LIMIT {int(count.name) if count is not None else 1}"
    if offset := node.args.get("offset"):
        sql += f" OFFSET {int(offset.expression.name)}"
    return sql


def _ordinal(node: exp.Expr, fields: list[Field]) -> str:
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


def _star(node: exp.Expr) -> exp.Expr | None:
    star = node.this if isinstance(node, exp.Column) else node
    if not isinstance(star, exp.Star):
        return None
    if any(star.args.values()):
        raise unsupported(node.sql("trino"), position(node))
    return node


def _own_name(node: exp.Expr) -> str:
    if isinstance(node, exp.Column):
        return node.name
    return node.expression.name if isinstance(node, exp.Dot) else ""


def _passed_origins(needs: Needs) -> tuple[Origin, ...]:
    (only,) = needs.fields if len(needs.fields) == 1 else (None,)
    return only.origins if only is not None else ()


def _aggregates(node: exp.Select) -> bool:
    parts = [*node.expressions, node.args.get("having")]
    return any(
        call.name.lower() in FUNCTIONS and FUNCTIONS[call.name.lower()].kind == "aggregate"
        for part in parts
        if part is not None
        for call in part.find_all(exp.Anonymous)
        if not isinstance(call.parent, exp.Window)
    ) or any(part.find(exp.GroupConcat) for part in parts if part is not None)


def _alias_columns(node: exp.Expr) -> list[str]:
    alias = node.args.get("alias")
    if not isinstance(alias, exp.TableAlias):
        return []
    return [column.name for column in alias.args.get("columns") or ()]


def _named(query: Query, names: Sequence[str]) -> Query:
    """The query with the column names that an alias gives it."""
    if not names:
        return query
    return Query(query.sql, _renamed_fields(query.fields, names), query.needs)


def _renamed_fields(fields: list[Field], names: Sequence[str]) -> list[Field]:
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


def _forget_origins(relations: list[Relation]) -> None:
    """Rows of an outer join's other side may be NULL: conditions above must not reach below."""
    for relation in relations:
        relation.fields = [
            item if not item.needs.fields and not item.origins else _opaque(item)
            for item in relation.fields
        ]


def _opaque(item: Field) -> Field:
    return replace(item, origins=(), needs=Needs({item}))


def _leaves(relations: list[Relation]) -> set[Leaf]:
    return {o.leaf for r in relations for item in r.fields for o in item.origins}


def _unaliased(node: exp.Subquery) -> exp.Expr:
    """The query inside, with the clauses that stand after its parenthesis."""
    if any(node.args.get(part) for part in ("order", "limit", "offset", "with_")):
        return node
    inner: exp.Expr = node.this
    return inner


def _without_joins(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Table) and node.args.get("joins"):
        node = node.copy()
        node.set("joins", None)
    return node


def _matching_types(left: Query, right: Query, word: str, where: str) -> list[Type]:
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


def _coerced(query: Query, kinds: Sequence[Type]) -> str:
    values = [Typed(f"c{i}", item.type) for i, item in enumerate(query.fields)]
    written = [coerce(v, kind).sql for v, kind in zip(values, kinds, strict=True)]
    if written == [v.sql for v in values]:
        return query.sql
    columns = ", ".join(f"{sql} AS c{i}" for i, sql in enumerate(written))
    return f"SELECT {columns} FROM ({query.sql})"


def _merged(left: Field, right: Field, kind: Type) -> Field:
    same = left.type == kind and right.type == kind
    origins = (*left.origins, *right.origins) if same and left.origins and right.origins else ()
    return replace(left, type=kind, origins=origins, needs=Needs({left, right}))


def _as_list(value: Typed) -> str:
    return f"map_keys({value.sql})" if value.type.name == "map" else value.sql


def _unnested(value: Typed, where: str) -> Iterator[Typed]:
    """The columns of UNNEST, as lists: a map gives two, an array of rows one per field."""
    kind = value.type
    if kind.name == "map":
        yield Typed(f"map_keys({value.sql})", kind.args[0])
        yield Typed(f"map_values({value.sql})", kind.args[1])
    elif kind.name == "array" and kind.args[0].name == "row":
        row = kind.args[0]
        for name, part in zip(
            [n or f"field{i}" for i, n in enumerate(row.fields)], row.args, strict=True
        ):
            yield Typed(f"[x.{quote(name)} FOR x IN {value.sql}]", part)
    elif kind.name == "array":
        yield Typed(value.sql, kind.args[0])
    else:
        raise QueryFailed("TYPE_MISMATCH", f"{where}Cannot unnest type: {kind}")


__all__ = ["BOOLEAN", "Analyzer", "Query"]
