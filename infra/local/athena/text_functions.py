"""Trino's functions of text and JSON that need more than a template."""

from __future__ import annotations

import re
from collections.abc import Sequence

from infra.local.athena.errors import QueryFailed, unsupported
from infra.local.athena.functions import special
from infra.local.athena.operators import Typed, coerce
from infra.local.athena.types import UNKNOWN, VARCHAR, Type, array, common, text


@special("concat")
def _concat(arguments: Sequence[Typed], where: str) -> Typed:
    """Joined texts, or arrays (an item may join an array); NULL when one of them is NULL."""
    if all(value.type.is_text or value.type == UNKNOWN for value in arguments):
        return Typed(f"({' || '.join(value.sql for value in arguments)})", VARCHAR)
    if any(value.type.name == "array" for value in arguments):
        return _joined_arrays(arguments, where)
    if all(value.type.name == "varbinary" for value in arguments):
        return Typed(f"({' || '.join(value.sql for value in arguments)})", arguments[0].type)
    given = ", ".join(str(value.type) for value in arguments)
    raise QueryFailed(
        "TYPE_MISMATCH",
        f"{where}Unexpected parameters ({given}) for function concat. "
        "Expected: concat(char(x), char(y)), concat(array(E), E) E, concat(E, array(E)) E, "
        "concat(array(E)) E, concat(varchar), concat(varbinary)",
    )


def _joined_arrays(arguments: Sequence[Typed], where: str) -> Typed:
    kind: Type = UNKNOWN
    for value in arguments:
        item = value.type.args[0] if value.type.name == "array" else value.type
        found = common(kind, item)
        if found is None:
            raise QueryFailed("TYPE_MISMATCH", f"{where}Cannot join {kind} and {item} in an array")
        kind = found
    parts = [
        coerce(value, array(kind)).sql
        if value.type.name == "array"
        else f"[{coerce(value, kind).sql}]"
        for value in arguments
    ]
    return Typed(f"({' || '.join(parts)})", array(kind))


def _regexp_replace(arguments: Sequence[Typed], where: str) -> Typed:
    """Every match is replaced; groups are $1 in Trino and \\1 in the engine."""
    if len(arguments) not in {2, 3}:
        raise QueryFailed(
            "TYPE_MISMATCH", f"{where}Unexpected parameters for function regexp_replace"
        )
    value, pattern = arguments[0].sql, arguments[1].sql
    if len(arguments) == 2:
        return Typed(f"regexp_replace({value}, {pattern}, '', 'g')", VARCHAR)
    if arguments[2].literal is None:
        raise unsupported("regexp_replace with a replacement that is no literal", where)
    replacement = re.sub(r"\$(\d)", r"\\\1", arguments[2].literal.replace("\\", "\\\\"))
    return Typed(f"regexp_replace({value}, {pattern}, {text(replacement)}, 'g')", VARCHAR)


special("regexp_replace")(_regexp_replace)


def cast_json(value: Typed, target: Type, where: str) -> Typed:
    """CAST from and to JSON, which the engine keeps as text."""
    if target.name == "json":
        return Typed(f"CAST(to_json({value.sql}) AS VARCHAR)", target)
    if target.is_text:
        return Typed(f"json_extract_string({value.sql}, '$')", VARCHAR)
    if target.is_number or target.name == "boolean":
        from infra.local.athena.types import duck

        return Typed(f"CAST(json_extract_string({value.sql}, '$') AS {duck(target)})", target)
    if target.name in {"array", "map", "row"}:
        from infra.local.athena.types import duck

        return Typed(f"from_json({value.sql}, {text(_json_shape(target))})::{duck(target)}", target)
    raise unsupported(f"CAST of json to {target}", where)


def _json_shape(kind: Type) -> str:
    from infra.local.athena.types import duck, row_names

    if kind.name == "array":
        return f"[{_json_shape(kind.args[0])}]"
    if kind.name == "row":
        pairs = zip(row_names(kind), kind.args, strict=True)
        return "{" + ",".join(f'"{name}":{_json_shape(arg)}' for name, arg in pairs) + "}"
    return f'"{duck(kind)}"'
