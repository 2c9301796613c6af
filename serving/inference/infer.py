"""POST /v2/models/{model}/infer as plain ASGI: the one route of the endpoint that must be quick."""

from __future__ import annotations

import re
import time
from typing import Any

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops.errors import MlopsError
from serving.binary import HEADER_LENGTH
from serving.deadline import TIMEOUT, TIMEOUT_KEY, TIMEOUT_SCHEMA, deadline_of
from serving.errors import describe
from serving.inference.plane import DataPlane
from serving.inference.rest import parse_infer, write_infer
from serving.logs import request_id
from serving.plain import Body, PlainRoute, answer, header, read_body
from serving.spans import stage
from serving.tensors import BY_PROTOCOL

_PATH = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
_ROUTE = PlainRoute("/v2/models/{model}/infer")
_ROUTE_OF_VERSION = PlainRoute("/v2/models/{model}/versions/{version}/infer")
_HEADER = HEADER_LENGTH.lower().encode()
_LOGGED = 4096
"""Characters of the ids of requests that came as one."""


class InferRoute:
    """Answers inference requests itself and leaves all others to the app."""

    def __init__(self, app: ASGIApp, plane: DataPlane) -> None:
        self.app = app
        self._plane = plane

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            found = _PATH.fullmatch(scope["path"])
            if found is not None:
                scope["route"] = _ROUTE if found[2] is None else _ROUTE_OF_VERSION
                await answer(self._infer(scope, receive, found[1], found[2]), send, shape=shape)
                return
        await self.app(scope, receive, send)

    async def _infer(self, scope: Scope, receive: Receive, name: str, version: str | None) -> Body:
        since = time.monotonic()
        model = self._plane.model(name, version)
        deadline = deadline_of(header(scope, TIMEOUT_KEY), since=since)
        body = await read_body(receive)
        with stage("parse"):
            request = parse_infer(body, model, header(scope, _HEADER))
        log: dict[str, Any] = scope["state"]["log"]
        log.update(model=name, version=model.version, rows=request.rows)
        if request.id and " " in request.id:
            log["joined"] = request.id[:_LOGGED]
        found = await self._plane.infer(name, model, request, deadline=deadline)
        with stage("write"):
            body, length = write_infer(request, found)
        if length is None:
            return body, {}
        return body, {HEADER_LENGTH: str(length), "Content-Type": "application/octet-stream"}


def shape(error: MlopsError) -> bytes:
    """An error's text stands at the top, as the protocol has it."""
    parts = describe(error)
    return orjson.dumps({"error": parts.pop("message"), **parts, "request_id": request_id.get()})


_TENSOR = {
    "type": "object",
    "required": ["name", "datatype", "shape", "data"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {"type": "string", "enum": list(BY_PROTOCOL)},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "data": {"type": "array", "items": {}},
        "parameters": {"type": "object"},
    },
}
_REQUEST = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "inputs": {
            "type": "array",
            "items": _TENSOR | {"required": ["name", "datatype", "shape"]},
        },
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "parameters": {"type": "object"}},
            },
        },
    },
}
_ANSWER = {
    "type": "object",
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "outputs": {
            "type": "array",
            "items": _TENSOR | {"required": ["name", "datatype", "shape"]},
        },
    },
}
_ERROR = {
    "type": "object",
    "required": ["error", "code"],
    "properties": {name: {"type": "string"} for name in ("error", "code", "request_id")},
}


def _described(path: str) -> dict[str, Any]:
    """An operation of the OpenAPI document."""
    errors = {
        "404": "The model or the version is not served here.",
        "413": "The body is larger than is read.",
        "422": "A part of the request is wrong; `field` names it.",
        "500": "The graph fails on these rows.",
        "503": "Too many requests wait.",
        "504": "There would be no answer in the time that was allowed.",
    }
    names = ["model", "version"] if "{version}" in path else ["model"]
    return {
        "post": {
            "tags": ["protocol v2"],
            "summary": "Run a model on tensors",
            "operationId": f"infer_{len(names)}",
            "parameters": [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in names
            ]
            + [
                {"name": HEADER_LENGTH, "in": "header", "schema": {"type": "integer"}},
                {"name": TIMEOUT, "in": "header", "schema": TIMEOUT_SCHEMA},
            ],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _REQUEST}},
            },
            "responses": {
                "200": {
                    "description": "The outputs.",
                    "content": {"application/json": {"schema": _ANSWER}},
                }
            }
            | {
                status: {
                    "description": text,
                    "content": {"application/json": {"schema": _ERROR}},
                }
                for status, text in errors.items()
            },
        }
    }


INFER_PATHS = {route.path: _described(route.path) for route in (_ROUTE, _ROUTE_OF_VERSION)}
