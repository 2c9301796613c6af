"""What the OpenAPI document says of the routes whose bodies are parsed without FastAPI."""

from __future__ import annotations

from typing import Any

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field

from serving.deadline import TIMEOUT, TIMEOUT_SCHEMA
from serving.schema import RETRY_AFTER, Answers, ErrorAnswer, ErrorBody

CREDENTIALS = [
    Security(
        APIKeyHeader(name="X-Api-Key", auto_error=False, description="mlops serve create-key NAME")
    ),
    Security(
        HTTPBearer(
            auto_error=False,
            description="A token of the identity provider, where the operators set one up.",
        )
    ),
]
"""Either of them, in the OpenAPI document; the doorkeeper reads the headers itself."""


class Readiness(BaseModel):
    """What the proxy leans on, and what it serves."""

    ready: bool
    redis: str = Field(description="'ok', or what is wrong.")
    inference: str
    models: dict[str, Any] | str
    api_keys: str


READY: Answers = {
    200: {"model": Readiness},
    503: {"model": Readiness, "description": "Not yet, or not now."},
}


class FeatureAnswer(BaseModel):
    """How one feature was found; value and event time with `explain=features` only."""

    status: str = Field(examples=["PRESENT", "NULL", "NOT_FOUND", "OUTSIDE_MAX_AGE", "INVALID"])
    defaulted: bool | None = Field(None, description="The manifest's default was used instead.")
    value: Any = None
    event_time: str | None = None


class PredictionAnswer(BaseModel):
    """A score, or one for each class of a model that tells several apart, or an error."""

    model_config = ConfigDict(serialize_by_alias=True)

    score: float | None = Field(None, examples=[0.0173])
    label: str | None = Field(None, alias="class", description="The likeliest of several classes.")
    scores: dict[str, float] | None = Field(None, description="By class.")
    fallback: str | None = Field(
        None,
        description="There where the score is the model's fallback: the code of what failed.",
        examples=["deadline_exceeded"],
    )
    features: dict[str, FeatureAnswer] | None = None
    error: ErrorBody | None = None


class PredictAnswer(BaseModel):
    """One prediction per instance, in order, all by one version."""

    request_id: str
    model: str
    version: int
    experiment: str | None = Field(None, description="There where the answer is part of one.")
    arm: str | None = Field(None, description="The arm of the experiment.")
    predictions: list[PredictionAnswer]


_EXAMPLE = {
    "instances": [
        {
            "customer_id": "1042",
            "terminal_id": "7718",
            "amount": 12.5,
            "event_time": "2018-08-08T10:00:00Z",
        }
    ]
}

_PREDICT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["instances"],
                    "additionalProperties": False,
                    "properties": {
                        "instances": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "object"},
                            "description": "Ids and request values, as the model's feature service "
                            "names them; nothing more.",
                        }
                    },
                },
                "example": _EXAMPLE,
            }
        },
    }
}

_ERRORS = {
    401: "No API key and no token, or an unknown one.",
    403: "The caller may not use this model, or not see its personal features.",
    404: "No such model is deployed.",
    408: "The request began, and was not whole in time.",
    413: "The body is too large.",
    422: "The body is wrong, or features are missing that the model needs.",
    429: "The caller asks more often than it may.",
    503: "Features or inference do not answer now, or too much waits; the model has no fallback.",
    504: "There was no score by the deadline, and the model has no fallback.",
}


def _answer(description: str, model: type[BaseModel]) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


_PREDICT_ANSWERS = {
    "200": _answer("A prediction for each instance.", PredictAnswer),
    **{str(status): _answer(text, ErrorAnswer) for status, text in _ERRORS.items()},
}
for _status in ("429", "503", "504"):
    _PREDICT_ANSWERS[_status]["headers"] = RETRY_AFTER

PREDICT = "/v1/models/{model}:predict"
PREDICT_PATHS: dict[str, Any] = {
    PREDICT: {
        "post": {
            "tags": ["predictions"],
            "summary": "Score payments by their ids",
            "description": "Each instance is answered for itself: with a score, or with its own "
            "error.\n\nA request with a single instance that cannot be scored answers with that "
            "error's status.",
            "operationId": "predict",
            "security": [{one.dependency.scheme_name: []} for one in CREDENTIALS],
            "parameters": [
                {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}},
                {
                    "name": "explain",
                    "in": "query",
                    "description": "Show the features' values and times.",
                    "schema": {"type": "string", "enum": ["features"]},
                },
                {
                    "name": TIMEOUT,
                    "in": "header",
                    "description": "Milliseconds by which the answer must leave, else the model's.",
                    "schema": TIMEOUT_SCHEMA,
                },
            ],
            **_PREDICT_BODY,
            "responses": _PREDICT_ANSWERS,
        }
    }
}
PREDICT_MODELS = (PredictAnswer, ErrorAnswer)


class PushedRow(BaseModel):
    """What became of one row."""

    status: str = Field(examples=["written", "refused"])
    event_id: str | None = Field(None, description="By which the offline store knows it again.")
    logged: dict[str, str] | None = Field(
        None,
        description="Per view, whether the offline store is told of it.",
        examples=[{"clicks": "logged"}],
    )
    error: ErrorBody | None = None


class PushAnswer(BaseModel):
    """One result per row, in order."""

    request_id: str
    push_source: str
    results: list[PushedRow]


PUSH_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["rows"],
                    "additionalProperties": False,
                    "properties": {
                        "rows": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "object"},
                            "description": "Join keys and features of every view of the source, "
                            "null where there is no value; an event_time; an event_id if wanted.",
                        }
                    },
                },
                "example": {
                    "rows": [{"user_id": "1042", "clicks": 3, "event_time": "2018-08-08T10:00:00Z"}]
                },
            }
        },
    }
}

PUSH_ANSWERS: Answers = {
    200: {"model": PushAnswer},
    401: {"model": ErrorAnswer, "description": _ERRORS[401]},
    403: {"model": ErrorAnswer, "description": "The key does not allow pushes to this source."},
    404: {"model": ErrorAnswer, "description": "No such push source is applied."},
    413: {"model": ErrorAnswer, "description": _ERRORS[413]},
    422: {"model": ErrorAnswer, "description": "The body, or its only row, is wrong."},
    429: {"model": ErrorAnswer, "description": _ERRORS[429], "headers": RETRY_AFTER},
    503: {
        "model": ErrorAnswer,
        "description": "The online store does not take rows now.",
        "headers": RETRY_AFTER,
    },
}
