"""Calls of functions: scalar ones, aggregates with their clauses, windows."""

from __future__ import annotations

from sqlglot import exp

from infra.local.athena import lambda_functions
from infra.local.athena.comparing import compare
from infra.local.athena.errors import QueryFailed, unsupported
from infra.local.athena.expressions import NO_COMMON, Expressions, writes
from infra.local.athena.function_names import NOT_YET
from infra.local.athena.functions import FUNCTIONS, Clauses, Function, call
from infra.local.athena.macros import silent
from infra.local.athena.operators import Typed, together
from infra.local.athena.scope import position
from infra.local.athena.types import BIGINT, VARCHAR, text


@writes(exp.Substring)
def _substring(writer: Expressions, node: exp.Substring) -> Typed:
    parts = [node.this, node.args.get("start"), node.args.get("length")]
    return _call(writer, "substr", [part for part in parts if part is not None], node)


@writes(exp.Trim)
def _trim(writer: Expressions, node: exp.Trim) -> Typed:
    side = (node.args.get("position") or "BOTH").upper()
    name = {"BOTH": "trim", "LEADING": "ltrim", "TRAILING": "rtrim"}[side]
    value = writer.write(node.this)
    if characters := node.args.get("expression"):
        return Typed(f"{name}({value.sql}, {writer.write(characters).sql})", VARCHAR)
    return call(FUNCTIONS[name], [value], position(node))


@writes(exp.StrPosition)
def _position(writer: Expressions, node: exp.StrPosition) -> Typed:
    return _call(writer, "strpos", [node.this, node.args["substr"]], node)


@writes(exp.Anonymous)
def _anonymous(writer: Expressions, node: exp.Anonymous) -> Typed:
    return _call(writer, node.name, node.expressions, node)


def _call(
    writer: Expressions,
    name: str,
    arguments: list[exp.Expr],
    node: exp.Expr,
    tail: str = "",
    after: str = "",
) -> Typed:
    name, where = name.lower(), position(node)
    if name in _FORMS:
        return _form(writer, name, arguments, where)
    if name == "normalize" and len(arguments) == 2:
        arguments = [arguments[0], exp.Literal.string(arguments[1].name.upper())]
    function = _known(name, where)
    if any(isinstance(argument, exp.Lambda) for argument in arguments):
        return lambda_functions.with_lambdas(writer, name, arguments, where, tail)
    if function.kind == "scalar":
        if tail:
            raise QueryFailed("FUNCTION_NOT_WINDOW", f"{where}Not a window function: {name}")
        return call(function, [writer.write(argument) for argument in arguments], where)
    if function.kind == "window" and " OVER " not in tail:
        raise QueryFailed("SYNTAX_ERROR", f"{where}Window function {name} requires an OVER clause")
    return _aggregate(writer, function, arguments, where, tail, after)


_FORMS = {"coalesce", "nullif", "try", "typeof", "grouping"}


def _aggregate(
    writer: Expressions,
    function: Function,
    arguments: list[exp.Expr],
    where: str,
    tail: str,
    after: str,
) -> Typed:
    before = ""
    if arguments and isinstance(arguments[-1], exp.Order):
        order = arguments[-1]
        arguments = [*arguments[:-1], order.this]
        after += f" ORDER BY {', '.join(writer.ordered(item) for item in order.expressions)}"
    if arguments and isinstance(arguments[0], exp.Distinct):
        before, arguments = "DISTINCT ", arguments[0].expressions
    if len(arguments) == 1 and isinstance(arguments[0], exp.Star):
        arguments = []
    written = [writer.write(argument) for argument in arguments]
    return call(function, written, where, Clauses(before, after, tail))


def _form(writer: Expressions, name: str, arguments: list[exp.Expr], where: str) -> Typed:
    values = [writer.write(argument) for argument in arguments]
    if name == "grouping":
        return Typed(f"CAST(grouping({', '.join(v.sql for v in values)}) AS BIGINT)", BIGINT)
    if name == "try":
        return tried(values[0])
    if name == "typeof":
        return Typed(text(str(values[0].type)), VARCHAR)
    if name == "nullif":
        first, second = together(
            values, f"{where}Types are not comparable with NULLIF: {{0}} vs {{1}}"
        )
        equal = compare("=", first, second, where)
        return Typed(
            f"CASE WHEN {equal} THEN NULL ELSE {values[0].sql} END",
            values[0].type,
        )
    complaint = where + NO_COMMON.format("All COALESCE operands")
    values = together(values, complaint)
    return Typed(f"coalesce({', '.join(v.sql for v in values)})", values[0].type)


