"""JSON documents: the canonical form of Trino's JSON type, and SQL's path language over them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from infra.local.athena.formatting import invalid

_STEP = re.compile(
    r"""\s*(?:\.\s*(?P<name>[A-Za-z_][\w]*|\*)|\.\s*"(?P<quoted>(?:[^"\\]|\\.)*)"
    |\[\s*(?P<subscript>\*|[^\]]*)\s*\])""",
    re.VERBOSE,
)
_RANGE = re.compile(r"(\d+|last(?:\s*-\s*\d+)?)(?:\s+to\s+(\d+|last(?:\s*-\s*\d+)?))?")


class Verbatim(str):
    """A number in the digits that it was written in."""


def _read(text: str) -> Any:
    return json.loads(text)


def write(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def parse(text: str) -> str:
    """The document without blanks, its keys in order. Raises for what is no JSON."""
    try:
        value = _read(text)
    except ValueError as exc:
        raise invalid(f"Cannot convert value to JSON: '{text}'") from exc
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def exact_scalar(text: str, path: str) -> list[str]:
    """A path's scalar in the very digits that it is written in, as a list of none or one."""
    try:
        value = json.loads(text, parse_float=Verbatim, parse_int=Verbatim)
    except ValueError:
        return []
    for step in re.findall(r'\."((?:[^"\\]|\\.)*)"|\[(\d+)\]', path):
        key = int(step[1]) if step[1] else step[0].replace('\\"', '"')
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return []
    if value is None or isinstance(value, dict | list):
        return []
    return [{True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)]


def item(text: str, index: int) -> list[str]:
    """json_array_get's element; a text without its quotes, as Trino has it."""
    try:
        value = _read(text)
    except ValueError:
        return []
    if not isinstance(value, list) or not -len(value) <= index < len(value):
        return []
    found = value[index]
    return [found if isinstance(found, str) else write(found)]


def contains(text: str, wanted: str) -> bool | None:
    """Whether an array holds a scalar; NULL for what is no array."""
    try:
        value = _read(text)
    except ValueError:
        return None
    if not isinstance(value, list):
        return None
    scalar = _read(wanted)
    return any(type(one) is type(scalar) and one == scalar for one in value)


@lru_cache(maxsize=256)
def read_path(path: str) -> tuple[bool, list[tuple[str, Any]]]:
    """SQL's path as its mode (strict or not) and steps. Raises NOT_SUPPORTED by name."""
    found = re.fullmatch(r"\s*(lax|strict)\s*\$(.*)", path, re.DOTALL)
    if found is None:
        raise ValueError(f"INVALID_PATH: '{path}' starts neither with lax $ nor with strict $")
    rest, steps = found[2], []
    while rest.strip():
        step = _STEP.match(rest)
        if step is None or rest[step.end() :].lstrip().startswith("("):
            raise ValueError(
                "NOT_SUPPORTED: The local Athena does not support filters, methods and arithmetic "
                f"in a JSON path: {path}"
            )
        steps.append(_step(step, path))
        rest = rest[step.end() :]
    return found[1] == "strict", steps


def _step(step: re.Match[str], path: str) -> tuple[str, Any]:
    if step["subscript"] is not None:
        return ("items", None) if step["subscript"] == "*" else ("at", step["subscript"].strip())
    if step["name"] == "*":
        return "values", None
    return "member", step["name"] or re.sub(r"\\(.)", r"\1", step["quoted"])


class _PathError(Exception):
    """The document does not have what a strict path asks for."""


def path_items(text: str, path: str) -> list[str] | None:
    """The items that a path finds, each as JSON; None where JSON or path are in error."""
    strict, steps = read_path(path)
    try:
        items = [_read(text)]
        for kind, argument in steps:
            items = list(_walk(items, kind, argument, strict=strict))
    except (ValueError, _PathError) as exc:
        if isinstance(exc, ValueError) and "NOT_SUPPORTED" in str(exc):
            raise
        return None
    return [write(one) for one in items]


def _walk(items: list[Any], kind: str, argument: Any, *, strict: bool) -> Iterator[Any]:
    for one in items:
        if kind in {"member", "values"}:
            yield from _members(one, kind, argument, strict=strict)
        else:
            if strict and not isinstance(one, list):
                raise _PathError
            values = one if isinstance(one, list) else [one]
            yield from values if kind == "items" else _elements(values, argument, strict=strict)


def _members(one: Any, kind: str, name: str, *, strict: bool) -> Iterator[Any]:
    holders = one if isinstance(one, list) and not strict else [one]
    for holder in holders:
        if not isinstance(holder, dict):
            if strict:
                raise _PathError
        elif kind == "values":
            yield from holder.values()
        elif name in holder:
            yield holder[name]
        elif strict:
            raise _PathError


def _elements(values: list[Any], subscripts: str, *, strict: bool) -> Iterator[Any]:
    for part in subscripts.split(","):
        found = _RANGE.fullmatch(part.strip())
        if found is None:
            raise ValueError(f"NOT_SUPPORTED: The local Athena does not support [{subscripts}]")
        first = _index(found[1], len(values))
        last = _index(found[2], len(values)) if found[2] else first
        if strict and not 0 <= first <= last < len(values):
            raise _PathError
        yield from (values[i] for i in range(max(first, 0), last + 1) if i < len(values))


def _index(written: str, size: int) -> int:
    if written.isdigit():
        return int(written)
    return size - 1 - int(written.partition("-")[2] or 0)


_EXTRACT_STEP = re.compile(
    r"""\.(?P<name>[\w-]+)|\[(?P<index>\d+)\]|\["(?P<quoted>(?:[^"\\]|\\.)*)"\]|\[(?P<bare>[\w-]+)\]"""
)


def extraction_path(path: str) -> str:
    """json_extract's path in the engine's words. Raises INVALID_FUNCTION_ARGUMENT."""
    rest, written = path.removeprefix("$"), "$"
    if rest == path and path[:1] not in {"."}:
        rest = f".{path}"
    while rest:
        step = _EXTRACT_STEP.match(rest)
        if step is None:
            raise invalid(f"Invalid JSON path: '{path}'")
        if step["index"]:
            written += f"[{step['index']}]"
        else:
            name = step["name"] or step["quoted"] or step["bare"]
            written += f'."{name}"'
        rest = rest[step.end() :]
    return written
