"""Is a state machine what Step Functions and the called services will accept? Asked before deploy.

`statelint` knows the language; botocore's own models know what every called API takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import botocore.session
from botocore.exceptions import UnknownServiceError
from botocore.model import OperationModel, Shape
from statelint.linter import Linter

from mlops.errors import InputError

_RESOURCE = re.compile(
    r"arn:aws[a-z-]*:states:::(?P<sdk>aws-sdk:)?(?P<service>[a-z0-9-]+):"
    r"(?P<action>[A-Za-z0-9]+)(?:\.(?P<pattern>sync(?::2)?|waitForTaskToken))?"
)
_SERVICES = {"sfn": "stepfunctions"}
_PYTHON = {
    "string": (str,),
    "character": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (str,),
}
_JSON_TEXTS = {("sns", "Message"), ("sns", "MessageStructure"), ("sqs", "MessageBody")}
"""Text members for which Step Functions also takes JSON, and writes it as text."""
_MAX_DEFINITION = 1024 * 1024


def check_definition(definition: Mapping[str, Any], *, size: int) -> None:
    """Raises InputError with every problem of a state machine. size: of its JSON, in bytes."""
    problems = [str(p) for p in Linter.validate(dict(definition))]
    for name, state in definition.get("States", {}).items():
        problems += [f"state '{name}': {problem}" for problem in _check_state(state)]
    if size > _MAX_DEFINITION:
        problems.append(f"{size} bytes are more than the {_MAX_DEFINITION} of a state machine")
    if problems:
        listed = "\n- ".join(problems)
        raise InputError(f"The state machine would not run as written:\n- {listed}")


def _check_state(state: Mapping[str, Any]) -> Iterator[str]:
    if state.get("Type") != "Task":
        return
    resource = state.get("Resource", "")
    found = _RESOURCE.fullmatch(resource)
    if not found:
        yield f"Resource '{resource}' is no service integration that is known here"
        return
    operation = _operation(found["service"], found["action"])
    if operation is None:
        yield f"Resource '{resource}': there is no such API"
        return
    if found["sdk"] and found["pattern"] == "sync":
        yield f"Resource '{resource}': SDK integrations cannot wait for a job"
    if operation.input_shape is not None:
        parameters = state.get("Parameters", {})
        yield from _check(parameters, operation.input_shape, "Parameters", found["service"])


@cache
def _operation(service: str, action: str) -> OperationModel | None:
    """botocore's model of an action; Step Functions writes its first letter small."""
    try:
        model = botocore.session.get_session().get_service_model(_SERVICES.get(service, service))
    except UnknownServiceError:
        return None
    name = action[:1].upper() + action[1:]
    return model.operation_model(name) if name in model.operation_names else None


def _check(value: Any, shape: Shape, where: str, service: str) -> Iterator[str]:
    if shape.type_name == "structure":
        yield from _check_structure(value, shape, where, service)
    elif shape.type_name == "list":
        yield from _check_list(value, shape, where, service)
    elif shape.type_name == "map":
        yield from _check_map(value, shape, where, service)
    elif shape.type_name != "blob" and not _is_json_text(value, service, where):
        yield from _check_literal(value, shape, where)


def _check_structure(value: Any, shape: Any, where: str, service: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where} must be an object, not {value!r}"
        return
    members = {name[:1].upper() + name[1:]: member for name, member in shape.members.items()}
    for key, inner in value.items():
        name = key.removesuffix(".$")
        if name not in members:
            yield f"{where}.{name} is unknown; there are {', '.join(sorted(members))}"
        elif key.endswith(".$"):
            yield from _check_path(inner, f"{where}.{name}")
        else:
            yield from _check(inner, members[name], f"{where}.{name}", service)
    given = {key.removesuffix(".$") for key in value}
    for required in shape.required_members:
        if required[:1].upper() + required[1:] not in given:
            yield f"{where}.{required} is missing"


def _check_list(value: Any, shape: Any, where: str, service: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{where} must be a list, not {value!r}"
        return
    yield from _check_range(len(value), shape, f"{where} has {len(value)} items")
    for index, inner in enumerate(value):
        yield from _check(inner, shape.member, f"{where}[{index}]", service)


def _check_map(value: Any, shape: Any, where: str, service: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where} must be an object, not {value!r}"
        return
    yield from _check_range(len(value), shape, f"{where} has {len(value)} entries")
    for key, inner in value.items():
        if key.endswith(".$"):
            yield from _check_path(inner, f"{where}.{key}")
        else:
            yield from _check(inner, shape.value, f"{where}.{key}", service)


def _check_path(value: Any, where: str) -> Iterator[str]:
    if not (isinstance(value, str) and value.startswith(("$", "States."))):
        yield f"{where}.$ must be a path or an intrinsic function, not {value!r}"


def _is_json_text(value: Any, service: str, where: str) -> bool:
    return isinstance(value, dict) and (service, where.rpartition(".")[2]) in _JSON_TEXTS


def _check_literal(value: Any, shape: Any, where: str) -> Iterator[str]:
    kinds = _PYTHON[shape.type_name]
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        yield f"{where} must be a {shape.type_name}, not {value!r}"
        return
    enum = getattr(shape, "enum", [])
    if enum and value not in enum:
        yield f"{where} is '{value}', which is none of {', '.join(enum)}"
    if isinstance(value, str):
        yield from _check_range(len(value), shape, f"{where} has {len(value)} characters")
        pattern = shape.metadata.get("pattern")
        if pattern and not _matches(pattern, value):
            yield f"{where} is '{value}', which does not match {pattern}"
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _check_range(value, shape, f"{where} is {value}")


def _matches(pattern: str, value: str) -> bool:
    """Patterns are Java's; what Python cannot read is not judged."""
    try:
        return re.fullmatch(pattern, value, re.DOTALL) is not None
    except re.error:
        return True


def _check_range(number: float, shape: Any, what: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and number < low:
        yield f"{what}; at least {low}"
    if high is not None and number > high:
        yield f"{what}; at most {high}"
