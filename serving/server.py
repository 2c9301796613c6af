"""Running an app under uvicorn until SIGTERM, and then until its last request is answered."""

from __future__ import annotations

import errno
import signal
import socket
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from mlops.errors import Conflict, InputError
from serving.tls import Tls

KEEP_ALIVE_SECONDS = 75
"""Longer than callers and load balancers (60 s) keep an idle connection: they close it, not we,
so that no request meets a connection that is being closed."""


def bind(host: str, port: int, *, setting: str) -> socket.socket:
    """A listening address. Raises Conflict when it is taken, InputError when it is not ours.

    setting: the variable that would choose another port; for the message.
    """
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
    except OSError as exc:
        raise InputError(f"'{host}' is no address to listen on: {exc.strerror}.") from exc
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as exc:
        listener.close()
        if exc.errno != errno.EADDRINUSE:
            raise InputError(f"Cannot listen on {host}:{port}: {exc.strerror}.") from exc
        raise Conflict(
            f"Port {port} on {host} is in use. Stop what uses it, or choose another with "
            f"--port or {setting}."
        ) from exc
    return listener


def run(
    app: ASGIApp, listener: socket.socket, *, drain_seconds: float, tls: Tls | None = None
) -> None:
    """Serve until SIGTERM or Ctrl-C; requests under way may take `drain_seconds` more."""
    config = configure(app, drain_seconds=drain_seconds, tls=tls)
    # uvicorn raises the signal once more when it is done: a drained server ends well, with 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _done)
    uvicorn.Server(config).run(sockets=[listener])


def configure(app: ASGIApp, *, drain_seconds: float, tls: Tls | None = None) -> uvicorn.Config:
    """Raises SettingsError where the files of TLS do not do."""
    context = tls.server_context() if tls else None
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, round(drain_seconds)),
        ssl_context_factory=(lambda _config, _default: context) if context else None,
    )


def _done(_number: int, _frame: FrameType | None) -> None:
    """The server has drained."""