@writes(exp.GroupConcat)
def _listagg(writer: Expressions, node: exp.GroupConcat, tail: str = "") -> Typed:
    value, order = node.this, ""
    if isinstance(value, exp.Order):
        order = f" ORDER BY {', '.join(writer.ordered(item) for item in value.expressions)}"
        value = value.this
    distinct = isinstance(value, exp.Distinct)
    inner = writer.write(value.expressions[0] if distinct else value)
    separator = writer.write(node.args["separator"]).sql if node.args.get("separator") else "''"
    word = "DISTINCT " if distinct else ""
    return Typed(f"string_agg({word}{inner.sql}, {separator}{order}){tail}", VARCHAR)


@writes(exp.Filter)
def _filter(writer: Expressions, node: exp.Filter) -> Typed:
    return _with_tail(writer, node, "", "")


@writes(exp.Window)
def _window(writer: Expressions, node: exp.Window) -> Typed:
    over = f" OVER ({_over(writer, node)})"
    if _is_rising_maximum(node):
        return _call(writer, "last_value", node.this.expressions, node, over, " IGNORE NULLS")
    return _with_tail(writer, node.this, over, "")


def _is_rising_maximum(node: exp.Window) -> bool:
    """Whether it is the running maximum of what its rows are in order of, or of null.

    Then it is the last of these values, which DuckDB finds in a third of the time.
    """
    call, order, spec = node.this, node.args.get("order"), node.args.get("spec")
    if not isinstance(call, exp.Anonymous) or call.name.lower() != "max":
        return False
    if order is None or spec is None or len(call.expressions) != 1:
        return False
    frame = (spec.args.get(part) for part in ("kind", "start", "start_side"))
    if tuple(frame) != ("ROWS", "UNBOUNDED", "PRECEDING"):
        return False
    if spec.args.get("end") != "CURRENT ROW" and spec.args.get("end_side") != "PRECEDING":
        return False
    case, first = call.expressions[0], order.expressions[0]
    if not isinstance(case, exp.Case) or case.this or case.args.get("default"):
        return False
    values = [branch.args["true"] for branch in case.args["ifs"]]
    return not first.args.get("desc") and all(value == first.this for value in values)


@writes(exp.IgnoreNulls, exp.RespectNulls)
def _nulls(writer: Expressions, node: exp.Expr) -> Typed:
    return _with_tail(writer, node, "", "")


def _with_tail(writer: Expressions, node: exp.Expr, tail: str, after: str) -> Typed:
    if isinstance(node, exp.Filter):
        condition = writer.condition(node.expression.this, "FILTER")
        return _with_tail(writer, node.this, f" FILTER (WHERE {condition}){tail}", after)
    if isinstance(node, exp.IgnoreNulls):
        return _with_tail(writer, node.this, tail, " IGNORE NULLS")
    if isinstance(node, exp.RespectNulls):
        return _with_tail(writer, node.this, tail, "")
    if isinstance(node, exp.GroupConcat) and " OVER " not in tail:
        return _listagg(writer, node, tail)
    if not isinstance(node, exp.Anonymous):
        raise unsupported(f"a window over {node.sql('trino')}", position(node))
    return _call(writer, node.name, node.expressions, node, tail, after)


def _over(writer: Expressions, node: exp.Window) -> str:
    base = node.args.get("alias")
    inherited = [_over(writer, _named_window(writer, base.name, node))] if base else []
    parts = [*inherited, *_over_parts(writer, node)]
    return " ".join(parts)


def _named_window(writer: Expressions, name: str, node: exp.Expr) -> exp.Window:
    if name.lower() not in writer.windows:
        raise QueryFailed(
            "INVALID_WINDOW_REFERENCE", f"{position(node)}Cannot resolve WINDOW name {name}"
        )
    return writer.windows[name.lower()]


def _over_parts(writer: Expressions, node: exp.Window) -> list[str]:
    parts = []
    if by := node.args.get("partition_by"):
        parts.append(f"PARTITION BY {', '.join(writer.write(item).sql for item in by)}")
    if order := node.args.get("order"):
        parts.append(f"ORDER BY {', '.join(writer.ordered(i) for i in order.expressions)}")
    if spec := node.args.get("spec"):
        parts.append(_frame(writer, spec))
    return parts


def _frame(writer: Expressions, spec: exp.WindowSpec) -> str:
    kind = str(spec.args.get("kind") or "RANGE").upper()
    start = _bound(writer, spec.args.get("start"), spec.args.get("start_side"))
    end = _bound(writer, spec.args.get("end") or "CURRENT ROW", spec.args.get("end_side"))
    return f"{kind} BETWEEN {start} AND {end}"


def _bound(writer: Expressions, bound: exp.Expr | str | None, side: str | None) -> str:
    value = bound if isinstance(bound, str) else writer.write(bound).sql if bound else ""
    return f"{value} {side or ''}".strip()


def tried(value: Typed) -> Typed:
    return Typed(f"TRY({silent(value.sql)})", value.type)


def _known(name: str, where: str) -> Function:
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    if name in NOT_YET:
        raise unsupported(f"the function {name}", where)
    raise QueryFailed("FUNCTION_NOT_FOUND", f"{where}Function '{name}' not registered")
