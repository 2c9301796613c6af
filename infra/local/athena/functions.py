"""Trino's functions that the local Athena knows: how they bind to types, how they are written."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from infra.local.athena.decimals import by_text
from infra.local.athena.errors import QueryFailed
from infra.local.athena.function_table import AGGREGATES, SCALARS, WINDOWS
from infra.local.athena.operators import Typed, coerce
from infra.local.athena.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DAY_INTERVAL,
    DOUBLE,
    INTEGER,
    JSON,
    MONTH_INTERVAL,
    REAL,
    TIMESTAMP,
    TIMESTAMP_TZ,
    UNKNOWN,
    VARBINARY,
    VARCHAR,
    Type,
    array,
    coercible,
    common,
    decimal,
    duck,
)

Kind = Literal["scalar", "aggregate", "window"]
Special = Callable[[Sequence[Typed], str], Typed]
"""Writes a call by itself; the second argument is the position for messages."""


@dataclass(frozen=True)
class Signature:
    """One overload. `parameters` and `returns` are patterns; a capital letter stands for a type.

    N is any number, T, U, K and V are any types. `template` takes the arguments as {0}, {1}, …,
    or as {args}; `variadic` repeats the last parameter.
    """

    parameters: tuple[str, ...]
    returns: str
    template: str
    variadic: bool


@dataclass(frozen=True)
class Function:
    name: str
    kind: Kind
    signatures: tuple[Signature, ...] = ()
    special: Special | None = None


_NAMED = {
    "boolean": BOOLEAN,
    "integer": INTEGER,
    "bigint": BIGINT,
    "real": REAL,
    "double": DOUBLE,
    "varchar": VARCHAR,
    "varbinary": VARBINARY,
    "date": DATE,
    "timestamp": TIMESTAMP,
    "timestamptz": TIMESTAMP_TZ,
    "json": JSON,
    "interval": DAY_INTERVAL,
    "months": MONTH_INTERVAL,
    "decimal(1,0)": decimal(1, 0),
    "decimal(38,0)": decimal(38, 0),
}
_LINE = re.compile(r"(\w+)\((.*?)\) -> (.*?) = (.*)")


def _read_table(table: str, kind: Kind) -> dict[str, Function]:
    found: dict[str, list[Signature]] = {}
    for line in filter(None, map(str.strip, table.splitlines())):
        match = _LINE.fullmatch(line)
        assert match is not None, line
        name, parameters, returns, template = match.groups()
        variadic = parameters.endswith("...")
        parts = tuple(_split(parameters.removesuffix("...")))
        found.setdefault(name, []).append(Signature(parts, returns, template, variadic))
    return {name: Function(name, kind, tuple(found[name])) for name in found}


def _split(parameters: str) -> list[str]:
    """Split at commas that no parenthesis holds."""
    return [part for part in re.split(r",\s*(?![^()]*\))", parameters) if part]


FUNCTIONS: dict[str, Function] = {
    **_read_table(SCALARS, "scalar"),
    **_read_table(AGGREGATES, "aggregate"),
    **_read_table(WINDOWS, "window"),
}


def special(name: str, kind: Kind = "scalar") -> Callable[[Special], Special]:
    """Register a function whose SQL no template can say."""

    def register(write: Special) -> Special:
        FUNCTIONS[name] = Function(name, kind, special=write)
        return write

    return register


@dataclass(frozen=True)
class Clauses:
    """What an aggregate or window call carries besides its arguments."""

    before: str = ""
    """DISTINCT, before the first argument."""
    after: str = ""
    """ORDER BY or IGNORE NULLS, after the last argument."""
    tail: str = ""
    """FILTER and OVER, after the call."""


PLAIN = Clauses()
CORE = "\u00a7"


def call(
    function: Function, arguments: Sequence[Typed], where: str, clauses: Clauses = PLAIN
) -> Typed:
    """The call in DuckDB's SQL. Raises Trino's complaint when no overload takes the types."""
    if function.special is not None:
        return function.special(arguments, where)
    if function.name in _OF_DECIMALS and arguments and arguments[0].type.name == "decimal":
        return _write(_OF_DECIMALS[function.name](arguments[0].type), arguments, clauses)
    for exact in (True, False):
        for signature in function.signatures:
            bound = _bind(signature, [argument.type for argument in arguments], exact=exact)
            if bound is not None:
                wanted, letters = bound
                written = [coerce(a, kind) for a, kind in zip(arguments, wanted, strict=True)]
                template = (signature.template, _build(signature.returns, letters))
                return _write(template, written, clauses)
    raise wrong_parameters(function, arguments, where)


def wrong_parameters(function: Function, arguments: Sequence[Typed], where: str) -> QueryFailed:
    given = ", ".join(str(argument.type) for argument in arguments)
    wanted = ", ".join(f"{function.name}({', '.join(s.parameters)})" for s in function.signatures)
    return QueryFailed(
        "TYPE_MISMATCH",
        f"{where}Unexpected parameters ({given}) for function {function.name}. Expected: {wanted}",
    )


def _bind(
    signature: Signature, kinds: list[Type], *, exact: bool
) -> tuple[list[Type], dict[str, Type]] | None:
    """The type that each argument is to have, and what the type letters stand for."""
    patterns = list(signature.parameters)
    if signature.variadic:
        patterns += patterns[-1:] * (len(kinds) - len(patterns))
    if len(patterns) != len(kinds):
        return None
    letters: dict[str, Type] = {}
    if not all(_match(p, kind, letters, exact) for p, kind in zip(patterns, kinds, strict=True)):
        return None
    return [_build(p, letters, kind) for p, kind in zip(patterns, kinds, strict=True)], letters


def _match(pattern: str, kind: Type, letters: dict[str, Type], exact: bool) -> bool:
    if pattern in _NAMED:
        wanted = _NAMED[pattern]
        if kind.name == wanted.name or (kind.is_text and wanted == VARCHAR):
            return True
        return not exact and (kind == UNKNOWN or coercible(kind, wanted))
    if pattern == "decimal":
        return kind.name == "decimal"
    if len(pattern) == 1:
        return _match_letter(pattern, kind, letters)
    outer, inner = pattern[:-1].split("(", 1)
    if kind == UNKNOWN:
        return not exact and all(p in letters or letters.setdefault(p, UNKNOWN) for p in inner)
    parts = _split(inner)
    return kind.name == outer and all(
        _match(part, arg, letters, exact) for part, arg in zip(parts, kind.args, strict=False)
    )


def _match_letter(letter: str, kind: Type, letters: dict[str, Type]) -> bool:
    if letter == "N" and not (kind.is_number or kind == UNKNOWN):
        return False
    found = common(letters[letter], kind) if letter in letters else kind
    if found is None:
        return False
    letters[letter] = found
    return True


def _build(pattern: str, letters: dict[str, Type], given: Type | None = None) -> Type:
    if pattern in _NAMED:
        wanted = _NAMED[pattern]
        return given if given is not None and given.name == wanted.name else wanted
    if pattern == "decimal":
        return given or Type("decimal", 38, 0)
    if len(pattern) == 1:
        return letters[pattern]
    outer, inner = pattern[:-1].split("(", 1)
    if outer == "array":
        return array(_build(inner, letters))
    parts = tuple(_build(part, letters) for part in _split(inner))
    return Type(outer, args=parts, fields=(None,) * len(parts) if outer == "row" else ())


def _write(template: tuple[str, Type], arguments: Sequence[Typed], clauses: Clauses) -> Typed:
    text, returns = template
    written = [argument.sql for argument in arguments]
    if written:
        written[0] = clauses.before + written[0]
        written[-1] += clauses.after
    sql = text.replace("{args}", ", ".join(written)).replace("{returns}", duck(returns))
    sql = re.sub(r"\{(\d)\}", lambda m: written[int(m[1])], sql)
    if CORE in sql:
        return Typed(sql.replace(CORE, clauses.tail), returns)
    return Typed(sql + clauses.tail, returns)


def _sum(kind: Type) -> tuple[str, Type]:
    return "sum({0})", decimal(38, kind.scale or 0)


def _average(kind: Type) -> tuple[str, Type]:
    return by_text(f"sum({{0}}){CORE}", f"count({{0}}){CORE}", kind), kind


_OF_DECIMALS = {"sum": _sum, "avg": _average}
"""Aggregates whose type follows the decimal's digits: template and type."""
