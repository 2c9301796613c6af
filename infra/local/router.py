"""The one HTTP port: finds out what is asked, refuses what is not listed, hands over the rest."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

from infra.local import ministack_backend
from infra.local.calls import CallRecord
from infra.local.ministack_backend import Message, MiniStack, Receive, Send
from infra.local.moto_backend import StepFunctions
from infra.local.operations import Call, Request, identify, needs_body
from infra.local.protocol import Response, error_answer, json_answer, refusal
from infra.local.routes import ROUTES, Backend
from infra.local.service import AwsError, Caller, JsonService
from infra.local.settings import HEALTH
from infra.local.snapshots import Snapshots

_log = logging.getLogger("infra.local")


class Router:
    """The ASGI application of the local AWS."""

    def __init__(
        self,
        ministack: MiniStack,
        step_functions: StepFunctions,
        services: Mapping[Backend, JsonService],
        *,
        calls: CallRecord,
        snapshots: Snapshots,
    ) -> None:
        self._ministack = ministack
        self._step_functions = step_functions
        self._services = services
        self._calls = calls
        self._snapshots = snapshots

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = _request(scope)
        if request.path == HEALTH:
            await _send(
                send, Response(200, {"Content-Type": "application/json"}, b'{"ready":true}')
            )
            return
        body = await _read(receive) if needs_body(request) else None
        call = identify(request, body or b"")
        try:
            caller, backend = self._admit(call)
        except AwsError as error:
            await _drain(receive, body)
            await _send(send, error_answer(error, call.protocol))
            return
        if backend is Backend.MINISTACK:
            await self._ministack.app(scope, receive if body is None else _replay(body), send)
            return
        body = await _read(receive) if body is None else body
        await _send(
            send, await asyncio.to_thread(self._answer, backend, call, request, body, caller)
        )

    def _admit(self, call: Call) -> tuple[Caller, Backend]:
        """Who calls, and who answers. Raises AwsError."""
        backend = ROUTES.get((call.service, call.operation))
        if backend is None:
            raise refusal(call)
        caller = ministack_backend.caller(call.access_key, call.region)
        self._calls.add(call, caller)
        self._snapshots.note(call)
        return caller, backend

    def _answer(
        self, backend: Backend, call: Call, request: Request, body: bytes, caller: Caller
    ) -> Response:
        if backend is Backend.MOTO:
            return self._step_functions.answer(request, body)
        try:
            return json_answer(
                self._services[backend].handle(call.operation, json.loads(body or b"{}"), caller)
            )
        except AwsError as error:
            return error_answer(error, call.protocol)
        except Exception:  # noqa: BLE001 - one failing request must not look like a dead server
            _log.exception("%s failed", call.name)
            text = f"{call.name} failed inside the local AWS; its log has the traceback."
            return error_answer(AwsError("InternalFailure", text, status=500), call.protocol)


def _request(scope: Message) -> Request:
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
    }
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0]
    return Request(scope["method"], path, scope["query_string"].decode("latin-1"), headers)


async def _read(receive: Receive) -> bytes:
    chunks = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)


async def _drain(receive: Receive, body: bytes | None) -> None:
    """Take what the client still sends, so that it reads the answer instead of a reset."""
    if body is None:
        await _read(receive)


def _replay(body: bytes) -> Receive:
    """A channel that gives the body once, then the end of the connection."""
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


async def _send(send: Send, response: Response) -> None:
    headers = {"Date": formatdate(usegmt=True)} | response.headers
    headers |= {"Content-Length": str(len(response.body))}
    raw = [
        (name.lower().encode(), value.encode("latin-1", "replace"))
        for name, value in headers.items()
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": raw})
    await send({"type": "http.response.body", "body": response.body})
