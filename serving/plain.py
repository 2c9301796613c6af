"""Plain ASGI, for the routes on which a framework's time would count."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.types import Message, Receive, Scope, Send

from mlops.errors import MlopsError
from serving.answers import log_error, log_unexpected
from serving.errors import Internal, headers_of, status_of

JSON = b"application/json"

Body = tuple[bytes, Mapping[str, str]]
"""An answer's bytes, and headers beside the usual ones."""


@dataclass(frozen=True)
class PlainRoute:
    """What `scope["route"]` tells those who count and log requests."""

    path: str


def header(scope: Scope, name: bytes) -> str | None:
    """name: in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return None


async def read_body(receive: Receive) -> bytes:
    """All of it; most bodies come in one message."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        return body
    parts = [body]
    while message.get("more_body", False):
        message = await receive()
        parts.append(message.get("body", b""))
    return b"".join(parts)


async def send_body(
    send: Send, body: bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> None:
    """A whole answer; JSON where the headers do not say otherwise."""
    lines = [(k.lower().encode(), v.encode("latin-1")) for k, v in (headers or {}).items()]
    if not any(name == b"content-type" for name, _ in lines):
        lines.append((b"content-type", JSON))
    lines.append((b"content-length", str(len(body)).encode()))
    start: Message = {"type": "http.response.start", "status": status, "headers": lines}
    await send(start)
    await send({"type": "http.response.body", "body": body})


async def answer(
    work: Awaitable[Body], send: Send, *, shape: Callable[[MlopsError], bytes]
) -> None:
    """Send what the work gives, or its error in its shape and with its status."""
    try:
        body, headers = await work
    except MlopsError as error:
        log_error(error)
        await _refuse(error, send, shape)
    except Exception as exc:  # noqa: BLE001 — a framework would answer it so, too
        log_unexpected(exc)
        await _refuse(Internal(), send, shape)
    else:
        await send_body(send, body, 200, headers)


async def _refuse(error: MlopsError, send: Send, shape: Callable[[MlopsError], bytes]) -> None:
    await send_body(send, shape(error), status_of(error), headers_of(error))


def document(app: Any, paths: Mapping[str, Any], models: Sequence[type[BaseModel]] = ()) -> None:
    """Describe plain routes in the app's OpenAPI document.

    models: the bodies that the paths refer to, by '#/components/schemas/' and their names.
    """
    generate = app.openapi
    _, schemas = models_json_schema(
        [(model, "serialization") for model in models],
        ref_template="#/components/schemas/{model}",
    )

    def described() -> dict[str, Any]:
        schema: dict[str, Any] = generate()
        schema.setdefault("paths", {}).update(paths)
        known = schema.setdefault("components", {}).setdefault("schemas", {})
        known.update(schemas.get("$defs", {}))
        return schema

    app.openapi = described
