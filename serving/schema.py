"""What the OpenAPI documents of both services say alike."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

Answers = dict[int | str, dict[str, Any]]


class ErrorBody(BaseModel):
    """What failed, for which field, and what to do."""

    code: str = Field(examples=["features_missing"])
    message: str
    field: str | None = Field(None, examples=["instances[0].customer_id"])
    remedy: str | None = None
    request_id: str | None = None


class ErrorAnswer(BaseModel):
    """Every error has this shape."""

    error: ErrorBody


RETRY_AFTER: dict[str, Any] = {
    "Retry-After": {
        "description": "Whole seconds after which to try again.",
        "schema": {"type": "integer", "minimum": 1},
    }
}
METRICS: Answers = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
