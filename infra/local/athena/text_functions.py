"""Trino's concat: of texts, bytes and arrays."""

from __future__ import annotations

from collections.abc import Sequence

from infra.local.athena.errors import QueryFailed
from infra.local.athena.functions import special
from infra.local.athena.operators import Typed, coerce
from infra.local.athena.types import UNKNOWN, VARCHAR, Type, array, common


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
