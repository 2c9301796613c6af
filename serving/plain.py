"""Plain ASGI, for the routes on which a framework's time would count."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from mlops.errors import MlopsError
from serving.answers import log_error
from serving.errors import headers_of, status_of

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
        await send_body(send, shape(error), status_of(error), headers_of(error))
    else:
        await send_body(send, body, 200, headers)


def document(app: Any, paths: Mapping[str, Any]) -> None:
    """Describe plain routes in the app's OpenAPI document."""
    generate = app.openapi

    def described() -> dict[str, Any]:
        schema: dict[str, Any] = generate()
        schema.setdefault("paths", {}).update(paths)
        return schema

    app.openapi = described
