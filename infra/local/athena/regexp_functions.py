"""Trino's functions of regular expressions: by the engine's RE2, or by Python's beyond it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sqlglot import exp

from infra.local.athena import patterns
from infra.local.athena.errors import QueryFailed
from infra.local.athena.functions import Special, special
from infra.local.athena.operators import Typed, coerce
from infra.local.athena.types import BIGINT, BOOLEAN, INTEGER, UNKNOWN, VARCHAR, Type, array, text

if TYPE_CHECKING:
    from infra.local.athena.lambda_functions import Lambdas

Parts = Sequence[Typed]


def _takes(name: str, *counts: int) -> Callable[[Special], Special]:
    """Register a function of a text, a pattern and more; check how many and which they are."""

    def register(write: Special) -> Special:
        def checked(arguments: Parts, where: str) -> Typed:
            fits = len(arguments) in counts and all(
                a.type.is_text or a.type == UNKNOWN for a in arguments[:2]
            )
            if not fits:
                given = ", ".join(str(a.type) for a in arguments)
                raise QueryFailed(
                    "TYPE_MISMATCH",
                    f"{where}Unexpected parameters ({given}) for function {name}. "
                    f"Expected: {name}(varchar, varchar)",
                )
            return write(arguments, where)

        special(name)(checked)
        return write

    return register


def _by_python(pattern: Typed, *, groups: bool = False) -> bool:
    """Whether the engine's own expressions would fail or differ; a literal is checked here."""
    if pattern.literal is None:
        return True
    try:
        known = patterns.compiled(pattern.literal)
    except ValueError as exc:
        code, _, message = str(exc).partition(": ")
        if code != "NOT_SUPPORTED":
            raise QueryFailed(code, message) from exc
        return False
    return patterns.needs_python(pattern.literal, groups=groups and known.groups > 0)


def _group(arguments: Parts) -> str:
    return coerce(arguments[2], BIGINT).sql if len(arguments) > 2 else "0"


def _check_group(arguments: Parts) -> None:
    """A literal group of a literal pattern can be checked before the query runs."""
    pattern, group = arguments[1].literal, _group(arguments)
    if pattern is None or not group.isdigit():
        return
    try:
        known = patterns.compiled(pattern).groups
    except ValueError:
        return
    if int(group) > known:
        raise QueryFailed(
            "INVALID_FUNCTION_ARGUMENT",
            f"Pattern has {known} groups. Cannot access group {group}",
        )


@_takes("regexp_like", 2)
def _like(arguments: Parts, where: str) -> Typed:
    name = "athena_regexp_like" if _by_python(arguments[1]) else "regexp_matches"
    return Typed(f"{name}({arguments[0].sql}, {arguments[1].sql})", BOOLEAN)


@_takes("regexp_extract", 2, 3)
def _extract(arguments: Parts, where: str) -> Typed:
    _check_group(arguments)
    value, pattern, group = arguments[0].sql, arguments[1].sql, _group(arguments)
    if group == "0" and not _by_python(arguments[1]):
        found = f"regexp_extract({value}, {pattern})"
        return Typed(f"CASE WHEN regexp_matches({value}, {pattern}) THEN {found} END", VARCHAR)
    if group.isdigit() and not _by_python(arguments[1], groups=True):
        found = f"regexp_extract({value}, {pattern}, {group})"
        return Typed(f"CASE WHEN regexp_matches({value}, {pattern}) THEN {found} END", VARCHAR)
    return Typed(f"athena_regexp_extract({value}, {pattern}, {group})[1]", VARCHAR)


@_takes("regexp_extract_all", 2, 3)
def _extract_all(arguments: Parts, where: str) -> Typed:
    _check_group(arguments)
    value, pattern, group = arguments[0].sql, arguments[1].sql, _group(arguments)
    plain = group.isdigit() and not _by_python(arguments[1], groups=group != "0")
    name = "regexp_extract_all" if plain else "athena_regexp_extract_all"
    return Typed(f"{name}({value}, {pattern}, {group})", array(VARCHAR))


@_takes("regexp_count", 2)
def _count(arguments: Parts, where: str) -> Typed:
    return Typed(f"athena_regexp_count({arguments[0].sql}, {arguments[1].sql})", BIGINT)


@_takes("regexp_split", 2)
def _split(arguments: Parts, where: str) -> Typed:
    return Typed(f"athena_regexp_split({arguments[0].sql}, {arguments[1].sql})", array(VARCHAR))


@_takes("regexp_position", 2, 3, 4)
def _position(arguments: Parts, where: str) -> Typed:
    more = [coerce(a, BIGINT).sql for a in arguments[2:]]
    start, occurrence = [*more, "1", "1"][:2]
    sql = f"athena_regexp_position({arguments[0].sql}, {arguments[1].sql}, {start}, {occurrence})"
    return Typed(f"CAST({sql} AS INTEGER)", INTEGER)


_PLAIN_REPLACEMENT = re.compile(r"(?:[^$\\]|\$\d(?!\d))*")


@_takes("regexp_replace", 2, 3)
def _replace(arguments: Parts, where: str) -> Typed:
    """Every match is replaced; groups are $1 in Trino and \\1 in the engine."""
    value, pattern = arguments[0].sql, arguments[1].sql
    replacement = arguments[2] if len(arguments) > 2 else Typed("''", VARCHAR, literal="")
    literal = replacement.literal
    simple = literal is not None and _PLAIN_REPLACEMENT.fullmatch(literal)
    if literal is None or not simple or _by_python(arguments[1]):
        return Typed(f"athena_regexp_replace({value}, {pattern}, {replacement.sql})", VARCHAR)
    written = text(re.sub(r"\$(\d)", r"\\\1", literal))
    return Typed(f"regexp_replace({value}, {pattern}, {written}, 'g')", VARCHAR)


def replace_with(lambdas: Lambdas, arguments: list[exp.Expr]) -> Typed:
    """regexp_replace with a lambda over each match's groups."""
    value, pattern = (lambdas.value(argument) for argument in arguments[:2])
    pieces = f"athena_regexp_pieces({value.sql}, {pattern.sql})"
    groups: Type = array(VARCHAR)
    body = lambdas.applied(arguments[2], [Typed("m.groups", groups)])
    parts = f"list_transform(({pieces}).matches, lambda m: m.before || coalesce({body.sql}, ''))"
    return Typed(f"(array_to_string({parts}, '') || ({pieces}).tail)", VARCHAR)
