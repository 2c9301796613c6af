"""The entity rows of a feature read, in columns: checked at once, and one by one where that fails.

A row that is wrong has its own error; the others are read.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops.plan import FeaturePlan, PlannedField
from serving.errors import InvalidRequest
from serving.proxy.bodies import parse_object
from serving.proxy.instances import MAX_TEXT

_EXAMPLE = 'Send {"entities": {"customer_id": ["1042", "7718"]}}: a column per entity.'
_BITS = {"Int32": 31, "Int64": 63, "UnixTimestamp": 63}
_WRONG = object()
_NO_ERRORS: Mapping[int, InvalidRequest] = {}


@dataclass(slots=True)
class EntityRows:
    """What is to be read, and what is not."""

    columns: Mapping[str, Sequence[Any]]
    """The sound rows, by join key."""
    count: int
    """All rows that were sent."""
    errors: Mapping[int, InvalidRequest]
    """The others, by their place."""

    @property
    def sound(self) -> list[int]:
        """Where the sound rows stood."""
        return [row for row in range(self.count) if row not in self.errors]


@dataclass(slots=True)
class ReadRequest:
    """The body of a feature read."""

    columns: Mapping[str, list[Any]]
    """Per entity as many values."""
    features: tuple[str, ...] | None
    """'view:feature' of those that are wanted; None for all."""


def parse_read(body: bytes, *, most: int) -> ReadRequest:
    """Raises InvalidRequest naming what is wrong."""
    request = parse_object(body, remedy=_EXAMPLE)
    if len(request) == 1 and "entities" in request:
        return ReadRequest(check_columns(request["entities"], most=most), None)
    known = ("entities" in request) + ("features" in request)
    if len(request) > known:
        unknown = sorted(request.keys() - {"entities", "features"})
        name = unknown[0][:MAX_TEXT]
        raise InvalidRequest(
            f"The body has an unknown field '{name}'.", field=name, remedy=_EXAMPLE
        )
    columns = check_columns(request.get("entities"), most=most)
    features = request.get("features")
    return ReadRequest(columns, None if features is None else check_features(features))


def check_features(features: Any) -> tuple[str, ...]:
    """Raises InvalidRequest where these are no names, each of them once."""
    if not isinstance(features, list) or not all(isinstance(f, str) for f in features):
        raise InvalidRequest("'features' must be a list of 'view:feature'.", field="features")
    if not features or len(set(features)) < len(features):
        raise InvalidRequest("'features' must name features, each once.", field="features")
    return tuple(features)


def check_columns(columns: Any, *, most: int) -> Mapping[str, list[Any]]:
    """Raises InvalidRequest where these are no columns of one length, of 1 to `most` values."""
    if type(columns) is dict and len(columns) == 1:
        (only,) = columns.values()
        if type(only) is list and 0 < len(only) <= most:  # as nearly all are
            return columns
    if not isinstance(columns, dict) or not all(isinstance(c, list) for c in columns.values()):
        raise InvalidRequest(
            "'entities' must be an object of lists.", field="entities", remedy=_EXAMPLE
        )
    counts = set(map(len, columns.values()))
    if len(counts) > 1:
        raise InvalidRequest("The lists of 'entities' differ in length.", field="entities")
    if max(counts, default=1) > most:
        raise InvalidRequest(
            f"'entities' has {max(counts)} rows, {most} are allowed.",
            field="entities",
            remedy="Split them over several requests.",
        )
    if 0 in counts:
        raise InvalidRequest("'entities' has no row.", field="entities", remedy=_EXAMPLE)
    return columns


class EntitySchema:
    """What columns a feature service needs, compiled from its plan once."""

    def __init__(self, plan: FeaturePlan) -> None:
        self._service = plan.service
        used = {name for view in plan.views for name in view.join_keys}
        self._checks = {f.name: _check_of(f) for f in plan.entities if f.name in used}
        self._only = next(iter(self._checks.values())) if len(self._checks) == 1 else None

    @property
    def names(self) -> list[str]:
        return list(self._checks)

    def check(self, columns: Mapping[str, list[Any]]) -> EntityRows:
        """The rows that can be read, and an error for each that cannot.

        Raises InvalidRequest where a column is missing or unknown, and a single row's own error.
        """
        only = self._only
        if only is not None and len(columns) == 1 and only.name in columns:
            values = only.all(columns[only.name])
            if values is not None:  # as nearly all are
                return EntityRows({only.name: values}, len(values), _NO_ERRORS)
        if columns.keys() != self._checks.keys():
            raise self._differs(columns)
        count = len(next(iter(columns.values()), [None]))
        checked: dict[str, list[Any]] = {}
        errors: dict[int, InvalidRequest] = {}
        for name, check in self._checks.items():
            values = check.all(columns[name])
            if values is None:
                values, wrong = check.each(columns[name])
                errors = {row: check.error(row) for row in wrong} | errors
            checked[name] = values
        if count == 1 and errors:
            raise errors[0]
        if errors:
            good = [row for row in range(count) if row not in errors]
            checked = {name: [values[r] for r in good] for name, values in checked.items()}
        return EntityRows(checked, count, errors)

    def _differs(self, columns: Mapping[str, Any]) -> InvalidRequest:
        missing = [name for name in self._checks if name not in columns]
        name = missing[0] if missing else sorted(columns.keys() - self._checks)[0][:MAX_TEXT]
        problem = "is missing" if missing else f"is no entity of '{self._service}'"
        listed = ", ".join(f"{name} ({check.kind})" for name, check in self._checks.items())
        return InvalidRequest(
            f"'entities.{name}' {problem}.",
            field=f"entities.{name}",
            remedy=f"Send exactly: {listed or 'nothing'}.",
        )


@dataclass(frozen=True)
class _Check:
    """How one join key's values are checked."""

    name: str
    kind: str
    """What a value is called in messages."""
    all: Callable[[list[Any]], list[Any] | None]
    """The values, or None where one of them is wrong."""
    one: Callable[[Any], Any]
    """The value, or _WRONG."""

    def each(self, values: list[Any]) -> tuple[list[Any], list[int]]:
        """The values, and where the wrong ones stand."""
        found = [self.one(value) for value in values]
        return found, [row for row, value in enumerate(found) if value is _WRONG]

    def error(self, row: int) -> InvalidRequest:
        field = f"entities.{self.name}[{row}]"
        return InvalidRequest(f"'{field}' must be {self.kind}.", field=field)


def _check_of(field: PlannedField) -> _Check:
    if field.dtype == "String":
        return _Check(field.name, f"a string of 1 to {MAX_TEXT} characters", _texts, _text)
    if field.dtype == "Bytes":
        return _Check(field.name, "base64", lambda _: None, _bytes)
    bits = _BITS[field.dtype]
    kind = "whole seconds since 1970" if field.dtype == "UnixTimestamp" else "an integer"
    return _Check(
        field.name,
        f"{kind} of {bits + 1} bits",
        lambda values: _integers(values, bits),
        lambda value: value if _integers([value], bits) else _WRONG,
    )


def _texts(values: list[Any]) -> list[Any] | None:
    try:
        together = len("".join(values))
    except TypeError:
        return None
    if not values or "" in values:
        return None
    return values if together <= MAX_TEXT or max(map(len, values)) <= MAX_TEXT else None


def _text(value: Any) -> Any:
    return value if _texts([value]) else _WRONG


def _integers(values: list[Any], bits: int) -> list[Any] | None:
    if set(map(type, values)) != {int}:
        return None
    return values if -(1 << bits) <= min(values) and max(values) < 1 << bits else None


def _bytes(value: Any) -> Any:
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else _WRONG
    except binascii.Error:
        return _WRONG
