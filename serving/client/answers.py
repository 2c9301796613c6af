"""Answers of the proxy as values. Fields that are not known here are passed over."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from serving.client.errors import ServerFailed


@dataclass(frozen=True)
class ErrorDetail:
    """Why one instance or one row has no answer."""

    code: str
    message: str
    field: str | None = None
    remedy: str | None = None


@dataclass(frozen=True)
class Feature:
    """How a feature was found; value and event time where they were asked for."""

    status: str
    defaulted: bool = False
    value: Any = None
    event_time: datetime | None = None


@dataclass(frozen=True)
class Prediction:
    """What one instance got: a score, or its error."""

    score: float | None
    error: ErrorDetail | None = None
    fallback: str | None = None
    """Why the score is the model's fallback and not its own."""
    features: Mapping[str, Feature] = field(default_factory=dict)
    label: str | None = None
    """The likeliest class, of a model that tells several apart; it has no one score."""
    class_scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Predictions(Sequence[Prediction]):
    """One prediction per instance, in order, all by one version."""

    request_id: str
    model: str
    version: int
    items: tuple[Prediction, ...]
    experiment: str | None = None
    arm: str | None = None

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    @property
    def scores(self) -> list[float | None]:
        return [item.score for item in self.items]


@dataclass(frozen=True)
class FeatureTable:
    """Features in columns, by 'view:feature'; the rows in the order in which they were asked."""

    request_id: str
    service: str
    values: Mapping[str, Sequence[Any]]
    statuses: Mapping[str, Sequence[str]]
    """'PRESENT', 'NULL', 'NOT_FOUND', 'OUTSIDE_MAX_AGE' or 'INVALID'; empty if left out."""
    event_times: Mapping[str, Sequence[datetime | None]]
    """By view; empty if left out."""
    errors: Mapping[int, ErrorDetail]
    """Rows that were not read, by their place."""

    def __len__(self) -> int:
        return len(next(iter(self.values.values()), ()))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Each row as values by 'view:feature'."""
        for row in zip(*self.values.values(), strict=True):
            yield dict(zip(self.values, row, strict=True))


def read_predictions(body: bytes) -> Predictions:
    """Raises ServerFailed where this is no answer of the proxy."""
    told = _object(body)
    try:
        return Predictions(
            request_id=told["request_id"],
            model=told["model"],
            version=told["version"],
            items=tuple(_prediction(item) for item in told["predictions"]),
            experiment=told.get("experiment"),
            arm=told.get("arm"),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise _strange(exc) from exc


def read_table(body: bytes) -> FeatureTable:
    """Raises ServerFailed where this is no answer of the proxy."""
    told = _object(body)
    try:
        columns = told["features"]
        return FeatureTable(
            request_id=told["request_id"],
            service=told["feature_service"],
            values={name: column["values"] for name, column in columns.items()},
            statuses={n: c["statuses"] for n, c in columns.items() if "statuses" in c},
            event_times={
                view: [_time(text) for text in times]
                for view, times in told.get("event_times", {}).items()
            },
            errors={error["row"]: _detail(error) for error in told.get("errors", ())},
        )
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise _strange(exc) from exc


def _prediction(told: Mapping[str, Any]) -> Prediction:
    return Prediction(
        score=told.get("score"),
        error=_detail(told["error"]) if told.get("error") else None,
        fallback=told.get("fallback"),
        features={name: _feature(one) for name, one in (told.get("features") or {}).items()},
        label=told.get("class"),
        class_scores=told.get("scores") or {},
    )


def _feature(told: Mapping[str, Any]) -> Feature:
    defaulted = bool(told.get("defaulted"))
    return Feature(told["status"], defaulted, told.get("value"), _time(told.get("event_time")))


def _detail(told: Mapping[str, Any]) -> ErrorDetail:
    return ErrorDetail(told["code"], told["message"], told.get("field"), told.get("remedy"))


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _object(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except ValueError as exc:
        raise _strange(exc) from exc
    if not isinstance(told, dict):
        raise _strange(TypeError("no object"))
    return told


def _strange(cause: Exception) -> ServerFailed:
    return ServerFailed(
        f"What came is no answer of the proxy ({type(cause).__name__}: {cause}).",
        status=200,
        remedy="Check the address that the client was given.",
    )
