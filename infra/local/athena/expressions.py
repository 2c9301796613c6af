"""One expression of Trino's, resolved, typed and written in DuckDB's SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from sqlglot import exp

from infra.local.athena.errors import QueryFailed, unsupported
from infra.local.athena.operators import Typed
from infra.local.athena.scope import Scope, position
from infra.local.athena.types import BOOLEAN, UNKNOWN

if TYPE_CHECKING:
    from infra.local.athena.query import Query

Subqueries = Callable[[exp.Query, Scope], "Query"]
"""Analyzes a query nested in an expression."""
NO_COMMON = (
    "{} must be the same type or coercible to a common type. "
    "Cannot find common type between {{0}} and {{1}}"
)

_Writer = TypeVar("_Writer", bound=Callable[..., Typed])
_WRITERS: dict[type[exp.Expr], Callable[[Expressions, Any], Typed]] = {}


_REFUSED: dict[type[exp.Expr], tuple[str, ...]] = {
    exp.Between: ("symmetric",),
    exp.Bracket: ("json_access", "safe"),
    exp.Cast: ("action", "default", "format"),
    exp.TryCast: ("action", "default", "format"),
    exp.CurrentDate: ("this",),
    exp.CurrentTimestamp: ("this",),
    exp.Exists: ("expression",),
    exp.In: ("field", "unnest", "is_global"),
    exp.Is: ("negate",),
    exp.StrPosition: ("position", "occurrence"),
    exp.Trim: ("collation",),
    exp.Window: ("first",),
}
"""What the parser understands of an expression and no writer looks at."""


def writes(*kinds: type[exp.Expr]) -> Callable[[_Writer], _Writer]:
    """Register the function that writes expressions of these kinds."""

    def register(writer: _Writer) -> _Writer:
        _WRITERS.update(dict.fromkeys(kinds, writer))
        return writer

    return register


class Expressions:
    """Writes the expressions of one scope.

    windows: the SELECT's WINDOW clause, by lower-case name.
    """

    def __init__(
        self, scope: Scope, subqueries: Subqueries, windows: Mapping[str, exp.Window]
    ) -> None:
        self.scope = scope
        self.subqueries = subqueries
        self.windows = windows

    def write(self, node: exp.Expr) -> Typed:
        """Raises QueryFailed, as Athena would, for what does not resolve or fit."""
        writer = _WRITERS.get(type(node))
        if writer is None or any(node.args.get(part) for part in _REFUSED.get(type(node), ())):
            name = type(node).__name__
            raise unsupported(f"{name} ({node.sql('trino')})", position(node))
        return writer(self, node)

    def condition(self, node: exp.Expr, clause: str = "WHERE") -> str:
        """A boolean expression's SQL."""
        found = self.write(node)
        if found.type not in (BOOLEAN, UNKNOWN):
            raise QueryFailed(
                "TYPE_MISMATCH",
                f"{position(node)}{clause} clause must evaluate to a boolean: "
                f"actual type {found.type}",
            )
        return found.sql

    def ordered(self, node: exp.Expr) -> str:
        """One item of ORDER BY; Trino puts nulls last, whatever the direction."""
        assert isinstance(node, exp.Ordered)
        return f"{self.write(node.this).sql}{direction(node)}"


def direction(node: exp.Ordered) -> str:
    first = " NULLS FIRST" if node.args.get("nulls_first") else " NULLS LAST"
    return (" DESC" if node.args.get("desc") else " ASC") + first
