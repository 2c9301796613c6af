"""What stands in FROM: tables, views, subqueries, VALUES, UNNEST, and their joins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from infra.local.athena.catalog import Table
from infra.local.athena.comparing import compare
from infra.local.athena.errors import QueryFailed, no_iceberg, unsupported
from infra.local.athena.operators import Typed, together
from infra.local.athena.pruning import Pruner
from infra.local.athena.query import (
    Cte,
    Ctes,
    Query,
    alias_columns,
    coerced,
    named,
    renamed_fields,
    replace_sql,
)
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
from infra.local.athena.types import PATH, VARCHAR, Type, common, quote, row_names

if TYPE_CHECKING:
    from infra.local.athena.analyzer import Analyzer


class Relations:
    """Writes FROM clauses, and puts what they bring into scope."""

    def __init__(self, analyzer: Analyzer) -> None:
        self._analyzer = analyzer

    def relation(self, node: exp.Expr, scope: Scope, ctes: Ctes) -> tuple[str, list[Relation]]:
        """SQL of one item of FROM, and the relations that it brings into scope."""
        if sample := node.args.get("sample"):
            whole = node.copy()
            whole.set("sample", None)
            sql, relations = self.relation(whole, scope, ctes)
            return f"{sql} TABLESAMPLE {sampling(sample)}", relations
        if isinstance(node, exp.Table):
            return self._table(node, ctes)
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table):
            return self._join_group(node.this, scope, ctes)
        if isinstance(node, exp.Subquery):
            return self._derived(self._analyzer.query(_unaliased(node), scope.parent, ctes), node)
        if isinstance(node, exp.Lateral):
            inner = node.this
            query = self._analyzer.query(
                inner, replace(scope, relations=list(scope.relations)), ctes
            )
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
        _check_parts(join, "this", "side", "kind", "method", "on", "using")
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
        writer = self._analyzer.expressions(scope, ctes, {})
        condition = writer.condition(on, "JOIN ON")
        prunable = {"": before + added, "LEFT": added, "RIGHT": before}.get(side, [])
        Pruner(writer, leaves_of(prunable)).note(on)
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
            conditions.append(compare("=", x, y, where, joins=True))
            sql = {"RIGHT": y.sql, "FULL": f"coalesce({x.sql}, {y.sql})"}.get(side, x.sql)
            scope.merged[name] = Field(name, x.type, sql, identifier.name, needs=Needs({a, b}))
        return " AND ".join(conditions)

    def _table(self, node: exp.Table, ctes: Ctes) -> tuple[str, list[Relation]]:
        if node.args.get("version"):
            raise no_iceberg(node.args["version"].sql("trino"), position(node))
        _check_parts(node, "this", "db", "catalog", "alias")
        if not node.db and node.name.lower() in ctes:
            return self._cte(ctes[node.name.lower()], node)
        table = self._analyzer.lookup(
            tuple(part.name.lower() for part in node.parts), position(node)
        )
        if table.view is not None:
            return self._view(table, node)
        return self._leaf(table, node)

    def _cte(self, cte: Cte, node: exp.Table) -> tuple[str, list[Relation]]:
        alias = self._analyzer.alias()
        columns = alias_columns(node)
        query = named(cte.query, columns)
        fields = [
            renamed(item, alias, f"c{index}", through=cte.once)
            for index, item in enumerate(query.fields)
        ]
        relation = Relation(fields, (node.alias or node.name).lower(), needs=query.needs)
        return f"{quote(cte.name)} AS {quote(alias)}", [relation]

    def _leaf(self, table: Table, node: exp.Table) -> tuple[str, list[Relation]]:
        alias = self._analyzer.alias()
        leaf = Leaf(table, f"leaf_{alias}")
        self._analyzer.leaves.append(leaf)
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
            renamed_fields(fields, alias_columns(node)),
            (node.alias or table.name).lower(),
            () if node.alias else ("awsdatacatalog", table.database, table.name),
            hidden=[
                Field(PATH, VARCHAR, f"{quote(alias)}.{quote(PATH)}", PATH, (Origin(leaf, PATH),))
            ],
        )
        return f"{quote(leaf.name)} AS {quote(alias)}", [relation]

    def _view(self, table: Table, node: exp.Table) -> tuple[str, list[Relation]]:
        query = self._analyzer.query(self._analyzer.parse_view(table), None, {})
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
        query = replace_sql(query, coerced(query, kinds))
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
        alias = self._analyzer.alias()
        labelled = named(query, alias_columns(node))
        fields = [renamed(item, alias, f"c{i}") for i, item in enumerate(labelled.fields)]
        name = (node.alias or default).lower() or None
        relation = Relation(fields, name, needs=query.needs)
        return f"({query.sql}) AS {quote(alias)}", [relation]

    def _values(self, node: exp.Values, scope: Scope, ctes: Ctes) -> tuple[str, list[Relation]]:
        writer = self._analyzer.expressions(Scope(parent=scope.parent), ctes, {})
        rows = [
            _cells([writer.write(c) for c in (r.expressions if isinstance(r, exp.Tuple) else [r])])
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
        writer = self._analyzer.expressions(outer, ctes, {})
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
        if (names := alias_columns(node)) and offset:
            names = [*names, fields[-1].name] if len(names) < len(fields) else names
        alias = self._analyzer.alias()
        labelled = named(query, names)
        relation = Relation(
            [renamed(item, alias, f"c{i}") for i, item in enumerate(labelled.fields)],
            node.alias.lower() or None,
        )
        return f"LATERAL ({query.sql}) AS {quote(alias)}", [relation]


def _cells(written: list[Typed]) -> list[Typed]:
    """One row of VALUES: several cells, or a single row that holds them."""
    first = written[0]
    if len(written) > 1 or first.type.name != "row":
        return written
    parts = zip(row_names(first.type), first.type.args, strict=True)
    return [Typed(f"({first.sql}).{quote(name)}", kind) for name, kind in parts]


def _check_parts(node: exp.Expr, *known: str) -> None:
    """Raises NOT_SUPPORTED for a part of an item of FROM that nothing looks at."""
    if any(value and name not in known for name, value in node.args.items()):
        raise unsupported(node.sql("trino").strip(), position(node))


def sampling(sample: exp.TableSample) -> str:
    method, share = sample.args.get("method"), sample.args.get("percent")
    name = method.name.upper() if method is not None else ""
    if name not in {"BERNOULLI", "SYSTEM"} or not isinstance(share, exp.Literal):
        raise unsupported(sample.sql("trino").strip(), position(sample))
    return f"{name.lower()}({float(share.name)}%)"


def _forget_origins(relations: list[Relation]) -> None:
    """Rows of an outer join's other side may be NULL: conditions above must not reach below."""
    for relation in relations:
        relation.fields = [
            item if not item.needs.fields and not item.origins else _opaque(item)
            for item in relation.fields
        ]


def _opaque(item: Field) -> Field:
    return replace(item, origins=(), needs=Needs({item}))


def leaves_of(relations: list[Relation]) -> set[Leaf]:
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
