"""moto inside this process: the interpreter of Step Functions."""

from __future__ import annotations

import os
from dataclasses import dataclass
from io import BytesIO
from threading import Lock
from typing import Any
from urllib.parse import unquote

from infra.local import moto_patches
from infra.local.moto_state import MotoState
from infra.local.operations import Request
from infra.local.protocol import Response
from infra.local.settings import ACCOUNT, HOST, REGION, StateDir


@dataclass(frozen=True)
class _Loaded:
    application: Any
    backend: Any
    state: MotoState


class StepFunctions:
    """moto's Step Functions; loaded when it is first asked, since that takes a second."""

    def __init__(self, state: StateDir, port: int) -> None:
        self._folder = state.moto
        self._port = port
        self._lock = Lock()
        self._moto: _Loaded | None = None

    def answer(self, request: Request, body: bytes) -> Response:
        """Let moto answer a request; called on a worker thread, concurrently."""
        from werkzeug.test import run_wsgi_app

        application = self._loaded().application
        chunks, status, headers = run_wsgi_app(application, _environ(request, body, self._port))
        return Response(int(status.split()[0]), dict(headers), b"".join(chunks))

    def start_execution(self, arn: str, payload: str) -> None:
        """Start a state machine from inside, as a rule's target. Raises what moto raises."""
        self._loaded().backend.start_execution(arn, None, payload)

    def save(self) -> None:
        """Keep what changed, if it was ever loaded."""
        if self._moto is not None:
            self._moto.state.save()

    def _loaded(self) -> _Loaded:
        with self._lock:
            if self._moto is None:
                self._moto = self._load()
            return self._moto

    def _load(self) -> _Loaded:
        os.environ |= {"MOTO_PORT": str(self._port), "MOTO_ACCOUNT_ID": ACCOUNT}
        from moto.core.config import default_user_config
        from moto.moto_server.werkzeug_app import create_backend_app
        from moto.stepfunctions.parser.models import stepfunctions_parser_backends

        default_user_config["stepfunctions"] = {"execute_state_machine": True}
        moto_patches.install(f"http://{HOST}:{self._port}")
        backend = stepfunctions_parser_backends[ACCOUNT][REGION]
        state = MotoState(backend, self._folder)
        state.load()
        return _Loaded(create_backend_app("stepfunctions"), backend, state)


def _environ(request: Request, body: bytes, port: int) -> dict[str, Any]:
    """The request as WSGI has it (PEP 3333)."""
    headers = {
        "HTTP_" + name.upper().replace("-", "_"): value for name, value in request.headers.items()
    }
    return headers | {
        "REQUEST_METHOD": request.method,
        "PATH_INFO": unquote(request.path),
        "QUERY_STRING": request.query,
        "CONTENT_TYPE": request.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": HOST,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body),
        "wsgi.errors": BytesIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
