"""Running an app under uvicorn until SIGTERM, and then until its last request is answered."""

from __future__ import annotations

import asyncio
import errno
import gc
import resource
import signal
import socket
import sys
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from mlops.errors import Conflict, InputError
from serving.connections import ConnectionLimits, limited_protocol
from serving.shortcuts import Shortcut
from serving.tls import Tls

KEEP_ALIVE_SECONDS = 75
"""Longer than callers and load balancers (60 s) keep an idle connection: they close it, not we,
so that no request meets a connection that is being closed."""
_FILES = 65_536
_GARBAGE = (20_000, 20, 50)
"""New objects after which the young ones are looked through, and how often older ones are."""
_SWITCH_SECONDS = 0.0005
"""How long a thread waits for Python while another has it. Python's own 5 ms are longer than most
requests take: the event loop would lose them whenever a thread reads a document or ends a run."""
PARTING_SECONDS = 0.25
"""How long answers say that their connection ends before those that are silent are closed: a
caller that goes on asking learns of the end by an answer, not by a lost request."""


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


class _PartingServer(uvicorn.Server):
    """Tells callers that it goes before it closes their connections."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        keep_what_is_loaded()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no new connections, say so in every answer, and only then close what is silent."""
        state = self.server_state
        state.default_headers = [*state.default_headers, (b"connection", b"close")]
        waiting = [one for listener in sockets or [] for one in _accept_all(listener)]
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        loop = asyncio.get_running_loop()
        ssl = self.config.ssl
        taken = [
            asyncio.ensure_future(loop.connect_accepted_socket(self._connection, one, ssl=ssl))
            for one in waiting
        ]
        await asyncio.sleep(PARTING_SECONDS)
        for taking in taken:
            taking.cancel()  # what has not come to speak TLS by now will not
        await asyncio.gather(*taken, return_exceptions=True)
        await super().shutdown(sockets)

    def _connection(self) -> asyncio.Protocol:
        make: Any = self.config.http_protocol_class
        made: asyncio.Protocol = make(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made


def keep_what_is_loaded() -> None:
    """Let the garbage collector pass over what stays: looking through it takes 0.1 s of silence.

    Requests leave hardly any cycles behind, so it need not look for those so often either.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE)


def _accept_all(listener: socket.socket) -> list[socket.socket]:
    """The connections that the system took for us already; a closed listener resets them."""
    listener.setblocking(False)
    found = []
    while True:
        try:
            found.append(listener.accept()[0])
        except OSError:
            return found


def run(
    app: ASGIApp,
    listener: socket.socket,
    *,
    drain_seconds: float,
    tls: Tls | None = None,
    limits: ConnectionLimits | None = None,
    shortcut: Shortcut | None = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; requests under way may take `drain_seconds` more."""
    _allow_files()
    sys.setswitchinterval(_SWITCH_SECONDS)
    config = configure(app, drain_seconds=drain_seconds, tls=tls, limits=limits, shortcut=shortcut)
    # uvicorn raises the signal once more when it is done: a drained server ends well, with 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _done)
    _PartingServer(config).run(sockets=[listener])


def configure(
    app: ASGIApp,
    *,
    drain_seconds: float,
    tls: Tls | None = None,
    limits: ConnectionLimits | None = None,
    shortcut: Shortcut | None = None,
) -> uvicorn.Config:
    """Raises SettingsError where the files of TLS do not do."""
    context = tls.server_context() if tls else None
    return uvicorn.Config(
        app,
        http=limited_protocol(limits or ConnectionLimits(), shortcut),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="on",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, round(drain_seconds)),
        ssl_context_factory=(lambda _config, _default: context) if context else None,
    )


def _allow_files() -> None:
    """As many connections as the system lets us have; what shells allow is meant for people."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if most == resource.RLIM_INFINITY else min(most, _FILES)
    if wanted > now:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _done(_number: int, _frame: FrameType | None) -> None:
    """The server has drained."""
