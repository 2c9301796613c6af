"""What a name means inside a query: fields of relations, and where they come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sqlglot import exp

from infra.local.athena.errors import QueryFailed
from infra.local.athena.types import Type, quote

if TYPE_CHECKING:
    from infra.local.athena.catalog import Table


@dataclass(eq=False)
class Leaf:
    """One reference to a Glue table; `name` stands for it in the SQL until files are known."""

    table: Table
    name: str
    used: set[str] = field(default_factory=set)
    """Columns that the query really reads."""
    predicates: list[str] = field(default_factory=list)
    """Conditions on the partition columns that every row read must meet, in DuckDB's SQL."""
    fixed: dict[str, list[str]] = field(default_factory=dict)
    """Values that the query names for a partition column: it equals one of them."""


@dataclass(frozen=True)
class Origin:
    """A field that is a leaf's column, unchanged."""

    leaf: Leaf
    column: str


@dataclass(eq=False)
class Needs:
    """What must be read for something: the fields of other relations, followed on demand."""

    fields: set[Field] = field(default_factory=set)
    relations: set[Relation] = field(default_factory=set)


@dataclass(eq=False)
class Field:
    """A column of a relation, as SQL of the engine.

    name: as it is found by; lower case. shown: as the result shows it.
    """

    name: str
    type: Type
    sql: str
    shown: str = ""
    origins: tuple[Origin, ...] = ()
    needs: Needs = field(default_factory=Needs)


@dataclass(eq=False)
class Relation:
    """Something that stands in FROM."""

    fields: list[Field]
    alias: str | None = None
    """What the query calls it, lower case."""
    qualifier: tuple[str, ...] = ()
    """Catalog, database and table, for names that are written out."""
    needs: Needs = field(default_factory=Needs)
    """What must be read for its rows, whatever columns are asked."""
    hidden: list[Field] = field(default_factory=list)
    """Columns that have to be named to be seen: "$path"."""

    def answers_to(self, parts: tuple[str, ...]) -> bool:
        if len(parts) == 1:
            return parts[0] == self.alias
        return bool(self.qualifier) and self.qualifier[-len(parts) :] == parts


def reach(*starts: Needs) -> None:
    """Mark the columns of every leaf that these need."""
    waiting, seen = list(starts), set(starts)
    while waiting:
        needs = waiting.pop()
        for item in needs.fields:
            for origin in item.origins if _is_leaf(item) else ():
                origin.leaf.used.add(origin.column)
        further = [f.needs for f in needs.fields] + [r.needs for r in needs.relations]
        waiting.extend(part for part in further if part not in seen)
        seen.update(further)


def _is_leaf(item: Field) -> bool:
    return not item.needs.fields and not item.needs.relations


@dataclass(eq=False)
class Scope:
    """The relations that a SELECT's expressions may name, and the scopes around it."""

    relations: list[Relation] = field(default_factory=list)
    parent: Scope | None = None
    merged: dict[str, Field] = field(default_factory=dict)
    """Columns that USING made one."""
    needs: Needs = field(default_factory=Needs)
    """Where resolved fields are noted as needed; swapped per clause."""
    lambdas: dict[str, Field] = field(default_factory=dict)

    def resolve(self, parts: tuple[str, ...], where: str) -> tuple[Field, tuple[str, ...]]:
        """The field that a dotted name means, and the parts that reach inside its row.

        Raises COLUMN_NOT_FOUND as Athena does, or SYNTAX_ERROR for an ambiguous name.
        """
        for scope in self.chain():
            for split in range(len(parts), 0, -1):
                found = scope.matching(parts[:split])
                if len(found) > 1:
                    name = ".".join(parts[:split])
                    raise QueryFailed("AMBIGUOUS_NAME", f"{where}Column '{name}' is ambiguous")
                if found:
                    self.needs.fields.add(found[0])
                    return found[0], parts[split:]
        raise QueryFailed(
            "COLUMN_NOT_FOUND", f"{where}Column '{'.'.join(parts)}' cannot be resolved"
        )

    def chain(self) -> Iterator[Scope]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def matching(self, parts: tuple[str, ...]) -> list[Field]:
        *qualifier, name = parts
        if not qualifier and name in self.lambdas:
            return [self.lambdas[name]]
        if not qualifier and name in self.merged:
            return [self.merged[name]]
        relations = [r for r in self.relations if not qualifier or r.answers_to(tuple(qualifier))]
        columns = [item for r in relations for item in r.fields if item.name == name]
        return columns or [item for r in relations for item in r.hidden if item.name == name]


def renamed(item: Field, alias: str, column: str, *, through: bool = True) -> Field:
    """The field as seen from outside the relation `alias`, which names it `column`."""
    return replace(
        item,
        sql=f"{quote(alias)}.{quote(column)}",
        origins=item.origins if through else (),
        needs=Needs(fields={item}),
    )


def position(node: exp.Expr) -> str:
    """'line 1:8: ' of the first token of an expression, or '' where none is known."""
    places = [part.meta for part in node.walk() if "line" in part.meta and "col" in part.meta]
    if not places:
        return ""
    first = min(places, key=lambda meta: int(meta["start"]))
    return f"line {first['line']}:{first['col'] - (first['end'] - first['start'])}: "
