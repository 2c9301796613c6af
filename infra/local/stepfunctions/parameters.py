"""Task parameters checked as Step Functions checks them before it calls the service. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

_WANTED: dict[str, tuple[str, tuple[type, ...]]] = {
    "structure": ("an OBJECT", (dict,)),
    "map": ("an OBJECT", (dict,)),
    "list": ("an ARRAY", (list,)),
    "string": ("a STRING", (str,)),
    "boolean": ("a BOOLEAN", (bool,)),
    "integer": ("an INTEGER", (int,)),
    "long": ("a LONG", (int,)),
    "float": ("a FLOAT", (int, float)),
    "double": ("a DOUBLE", (int, float)),
    "timestamp": ("a TIMESTAMP", (str, int, float)),
}


def parameter_problems(
    shape: Any, value: Any, field: str = "", *, spelled: Callable[[str], str] = str
) -> Iterator[str]:
    """What is wrong with the types of a task's parameters, by a botocore shape.

    spelled: how the states language spells a member's name.

    Lengths, patterns and enumerations are the service's business.
    """
    noun, types = _WANTED[shape.type_name]
    fits: bool = isinstance(value, types) and isinstance(value, bool) <= (noun == "a BOOLEAN")
    if not fits:
        yield f"The value for the field '{field}' must be {noun}"
    elif shape.type_name == "structure":
        yield from _structure_problems(shape, value, spelled)
    elif shape.type_name == "list":
        for member in value:
            yield from parameter_problems(shape.member, member, field, spelled=spelled)
    elif shape.type_name == "map":
        for key, member in value.items():
            yield from parameter_problems(shape.value, member, key, spelled=spelled)


def _structure_problems(
    shape: Any, value: Mapping[str, Any], spelled: Callable[[str], str]
) -> Iterator[str]:
    for name in map(spelled, shape.required_members):
        if name not in value:
            yield f"The field '{name}' is required but was missing"
    members = {spelled(name): member for name, member in shape.members.items()}
    for name, inner in value.items():
        if name not in members:
            yield f"The field '{name}' is not supported by Step Functions"
        else:
            yield from parameter_problems(members[name], inner, name, spelled=spelled)
