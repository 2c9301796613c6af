"""Instances, validated against a feature service's plan before anything is read for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from mlops.errors import Refused
from mlops.plan import FeaturePlan, PlannedField
from serving.errors import InvalidRequest

MAX_TEXT = 256
"""Characters of an id or a text value."""

MAX_NUMBER = 3.4028234e38
"""What float32, the model's type, can hold."""


class Instance(NamedTuple):
    """The ids and request values of one instance, in the types of the plan."""

    where: str
    """Its place in the body, as 'instances[0]'."""
    entities: Mapping[str, Any]
    request: Mapping[str, Any]


class InstanceSchema:
    """What an instance must hold, compiled from a plan once."""

    def __init__(self, plan: FeaturePlan) -> None:
        self._service = plan.service
        self._entities = _readers(plan.entities)
        self._request = _readers(plan.request)
        self._names = frozenset(self._entities) | frozenset(self._request)

    def parse(self, instance: Any, index: int) -> Instance:
        """Raises InvalidRequest naming the field, as 'instances[0].amount'."""
        where = f"instances[{index}]"
        if not isinstance(instance, dict):
            raise InvalidRequest(f"'{where}' is no object.", field=where, remedy=self._remedy())
        if instance.keys() != self._names:
            raise self._differs(instance, where)
        return Instance(
            where, _read(self._entities, instance, where), _read(self._request, instance, where)
        )

    def _differs(self, instance: Mapping[str, Any], where: str) -> InvalidRequest:
        missing = sorted(self._names - instance.keys())
        name = missing[0] if missing else sorted(instance.keys() - self._names)[0][:MAX_TEXT]
        problem = "is missing" if missing else f"is no field of '{self._service}'"
        field = f"{where}.{name}"
        return InvalidRequest(f"'{field}' {problem}.", field=field, remedy=self._remedy())

    def _remedy(self) -> str:
        fields = {**self._entities, **self._request}
        listed = ", ".join(f"{name} ({kind})" for name, (kind, _) in fields.items())
        return f"Send exactly: {listed}."


Reader = tuple[str, Callable[[Any], Any]]
"""What a value is called in messages, and what checks it; the check raises ValueError."""


def _readers(fields: tuple[PlannedField, ...]) -> dict[str, Reader]:
    unknown = [field.name for field in fields if field.dtype not in READERS]
    if unknown:
        raise Refused(
            f"{', '.join(unknown)}: a request can carry {', '.join(sorted(READERS))} only."
        )
    return {field.name: READERS[field.dtype] for field in fields}


def _read(readers: Mapping[str, Reader], instance: Mapping[str, Any], where: str) -> dict[str, Any]:
    values = {}
    for name, (kind, read) in readers.items():
        try:
            values[name] = read(instance[name])
        except (ValueError, OverflowError) as exc:
            field = f"{where}.{name}"
            raise InvalidRequest(f"'{field}' must be {kind}.", field=field) from exc
    return values


def _text(value: Any) -> str:
    if type(value) is not str or not 0 < len(value) <= MAX_TEXT:
        raise ValueError
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) <= MAX_NUMBER:
        raise ValueError
    return float(value)


def _integer(bits: int) -> Callable[[Any], int]:
    bound = 1 << (bits - 1)

    def read(value: Any) -> int:
        if type(value) is not int or not -bound <= value < bound:
            raise ValueError
        return value

    return read


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError
    return value


def _time(value: Any) -> datetime:
    if type(value) is not str:
        raise ValueError
    time = datetime.fromisoformat(value)
    if time.tzinfo is None:
        raise ValueError
    return time.astimezone(UTC)


READERS: dict[str, Reader] = {
    "String": (f"a string of 1 to {MAX_TEXT} characters", _text),
    "Float32": ("a number", _number),
    "Float64": ("a number", _number),
    "Int32": ("an integer of 32 bits", _integer(32)),
    "Int64": ("an integer of 64 bits", _integer(64)),
    "Bool": ("true or false", _boolean),
    "UnixTimestamp": ("an ISO 8601 time with a zone, as 2018-08-08T10:00:00Z", _time),
}
