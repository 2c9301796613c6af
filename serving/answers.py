"""Answers: JSON bodies, and every error in the one shape."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from mlops.errors import MlopsError
from serving.audit import audit
from serving.errors import (
    AccessRefused,
    Internal,
    InvalidRequest,
    describe,
    headers_of,
    status_of,
)
from serving.logs import request_id

log = logging.getLogger("serving")


def json_response(
    body: Any, status: int = 200, *, headers: dict[str, str] | None = None
) -> Response:
    """NumPy arrays and times included; NaN is written as null."""
    return Response(
        orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_UTC_Z),
        status,
        media_type="application/json",
        headers=headers,
    )


def error_body(error: MlopsError) -> bytes:
    """{"error": {"code", "message", "field"?, "remedy"?, "request_id"}}."""
    return orjson.dumps({"error": describe(error) | {"request_id": request_id.get()}})


def error_response(error: MlopsError) -> Response:
    """The error's body with its status."""
    return Response(
        error_body(error),
        status_of(error),
        media_type="application/json",
        headers=headers_of(error),
    )


def answer_errors(app: FastAPI) -> None:
    """Let every error of this app, the framework's included, answer in the one shape."""

    @app.exception_handler(MlopsError)
    async def ours(_: Request, error: MlopsError) -> Response:
        log_error(error)
        return error_response(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        return error_response(InvalidRequest(f"{field}: {first['msg']}.", field=field))

    @app.exception_handler(HTTPException)
    async def framework(_: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        if status == HTTPStatus.BAD_REQUEST:  # the framework's word for a body that is no text
            return error_response(InvalidRequest("The body cannot be read.", field="body"))
        return _plain(status, status.phrase.lower().replace(" ", "_"), f"{status.phrase}.")

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> Response:
        log_unexpected(error)
        return error_response(Internal())


def _plain(status: HTTPStatus, code: str, message: str) -> Response:
    error: dict[str, Any] = {"code": code, "message": message}
    if status == HTTPStatus.NOT_FOUND:
        error["remedy"] = "See /openapi.json for what is here."
    return json_response({"error": error | {"request_id": request_id.get()}}, status)


def log_error(error: MlopsError) -> None:
    """A caller's mistake may carry ids, so only its code is logged; ours is logged in full."""
    if isinstance(error, AccessRefused):
        audit(error)
    elif status_of(error) < 500:
        log.info("refused", extra={"code": error.code, "field": getattr(error, "field", None)})
    else:
        log.error("failed", extra={"code": error.code, "cause": _causes(error)})


def log_unexpected(error: Exception) -> None:
    log.error("unexpected error", exc_info=error)


def _causes(error: BaseException) -> str:
    text = str(error)
    return f"{text} ← {_causes(error.__cause__)}" if error.__cause__ else text
