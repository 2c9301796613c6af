"""Bodies of requests, bounded before they are parsed."""

from __future__ import annotations

import re
from typing import Any

import orjson

from serving.errors import InvalidRequest

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_BRACKETS = re.compile(rb"[\[\]{}]")


def parse_instances(body: bytes, *, max_instances: int, max_depth: int) -> list[Any]:
    """The `instances` of a predict body. Raises InvalidRequest naming what is wrong."""
    return parse_list("instances", body, most=max_instances, max_depth=max_depth)


def parse_list(name: str, body: bytes, *, most: int, max_depth: int) -> list[Any]:
    """The list that is all of a body. Raises InvalidRequest naming what is wrong."""
    example = f'Send {{"{name}": [{{…}}]}}.'
    if not is_shallow(body, max_depth) and json_depth(body) > max_depth:
        raise InvalidRequest(f"The JSON nests deeper than {max_depth} levels.", field="body")
    request = parse_object(body, remedy=example)
    if unknown := sorted(set(request) - {name}):
        raise InvalidRequest(
            f"The body has an unknown field '{unknown[0]}'.", field=unknown[0], remedy=example
        )
    found = request.get(name)
    if not isinstance(found, list) or not found:
        raise InvalidRequest(
            f"'{name}' must be a list of at least one object.", field=name, remedy=example
        )
    if len(found) > most:
        raise InvalidRequest(
            f"'{name}' has {len(found)} entries, {most} are allowed.",
            field=name,
            remedy="Split them over several requests.",
        )
    return found


def is_shallow(body: bytes, max_depth: int) -> bool:
    """Whether there are too few brackets to nest deeper, wherever they stand."""
    return body.count(b"{") + body.count(b"[") <= max_depth


def parse_object(body: bytes, *, remedy: str) -> dict[str, Any]:
    """The object that is a body. Raises InvalidRequest."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise InvalidRequest(f"The body is no JSON: {exc}.", field="body", remedy=remedy) from exc
    if not isinstance(request, dict):
        raise InvalidRequest("The body is no object.", field="body", remedy=remedy)
    return request


def json_depth(body: bytes) -> int:
    """How deep brackets nest outside of strings, without parsing."""
    depth = deepest = 0
    for bracket in _BRACKETS.findall(_STRING.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest
