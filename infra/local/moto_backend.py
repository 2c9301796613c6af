"""moto inside this process: Step Functions' interpreter and SageMaker's registry.

Patches of moto that others own are put in by `install` functions, called here once.
"""

from __future__ import annotations

import os
from functools import cache
from io import BytesIO
from typing import Any
from urllib.parse import unquote

from infra.local.operations import Request
from infra.local.protocol import Response
from infra.local.settings import ACCOUNT, HOST

_APPS = {"states": "stepfunctions", "sagemaker": "sagemaker"}


def configure(port: int) -> None:
    """Set what moto reads from the environment; call before importing it."""
    os.environ |= {"MOTO_PORT": str(port), "MOTO_ACCOUNT_ID": ACCOUNT}


def answer(service: str, request: Request, body: bytes) -> Response:
    """Let moto answer a request; called on a worker thread, concurrently."""
    from werkzeug.test import run_wsgi_app

    chunks, status, headers = run_wsgi_app(_application(service), _environ(request, body))
    return Response(int(status.split()[0]), dict(headers), b"".join(chunks))


@cache
def _application(service: str) -> Any:
    from moto.core.config import default_user_config
    from moto.moto_server.werkzeug_app import create_backend_app

    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    return create_backend_app(_APPS[service])


def _environ(request: Request, body: bytes) -> dict[str, Any]:
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
        "SERVER_PORT": os.environ["MOTO_PORT"],
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body),
        "wsgi.errors": BytesIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
