"""One expression of Trino's, resolved, typed and written in DuckDB's SQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from infra.local.athena import collection_functions, text_functions, time_functions
from infra.local.athena.errors import QueryFailed, unsupported
from infra.local.athena.function_names import NOT_YET
from infra.local.athena.functions import FUNCTIONS, Clauses, Function, call
from infra.local.athena.macros import silent
from infra.local.athena.operators import (
    Typed,
    arithmetic,
    as_text,
    cast,
    coerce,
    compare,
    together,
)
from infra.local.athena.scope import Scope, position
from infra.local.athena.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DAY_INTERVAL,
    DOUBLE,
    INTEGER,
    INTERVALS,
    MONTH_INTERVAL,
    TIMESTAMP,
    UNKNOWN,
    VARBINARY,
    VARCHAR,
    Type,
    array,
    decimal,
    from_sqlglot,
    quote,
    row_names,
    text,
)

if TYPE_CHECKING:
    from infra.local.athena.select import Query

_ = (collection_functions, text_functions, time_functions)  # they register their functions

Subqueries = Callable[[exp.Query, Scope], "Query"]
"""Analyzes a query nested in an expression."""

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
_ARITHMETIC: dict[type[exp.Expr], str] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.Mod: "%",
}
_NO_COMMON = (
    "{} must be the same type or coercible to a common type. "
    "Cannot find common type between {{0}} and {{1}}"
)
_INTERVAL_UNITS = {
    "SECOND": DAY_INTERVAL,
    "MINUTE": DAY_INTERVAL,
    "HOUR": DAY_INTERVAL,
    "DAY": DAY_INTERVAL,
    "WEEK": DAY_INTERVAL,
    "MONTH": MONTH_INTERVAL,
    "YEAR": MONTH_INTERVAL,
}


class Expressions:
    """Writes the expressions of one scope."""

    def __init__(self, scope: Scope, subqueries: Subqueries, windows: dict[str, exp.Window]):
        self.scope = scope
        self._subqueries = subqueries
        self._windows = windows

    def write(self, node: exp.Expr) -> Typed:
        """Raises QueryFailed, as Athena would, for what does not resolve or fit."""
        kind = type(node)
        if kind in _COMPARISONS:
            return self._comparison(node)
        if kind in _ARITHMETIC:
            left, right = self.write(node.this), self.write(node.args["expression"])
            return arithmetic(_ARITHMETIC[kind], left, right, position(node))
        writer = _WRITERS.get(kind)
        if writer is None:
            raise unsupported(f"{kind.__name__} ({node.sql('trino')})", position(node))
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

    # Names and literals

    def _column(self, node: exp.Column) -> Typed:
        parts = tuple(part.name.lower() for part in node.parts)
        item, inside = self.scope.resolve(parts, position(node))
        value = Typed(item.sql, item.type)
        for part in inside:
            value = _dereference(value, part, position(node))
        return value

    def _identifier(self, node: exp.Identifier) -> Typed:
        item, _ = self.scope.resolve((node.name.lower(),), position(node))
        return Typed(item.sql, item.type)

    def _dot(self, node: exp.Dot) -> Typed:
        return _dereference(
            self.write(node.this), node.expression.name.lower(), position(node.expression)
        )

    def _literal(self, node: exp.Literal) -> Typed:
        if node.is_string:
            return Typed(text(node.name), Type("varchar", len(node.name)), literal=node.name)
        return number(node.name)

    def _null(self, node: exp.Null) -> Typed:
        return Typed("NULL", UNKNOWN)

    def _boolean(self, node: exp.Boolean) -> Typed:
        return Typed("TRUE" if node.this else "FALSE", BOOLEAN)

    def _hex(self, node: exp.HexString) -> Typed:
        return Typed(f"unhex({text(node.name)})", VARBINARY)

    def _interval(self, node: exp.Interval) -> Typed:
        unit = node.args.get("unit")
        if not isinstance(unit, exp.Var) or unit.name.upper() not in _INTERVAL_UNITS:
            raise unsupported(f"the interval {node.sql('trino')}", position(node))
        sql = f"INTERVAL {text(f'{node.this.name} {unit.name.lower()}')}"
        return Typed(sql, _INTERVAL_UNITS[unit.name.upper()])

    def _paren(self, node: exp.Paren) -> Typed:
        inner = self.write(node.this)
        return Typed(f"({inner.sql})", inner.type, inner.literal)

    def _current_date(self, node: exp.CurrentDate) -> Typed:
        return Typed("current_date", DATE)

    def _current_timestamp(self, node: exp.CurrentTimestamp) -> Typed:
        return time_functions.current_time(3)

    def _localtimestamp(self, node: exp.Localtimestamp) -> Typed:
        return cast(time_functions.current_time(3), TIMESTAMP)

    # Logic

    def _comparison(self, node: exp.Expr) -> Typed:
        operator = _COMPARISONS[type(node)]
        left, right = node.this, node.args["expression"]
        if isinstance(right, exp.Any | exp.All):
            return self._quantified(operator, left, right)
        return Typed(
            compare(operator, self.write(left), self.write(right), position(node)), BOOLEAN
        )

    def _quantified(self, operator: str, left: exp.Expr, right: exp.Any | exp.All) -> Typed:
        value, query = self.write(left), self._subquery_of(right.this)
        together([value, Typed("", query.fields[0].type)], "Cannot compare {0} with {1}")
        word = "ANY" if isinstance(right, exp.Any) else "ALL"
        return Typed(f"({value.sql} {operator} {word} ({query.sql}))", BOOLEAN)

    def _and(self, node: exp.And) -> Typed:
        return self._connected(node, "AND")

    def _or(self, node: exp.Or) -> Typed:
        return self._connected(node, "OR")

    def _connected(self, node: exp.Connector, word: str) -> Typed:
        parts = [self.condition(part, f"Logical expression of {word}") for part in node.flatten()]
        return Typed(f"({f' {word} '.join(parts)})", BOOLEAN)

    def _not(self, node: exp.Not) -> Typed:
        return Typed(f"(NOT {self.condition(node.this, 'NOT')})", BOOLEAN)

    def _is(self, node: exp.Is) -> Typed:
        if not isinstance(node.expression, exp.Null):
            raise unsupported(node.sql("trino"), position(node))
        return Typed(f"({self.write(node.this).sql} IS NULL)", BOOLEAN)

    def _between(self, node: exp.Between) -> Typed:
        where = position(node)
        values = [self.write(node.this), self.write(node.args["low"])]
        values.append(self.write(node.args["high"]))
        complaint = f"{where}Cannot check if {{0}} is BETWEEN {{1}}"
        value, low, high = together(values, complaint)
        return Typed(f"({value.sql} BETWEEN {low.sql} AND {high.sql})", BOOLEAN)

    def _in(self, node: exp.In) -> Typed:
        where, value = position(node), self.write(node.this)
        if query := node.args.get("query"):
            return self._in_query(value, query, where)
        complaint = where + _NO_COMMON.format("IN value and list items")
        first, *items = together([value, *map(self.write, node.expressions)], complaint)
        return Typed(f"({first.sql} IN ({', '.join(i.sql for i in items)}))", BOOLEAN)

    def _in_query(self, value: Typed, node: exp.Expr, where: str) -> Typed:
        query = self._subquery_of(node)
        kinds = [item.type for item in query.fields]
        if value.type.name == "row":
            inner = (
                f"SELECT {_packed(value.type, [f.sql for f in query.fields])} FROM ({query.sql})"
            )
            return Typed(f"({value.sql} IN ({inner}))", BOOLEAN)
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
        inner = query.sql
        if pair[1].sql:
            inner = f"SELECT CAST({query.fields[0].sql} AS {duck_name(pair[1])}) FROM ({inner})"
        return Typed(f"({pair[0].sql} IN ({inner}))", BOOLEAN)

    def _exists(self, node: exp.Exists) -> Typed:
        return Typed(f"EXISTS ({self._subquery_of(node.this).sql})", BOOLEAN)

    def _scalar_subquery(self, node: exp.Subquery) -> Typed:
        query = self._subquery_of(node)
        if len(query.fields) != 1:
            raise QueryFailed(
                "SYNTAX_ERROR",
                f"{position(node)}Multiple columns returned by subquery are not yet supported",
            )
        return Typed(f"({query.sql})", query.fields[0].type)

    def _subquery_of(self, node: exp.Expr) -> Query:
        inner = node.this if isinstance(node, exp.Subquery) and not _has_clauses(node) else node
        if not isinstance(inner, exp.Query):
            raise unsupported(node.sql("trino"), position(node))
        return self._subqueries(inner, self.scope)

    def _like(self, node: exp.Like) -> Typed:
        value, pattern = self.write(node.this), self.write(node.expression)
        for part in (value, pattern):
            if not part.type.is_text and part.type != UNKNOWN:
                raise QueryFailed(
                    "TYPE_MISMATCH",
                    f"{position(node)}Left side of LIKE expression must evaluate to a varchar "
                    f"(actual: {part.type})",
                )
        return Typed(f"({value.sql} LIKE {pattern.sql})", BOOLEAN)

    def _escape(self, node: exp.Escape) -> Typed:
        like, escape = self.write(node.this), self.write(node.expression)
        return Typed(f"({like.sql[1:-1]} ESCAPE {escape.sql})", BOOLEAN)

    # Choices

    def _case(self, node: exp.Case) -> Typed:
        branches = node.args["ifs"]
        results = [self.write(branch.args["true"]) for branch in branches]
        if default := node.args.get("default"):
            results.append(self.write(default))
        complaint = position(node) + _NO_COMMON.format("All CASE results")
        results = together(results, complaint)
        conditions = [self._case_condition(node.this, branch.this) for branch in branches]
        pairs = zip(conditions, results, strict=False)
        sql = " ".join(f"WHEN {when} THEN {then.sql}" for when, then in pairs)
        if default:
            sql += f" ELSE {results[-1].sql}"
        return Typed(f"CASE {sql} END", results[0].type)

    def _case_condition(self, operand: exp.Expr | None, when: exp.Expr) -> str:
        if operand is None:
            return self.condition(when, "CASE WHEN")
        return compare("=", self.write(operand), self.write(when), position(when))

    def _if(self, node: exp.If) -> Typed:
        when = self.condition(node.this, "IF")
        results = [self.write(node.args["true"])]
        if otherwise := node.args.get("false"):
            results.append(self.write(otherwise))
        complaint = f"{position(node)}Result types for IF must be the same: {{0}} vs {{1}}"
        results = together(results, complaint)
        tail = f" ELSE {results[1].sql}" if otherwise else ""
        return Typed(f"CASE WHEN {when} THEN {results[0].sql}{tail} END", results[0].type)

    # Operators

    def _neg(self, node: exp.Neg) -> Typed:
        value = self.write(node.this)
        if not value.type.is_number and value.type.name not in INTERVALS:
            raise QueryFailed("TYPE_MISMATCH", f"{position(node)}Cannot negate {value.type}")
        return Typed(f"(-{value.sql})", value.type)

    def _join_text(self, node: exp.DPipe) -> Typed:
        left, right = self.write(node.this), self.write(node.expression)
        return call(FUNCTIONS["concat"], [left, right], position(node))

    def _cast(self, node: exp.Cast) -> Typed:
        value, target = self.write(node.this), from_sqlglot(node.args["to"])
        if value.literal is not None and target.name.startswith("timestamp"):
            return time_functions.timestamp_literal(value.literal, target, position(node))
        if target.name == "json" or value.type.name == "json":
            return text_functions.cast_json(value, target, position(node))
        return cast(value, target, position(node))

    def _try_cast(self, node: exp.TryCast) -> Typed:
        return _tried(self._cast(node))

    def _at_time_zone(self, node: exp.AtTimeZone) -> Typed:
        value, zone = self.write(node.this), self.write(node.args["zone"])
        return time_functions.at_zone(value, zone, position(node))

    def _extract(self, node: exp.Extract) -> Typed:
        value = self.write(node.expression)
        return time_functions.field_of(node.name.lower(), value, position(node))

    def _substring(self, node: exp.Substring) -> Typed:
        parts = [node.this, node.args.get("start"), node.args.get("length")]
        return self._call("substr", [part for part in parts if part is not None], node)

    def _trim(self, node: exp.Trim) -> Typed:
        side = (node.args.get("position") or "BOTH").upper()
        name = {"BOTH": "trim", "LEADING": "ltrim", "TRAILING": "rtrim"}[side]
        value = self.write(node.this)
        if characters := node.args.get("expression"):
            return Typed(f"{name}({value.sql}, {self.write(characters).sql})", VARCHAR)
        return call(FUNCTIONS[name], [value], position(node))

    def _position(self, node: exp.StrPosition) -> Typed:
        return self._call("strpos", [node.this, node.args["substr"]], node)

    def _array(self, node: exp.Array) -> Typed:
        if not node.expressions:
            return Typed("[]", array(UNKNOWN))
        complaint = f"{position(node)}All ARRAY elements must be the same type: {{0}}, {{1}}"
        items = together([self.write(item) for item in node.expressions], complaint)
        return Typed(f"[{', '.join(item.sql for item in items)}]", array(items[0].type))

    def _tuple(self, node: exp.Tuple) -> Typed:
        return collection_functions.row([self.write(item) for item in node.expressions])

    def _bracket(self, node: exp.Bracket) -> Typed:
        value, index = self.write(node.this), self.write(node.expressions[0])
        return collection_functions.subscript(value, index, position(node))

    # Calls

    def _anonymous(self, node: exp.Anonymous) -> Typed:
        return self._call(node.name, node.expressions, node)

    def _call(
        self, name: str, arguments: list[exp.Expr], node: exp.Expr, tail: str = "", after: str = ""
    ) -> Typed:
        name, where = name.lower(), position(node)
        if name in {"coalesce", "nullif", "try", "typeof"}:
            return self._form(name, arguments, where)
        function = _known(name, where)
        if any(isinstance(argument, exp.Lambda) for argument in arguments):
            return collection_functions.with_lambdas(self, name, arguments, where)
        if function.kind == "scalar":
            if tail:
                raise QueryFailed("FUNCTION_NOT_WINDOW", f"{where}Not a window function: {name}")
            return call(function, [self.write(argument) for argument in arguments], where)
        if function.kind == "window" and " OVER " not in tail:
            raise QueryFailed(
                "SYNTAX_ERROR", f"{where}Window function {name} requires an OVER clause"
            )
        return self._aggregate(function, arguments, where, tail, after)

    def _aggregate(
        self, function: Function, arguments: list[exp.Expr], where: str, tail: str, after: str
    ) -> Typed:
        before = ""
        if arguments and isinstance(arguments[-1], exp.Order):
            order = arguments[-1]
            arguments = [*arguments[:-1], order.this]
            after += f" ORDER BY {', '.join(self.ordered(item) for item in order.expressions)}"
        if arguments and isinstance(arguments[0], exp.Distinct):
            before, arguments = "DISTINCT ", arguments[0].expressions
        if len(arguments) == 1 and isinstance(arguments[0], exp.Star):
            arguments = []
        written = [self.write(argument) for argument in arguments]
        return call(function, written, where, Clauses(before, after, tail))

    def _form(self, name: str, arguments: list[exp.Expr], where: str) -> Typed:
        values = [self.write(argument) for argument in arguments]
        if name == "try":
            return _tried(values[0])
        if name == "typeof":
            return Typed(text(str(values[0].type)), VARCHAR)
        if name == "nullif":
            first, second = together(
                values, f"{where}Types are not comparable with NULLIF: {{0}} vs {{1}}"
            )
            return Typed(
                f"CASE WHEN {first.sql} = {second.sql} THEN NULL ELSE {values[0].sql} END",
                values[0].type,
            )
        complaint = where + _NO_COMMON.format("All COALESCE operands")
        values = together(values, complaint)
        return Typed(f"coalesce({', '.join(v.sql for v in values)})", values[0].type)

    def _listagg(self, node: exp.GroupConcat) -> Typed:
        value, order = node.this, ""
        if isinstance(value, exp.Order):
            order = f" ORDER BY {', '.join(self.ordered(item) for item in value.expressions)}"
            value = value.this
        distinct = isinstance(value, exp.Distinct)
        inner = self.write(value.expressions[0] if distinct else value)
        separator = self.write(node.args["separator"]).sql if node.args.get("separator") else "''"
        word = "DISTINCT " if distinct else ""
        return Typed(f"string_agg({word}{inner.sql}, {separator}{order})", VARCHAR)

    def _filter(self, node: exp.Filter) -> Typed:
        return self._with_tail(node, "", "")

    def _window(self, node: exp.Window) -> Typed:
        return self._with_tail(node.this, f" OVER ({self._over(node)})", "")

    def _nulls(self, node: exp.Expr) -> Typed:
        return self._with_tail(node, "", "")

    def _with_tail(self, node: exp.Expr, tail: str, after: str) -> Typed:
        if isinstance(node, exp.Filter):
            condition = self.condition(node.expression.this, "FILTER")
            return self._with_tail(node.this, f" FILTER (WHERE {condition}){tail}", after)
        if isinstance(node, exp.IgnoreNulls):
            return self._with_tail(node.this, tail, " IGNORE NULLS")
        if isinstance(node, exp.RespectNulls):
            return self._with_tail(node.this, tail, "")
        if not isinstance(node, exp.Anonymous):
            raise unsupported(f"a window over {node.sql('trino')}", position(node))
        return self._call(node.name, node.expressions, node, tail, after)

    def _over(self, node: exp.Window) -> str:
        if name := node.args.get("alias"):
            return self._over(self._named_window(name.name, node))
        base = node.args.get("this")
        inherited = (
            [self._over(self._named_window(base.name, node))]
            if isinstance(base, exp.Identifier)
            and base.name.lower() in self._windows
            and self._windows[base.name.lower()] is not node
            else []
        )
        parts = [*inherited, *self._over_parts(node)]
        return " ".join(parts)

    def _named_window(self, name: str, node: exp.Expr) -> exp.Window:
        if name.lower() not in self._windows:
            raise QueryFailed(
                "INVALID_WINDOW_REFERENCE", f"{position(node)}Cannot resolve WINDOW name {name}"
            )
        return self._windows[name.lower()]

    def _over_parts(self, node: exp.Window) -> list[str]:
        parts = []
        if by := node.args.get("partition_by"):
            parts.append(f"PARTITION BY {', '.join(self.write(item).sql for item in by)}")
        if order := node.args.get("order"):
            parts.append(f"ORDER BY {', '.join(self.ordered(i) for i in order.expressions)}")
        if spec := node.args.get("spec"):
            parts.append(self._frame(spec))
        return parts

    def _frame(self, spec: exp.WindowSpec) -> str:
        kind = str(spec.args.get("kind") or "RANGE").upper()
        start = self._bound(spec.args.get("start"), spec.args.get("start_side"))
        end = self._bound(spec.args.get("end") or "CURRENT ROW", spec.args.get("end_side"))
        return f"{kind} BETWEEN {start} AND {end}"

    def _bound(self, bound: exp.Expr | str | None, side: str | None) -> str:
        value = bound if isinstance(bound, str) else self.write(bound).sql if bound else ""
        return f"{value} {side or ''}".strip()

    def ordered(self, node: exp.Expr) -> str:
        """One item of ORDER BY; Trino puts nulls last, whatever the direction."""
        assert isinstance(node, exp.Ordered)
        return f"{self.write(node.this).sql}{direction(node)}"


def direction(node: exp.Ordered) -> str:
    first = " NULLS FIRST" if node.args.get("nulls_first") else " NULLS LAST"
    return (" DESC" if node.args.get("desc") else " ASC") + first


def number(digits: str) -> Typed:
    """A number literal: with an exponent a double, with a point a decimal, else an integer."""
    if "e" in digits.lower():
        return Typed(f"CAST({digits} AS DOUBLE)", DOUBLE)
    if "." in digits:
        whole, _, fraction = digits.partition(".")
        kind = decimal(max(len(whole.lstrip("0")) + len(fraction), 1), len(fraction))
        return Typed(f"CAST({digits} AS DECIMAL({kind.precision},{kind.scale}))", kind)
    small = int(digits) < 1 << 31
    return Typed(digits if small else f"CAST({digits} AS BIGINT)", INTEGER if small else BIGINT)


def _dereference(value: Typed, name: str, where: str) -> Typed:
    if value.type.name != "row":
        raise QueryFailed(
            "TYPE_MISMATCH", f"{where}Expression {name} is not of type ROW but {value.type}"
        )
    if name not in value.type.fields:
        raise QueryFailed("COLUMN_NOT_FOUND", f"{where}Column '{name}' cannot be resolved")
    index = value.type.fields.index(name)
    return Typed(f"({value.sql}).{quote(row_names(value.type)[index])}", value.type.args[index])


def _packed(kind: Type, values: list[str]) -> str:
    names = row_names(kind)
    return "{" + ", ".join(f"'{n}': {v}" for n, v in zip(names, values, strict=True)) + "}"


def _tried(value: Typed) -> Typed:
    return Typed(f"TRY({silent(value.sql)})", value.type)


def _known(name: str, where: str) -> Function:
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    if name in NOT_YET:
        raise unsupported(f"the function {name}", where)
    raise QueryFailed("FUNCTION_NOT_FOUND", f"{where}Function '{name}' not registered")


def _has_clauses(node: exp.Subquery) -> bool:
    return any(node.args.get(part) for part in ("order", "limit", "offset", "with_"))


def duck_name(value: Typed) -> str:
    from infra.local.athena.types import duck

    return duck(value.type)


_WRITERS: dict[type[exp.Expr], Callable[[Any, Any], Typed]] = {
    exp.Column: Expressions._column,
    exp.Identifier: Expressions._identifier,
    exp.Dot: Expressions._dot,
    exp.Literal: Expressions._literal,
    exp.Null: Expressions._null,
    exp.Boolean: Expressions._boolean,
    exp.HexString: Expressions._hex,
    exp.Interval: Expressions._interval,
    exp.Paren: Expressions._paren,
    exp.CurrentDate: Expressions._current_date,
    exp.CurrentTimestamp: Expressions._current_timestamp,
    exp.Localtimestamp: Expressions._localtimestamp,
    exp.And: Expressions._and,
    exp.Or: Expressions._or,
    exp.Not: Expressions._not,
    exp.Is: Expressions._is,
    exp.Between: Expressions._between,
    exp.In: Expressions._in,
    exp.Exists: Expressions._exists,
    exp.Subquery: Expressions._scalar_subquery,
    exp.Select: Expressions._scalar_subquery,
    exp.Like: Expressions._like,
    exp.Escape: Expressions._escape,
    exp.Case: Expressions._case,
    exp.If: Expressions._if,
    exp.Neg: Expressions._neg,
    exp.DPipe: Expressions._join_text,
    exp.Cast: Expressions._cast,
    exp.TryCast: Expressions._try_cast,
    exp.AtTimeZone: Expressions._at_time_zone,
    exp.Extract: Expressions._extract,
    exp.Substring: Expressions._substring,
    exp.Trim: Expressions._trim,
    exp.StrPosition: Expressions._position,
    exp.Array: Expressions._array,
    exp.Tuple: Expressions._tuple,
    exp.Bracket: Expressions._bracket,
    exp.Anonymous: Expressions._anonymous,
    exp.GroupConcat: Expressions._listagg,
    exp.Filter: Expressions._filter,
    exp.Window: Expressions._window,
    exp.IgnoreNulls: Expressions._nulls,
    exp.RespectNulls: Expressions._nulls,
}

__all__ = ["Expressions", "as_text", "coerce", "direction", "number"]
