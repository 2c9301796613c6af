"""Requests checked against botocore's own model of the API, with the service's messages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import botocore.session

from infra.local.service import AwsError

_TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float, str),
}


@cache
def service_model(service: str = "sagemaker") -> Any:
    return botocore.session.get_session().get_service_model(service)


def check_request(
    operation: str,
    request: Mapping[str, Any],
    *,
    service: str = "sagemaker",
    code: str = "ValidationException",
) -> None:
    """Raises AwsError with every part of the request that is wrong; code: the service's own."""
    shape = service_model(service).operation_model(operation).input_shape
    problems = list(shape_problems(shape, request, ""))
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected"
        raise AwsError(code, f"{count}: {'; '.join(problems)}")


def shape_problems(shape: Any, value: Any, where: str) -> Iterator[str]:
    """What is wrong with a value, in the words that the service uses."""
    kind = shape.type_name
    wanted = _TYPES.get(kind)
    if wanted and not (
        isinstance(value, wanted) and isinstance(value, bool) <= (kind == "boolean")
    ):
        yield _failed(value, where, f"Member must be of type {kind}")
        return
    yield from _constraint_problems(shape, value, where)
    if kind == "structure":
        yield from _member_problems(shape, value, where)
    elif kind == "list":
        for index, member in enumerate(value, start=1):
            yield from shape_problems(shape.member, member, f"{where}.{index}.member")
    elif kind == "map":
        for key, member in value.items():
            yield from shape_problems(shape.key, key, f"{where}.key")
            yield from shape_problems(shape.value, member, f"{where}.{key}.member")


def _member_problems(shape: Any, value: Mapping[str, Any], where: str) -> Iterator[str]:
    for name in shape.required_members:
        if name not in value:
            yield _failed(None, _path(where, name), "Member must not be null")
    for name, member in value.items():
        if name not in shape.members:
            yield f"Unknown parameter '{_path(where, name)}'"
        else:
            yield from shape_problems(shape.members[name], member, _path(where, name))


def _constraint_problems(shape: Any, value: Any, where: str) -> Iterator[str]:
    rules = shape.metadata
    size = (
        value if isinstance(value, int | float) else len(value) if hasattr(value, "__len__") else 0
    )
    noun = "value" if isinstance(value, int | float) else "length"
    if "min" in rules and size < rules["min"]:
        yield _failed(
            value, where, f"Member must have {noun} greater than or equal to {rules['min']}"
        )
    if "max" in rules and size > rules["max"]:
        yield _failed(value, where, f"Member must have {noun} less than or equal to {rules['max']}")
    if "enum" in rules and value not in rules["enum"]:
        allowed = ", ".join(rules["enum"])
        yield _failed(value, where, f"Member must satisfy enum value set: [{allowed}]")
    if "pattern" in rules and not _matches(rules["pattern"], value):
        yield _failed(
            value, where, f"Member must satisfy regular expression pattern: {rules['pattern']}"
        )


@cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except re.error:  # Java's \\p{L} and the like, which Python does not know
        return None


def _matches(pattern: str, value: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is None or compiled.fullmatch(value) is not None


def _path(where: str, name: str) -> str:
    name = name[0].lower() + name[1:]
    return f"{where}.{name}" if where else name


def _failed(value: Any, where: str, constraint: str) -> str:
    shown = "null" if value is None else f"'{value}'"
    return f"Value {shown} at '{where}' failed to satisfy constraint: {constraint}"
