"""What the OpenAPI document says of the routes that answer under FastAPI."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.deadline import TIMEOUT, TIMEOUT_SCHEMA
from serving.schema import RETRY_AFTER, Answers, ErrorAnswer


class ProtocolError(BaseModel):
    """Every error under /v2 has this shape."""

    error: str = Field(description="What failed.")
    code: str
    field: str | None = None
    remedy: str | None = None
    request_id: str | None = None


class Readiness(BaseModel):
    """Which models serve which versions, and which versions failed to load and why."""

    ready: bool
    models: dict[str, Any]


class TensorAnswer(BaseModel):
    """An input or output of a model; -1 in the shape is any number."""

    model_config = ConfigDict(extra="allow")

    name: str
    datatype: str
    shape: list[int]


class ModelAnswer(BaseModel):
    """A model's tensors, and the versions that are loaded."""

    model_config = ConfigDict(extra="allow")

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorAnswer]
    outputs: list[TensorAnswer]


class IndexEntry(BaseModel):
    """A version that is deployed here."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


_TEXTS = {
    403: "A rule forbids it, or a version cannot be loaded.",
    404: "The model or the version is not served here.",
    413: "The body is larger than is read.",
    422: "A part of the request is wrong; `field` names it.",
    500: "The graph fails on these rows.",
    503: "Not now: nothing is loaded, too many requests wait, or a store does not answer.",
    504: "There would be no answer in the time that was allowed.",
}


def protocol_errors(*statuses: int) -> Answers:
    """Of a route under /v2; with 422, which the framework may answer anywhere."""
    return _errors(ProtocolError, statuses)


def errors(*statuses: int) -> Answers:
    """Of any other route."""
    return _errors(ErrorAnswer, statuses)


def _errors(model: type[BaseModel], statuses: tuple[int, ...]) -> Answers:
    answers: Answers = {
        status: {"model": model, "description": _TEXTS[status]} for status in (*statuses, 422)
    }
    if 503 in answers:
        answers[503]["headers"] = RETRY_AFTER
    return answers


READY: Answers = {200: {"model": Readiness}, 503: {"model": Readiness, "description": "Not yet."}}

_ROWS = {
    "type": "object",
    "required": ["instances"],
    "properties": {
        "instances": {
            "type": "array",
            "minItems": 1,
            "items": {},
            "description": "Rows as lists in the manifest's order, or as objects by column.",
        }
    },
}
_TEXT = {"schema": {"type": "string"}}
INVOCATION: dict[str, Any] = {
    "parameters": [{"name": TIMEOUT, "in": "header", "schema": TIMEOUT_SCHEMA}],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _ROWS},
            "application/jsonlines": _TEXT,
            "text/csv": _TEXT,
        },
    },
}
SCORES: Answers = {
    200: {
        "description": "A score per row, in the form that `Accept` asks for.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["predictions"],
                    "properties": {"predictions": {"type": "array", "items": {}}},
                }
            },
            "application/jsonlines": _TEXT,
            "text/csv": _TEXT,
        },
    },
    **errors(413, 500, 503, 504),
}
