"""Which conditions of a query decide on partitions alone, so that the rest is never read."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from infra.local.athena.expressions import Expressions
from infra.local.athena.scope import Field, Leaf, Scope
from infra.local.athena.types import quote


class _NotOfThePartition(Exception):
    """The condition needs more than the leaf's partition columns."""


@dataclass(eq=False)
class _PartitionScope(Scope):
    """Resolves names as the query does, but only to partition columns of one leaf."""

    outer: Scope | None = None
    leaf: Leaf | None = None

    def resolve(self, parts: tuple[str, ...], where: str) -> tuple[Field, tuple[str, ...]]:
        assert self.outer is not None
        assert self.leaf is not None
        kept, needs = self.outer.needs, type(self.outer.needs)()
        self.outer.needs = needs
        try:
            item, inside = self.outer.resolve(parts, where)
        finally:
            self.outer.needs = kept
        keys = {column.name for column in self.leaf.table.partition_keys}
        for origin in item.origins:
            if origin.leaf is self.leaf and origin.column in keys and not inside:
                return Field(item.name, item.type, quote(origin.column)), ()
        raise _NotOfThePartition


class Pruner:
    """Notes a query's conditions on the leaves whose rows they all must meet."""

    def __init__(self, writer: Expressions, leaves: set[Leaf]) -> None:
        self._writer = writer
        self._leaves = [leaf for leaf in leaves if leaf.table.partition_keys]

    def note(self, condition: exp.Expr) -> None:
        for leaf in self._leaves:
            for part in _conjuncts(condition):
                found = self._narrowed(part, leaf)
                if found is not None:
                    leaf.predicates.append(found)
                    leaf.fixed.update(self._fixed(part, leaf))

    def _narrowed(self, node: exp.Expr, leaf: Leaf) -> str | None:
        """The part of a condition that the partition columns decide; None when none is."""
        if isinstance(node, exp.Paren):
            return self._narrowed(node.this, leaf)
        if isinstance(node, exp.And):
            parts = [self._narrowed(part, leaf) for part in node.flatten()]
            decided = [part for part in parts if part is not None]
            return f"({' AND '.join(decided)})" if decided else None
        if isinstance(node, exp.Or):
            parts = [self._narrowed(part, leaf) for part in node.flatten()]
            known = [part for part in parts if part is not None]
            return f"({' OR '.join(known)})" if len(known) == len(parts) else None
        return self._decided(node, leaf)

    def _fixed(self, node: exp.Expr, leaf: Leaf) -> dict[str, list[str]]:
        """A column and the literals that it must equal one of; empty for another condition."""
        if isinstance(node, exp.In) and not node.args.get("query"):
            column, items = node.this, node.expressions
        elif isinstance(node, exp.EQ):
            column, items = node.this, [node.expression]
            if isinstance(column, exp.Literal):
                column, items = node.expression, [node.this]
        else:
            return {}
        if not isinstance(column, exp.Column) or not all(isinstance(i, exp.Literal) for i in items):
            return {}
        parts = tuple(part.name.lower() for part in column.parts)
        item, _ = _PartitionScope(outer=self._writer.scope, leaf=leaf).resolve(parts, "")
        return {item.sql[1:-1]: [literal.name for literal in items]}

    def _decided(self, node: exp.Expr, leaf: Leaf) -> str | None:
        if node.find(exp.Query, exp.Window, exp.Lambda) or not node.find(exp.Column):
            return None
        scope = _PartitionScope(outer=self._writer.scope, leaf=leaf)
        try:
            return Expressions(scope, self._writer.subqueries, {}).condition(node)
        except _NotOfThePartition:
            return None


def _conjuncts(node: exp.Expr) -> list[exp.Expr]:
    if isinstance(node, exp.And):
        return [inner for part in node.flatten() for inner in _conjuncts(part)]
    return _conjuncts(node.this) if isinstance(node, exp.Paren) else [node]
