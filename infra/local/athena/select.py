"""One SELECT, clause by clause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from infra.local.athena.errors import QueryFailed, unsupported
from infra.local.athena.expressions import direction
from infra.local.athena.grouping import check_grouped, is_grouped, makes_totals
from infra.local.athena.pruning import Pruner
from infra.local.athena.query import Ctes, Query, limit_clause, ordinal
from infra.local.athena.relations import leaves_of, sampling
from infra.local.athena.scope import Field, Needs, Origin, Scope, position
from infra.local.athena.types import quote, row_names

if TYPE_CHECKING:
    from infra.local.athena.analyzer import Analyzer


class SelectClause:
    """One SELECT, clause by clause."""

    def __init__(self, analyzer: Analyzer, node: exp.Select, scope: Scope, ctes: Ctes) -> None:
        self.analyzer = analyzer
        self.node = node
        self.scope = scope
        self.ctes = ctes
        self.always = scope.needs
        windows = {w.name.lower(): w for w in node.args.get("windows") or ()}
        self.writer = analyzer.expressions(scope, ctes, windows)
        self.fields: list[Field] = []
        self.written: list[str] = []
        self.keys: set[Field] = set()
        self.key_nodes: list[exp.Expr] = []

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
        grouped = is_grouped(node)
        if grouped:
            self._check_grouped()
        limit = limit_clause(node)
        self._settle(cut=bool(limit) or makes_totals(node), grouped=grouped)
        return Query(sql + limit, self.fields, self.always)

    def _columns(self) -> Iterator[str]:
        for index, sql in enumerate(self.written):
            yield f"{sql} AS c{index}"

    def _from(self) -> str:
        source = self.node.args.get("from_")
        if source is None:
            return ""
        joins = self.node.args.get("joins") or []
        sql = self.analyzer.relations.joined(source.this, joins, self.scope, self.ctes)
        if sample := self.node.args.get("sample"):
            # Of VALUES and queries, sqlglot puts it here; it stands behind the last of them.
            if joins:
                raise unsupported("TABLESAMPLE of a join's last item", position(self.node))
            sql += f" TABLESAMPLE {sampling(sample)}"
        self.always.relations.update(self.scope.relations)
        return f" FROM {sql}"

    def _where(self) -> str:
        where = self.node.args.get("where")
        if where is None:
            return ""
        sql = self.writer.condition(where.this)
        Pruner(self.writer, leaves_of(self.scope.relations)).note(where.this)
        return f" WHERE {sql}"

    def _project(self) -> None:
        for node in self.node.expressions:
            if star := _star(node):
                self._expand(star, node)
            elif row := _row_star(node):
                self._expand_row(row, node.expressions)
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

    def _expand_row(self, node: exp.Dot, aliases: Sequence[exp.Expr]) -> None:
        """(row).*: every field of the row, by other names where AS (…) gives them."""
        with self._noting() as needs:
            value = self.writer.write(node.this)
        if value.type.name != "row":
            raise QueryFailed("TYPE_MISMATCH", f"{position(node)}{value.type} is not a row")
        names = row_names(value.type)
        given = [alias.name for alias in aliases] or value.type.fields
        if len(given) != len(names):
            raise QueryFailed(
                "MISMATCHED_COLUMN_ALIASES",
                f"{position(node)}Column alias list has {len(given)} entries but relation has "
                f"{len(names)} columns",
            )
        for name, own, kind in zip(names, given, value.type.args, strict=True):
            shown = own or f"_col{len(self.fields)}"
            item = Field(shown.lower(), kind, "", shown, needs=needs)
            self._add(item, f"({value.sql}).{quote(name)}")

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
            return self._ordinal_key(node)
        with self._noting() as needs:
            sql = self.writer.write(node).sql
        self.key_nodes.append(node)
        if isinstance(node, exp.Column):
            self.keys.update(needs.fields)
        self.always.fields.update(needs.fields)
        return sql

    def _ordinal_key(self, node: exp.Literal) -> str:
        """GROUP BY 1: the first output; a star's outputs are columns, without a node each."""
        index = self._index(int(node.name), position(node))
        if any(_star(item) for item in self.node.expressions):
            self.keys.update(self.fields[index].needs.fields)
            return str(index + 1)
        item = self.node.expressions[index]
        self.key_nodes.append(item.this if isinstance(item, exp.Alias) else item)
        if isinstance(self.key_nodes[-1], exp.Column):
            self.keys.update(self.fields[index].needs.fields)
        return str(index + 1)

    def _key_set(self, node: exp.Expr) -> str:
        items = node.expressions if isinstance(node, exp.Tuple) else [node.unnest()]
        return f"({', '.join(self._key(item) for item in items)})"

    def _index(self, number: int, where: str) -> int:
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
        if place := ordinal(node, self.fields):
            return place
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
        return self.analyzer.expressions(scope, self.ctes, {}).write(node).sql

    def _check_grouped(self) -> None:
        order, having = self.node.args.get("order"), self.node.args.get("having")
        items = [item for item in self.node.expressions if not _star(item)]
        items = [item.this if isinstance(item, exp.Alias) else item for item in items]
        sorted_by = [item.this for item in order.expressions] if order else []
        names = {item.name for item in self.fields}
        items += [
            i for i in sorted_by if not isinstance(i, exp.Column) or i.name.lower() not in names
        ]
        items += [having.this] if having else []
        check_grouped(items, self.key_nodes, self._is_key)

    def _is_key(self, column: exp.Column) -> bool:
        with self._noting() as needs:
            self.writer.write(column)
        own = {item for relation in self.scope.relations for item in relation.fields}
        return not needs.fields & own or needs.fields <= self.keys

    def _settle(self, *, cut: bool, grouped: bool) -> None:
        """Forget where a column comes from, when a condition on it may not move below."""
        windows = [w for item in self.node.expressions for w in item.find_all(exp.Window)]
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


def check_clauses(node: exp.Select) -> None:
    known = {
        "expressions", "from_", "joins", "where", "group", "having", "order", "limit", "offset",
        "distinct", "with_", "windows", "kind", "hint", "sample",
    }  # fmt: skip
    if not node.expressions:
        raise QueryFailed("SYNTAX_ERROR", f"{position(node)}SELECT without columns")
    for name, value in node.args.items():
        if value and name not in known:
            raise unsupported(f"the clause {name.upper().rstrip('_')}", position(node))
    if isinstance(node.args.get("distinct"), exp.Distinct) and node.args["distinct"].args.get("on"):
        raise unsupported("DISTINCT ON", position(node))


def _star(node: exp.Expr) -> exp.Expr | None:
    star = node.this if isinstance(node, exp.Column) else node
    if not isinstance(star, exp.Star):
        return None
    if any(star.args.values()):
        raise unsupported(node.sql("trino"), position(node))
    return node


def _row_star(node: exp.Expr) -> exp.Dot | None:
    dot = node.this if isinstance(node, exp.Aliases) else node
    return dot if isinstance(dot, exp.Dot) and isinstance(dot.expression, exp.Star) else None


def _own_name(node: exp.Expr) -> str:
    if isinstance(node, exp.Column):
        return node.name
    return node.expression.name if isinstance(node, exp.Dot) else ""


def _passed_origins(needs: Needs) -> tuple[Origin, ...]:
    (only,) = needs.fields if len(needs.fields) == 1 else (None,)
    return only.origins if only is not None else ()
