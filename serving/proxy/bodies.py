"""Bodies of requests, bounded before they are parsed."""

from __future__ import annotations

import re
from typing import Any

import orjson

from serving.errors import InvalidRequest

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_BRACKETS = re.compile(rb"[\[\]{}]")
_EXAMPLE = '{"instances": [{…}]}'


def parse_instances(body: bytes, *, max_instances: int, max_depth: int) -> list[Any]:
    """The `instances` of a predict body. Raises InvalidRequest naming what is wrong."""
    if json_depth(body) > max_depth:
        raise InvalidRequest(f"The JSON nests deeper than {max_depth} levels.", field="body")
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise InvalidRequest(
            f"The body is no JSON: {exc}.", field="body", remedy=f"Send {_EXAMPLE}."
        ) from exc
    if not isinstance(request, dict):
        raise InvalidRequest("The body is no object.", field="body", remedy=f"Send {_EXAMPLE}.")
    if unknown := sorted(set(request) - {"instances"}):
        raise InvalidRequest(
            f"The body has an unknown field '{unknown[0]}'.",
            field=unknown[0],
            remedy=f"Send {_EXAMPLE}.",
        )
    return _checked(request.get("instances"), max_instances)


def _checked(instances: Any, limit: int) -> list[Any]:
    if not isinstance(instances, list) or not instances:
        raise InvalidRequest(
            "'instances' must be a list of at least one object.",
            field="instances",
            remedy=f"Send {_EXAMPLE}.",
        )
    if len(instances) > limit:
        raise InvalidRequest(
            f"'instances' has {len(instances)} entries, {limit} are allowed.",
            field="instances",
            remedy="Split them over several requests.",
        )
    return instances


def json_depth(body: bytes) -> int:
    """How deep brackets nest outside of strings, without parsing."""
    depth = deepest = 0
    for bracket in _BRACKETS.findall(_STRING.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest
