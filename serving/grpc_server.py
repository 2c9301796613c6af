"""A gRPC server that runs beside an app: its port, its limits, and how errors are told."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from mlops.errors import Conflict, MlopsError
from serving.answers import log_error
from serving.errors import status_of
from serving.grpc_edge import GrpcEdge, server_credentials
from serving.tls import Tls

log = logging.getLogger("serving.grpc")

_CODES = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.ABORTED,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


@asynccontextmanager
async def serving_grpc(
    handlers: Any,
    edge: GrpcEdge,
    *,
    address: str,
    max_bytes: int,
    drain_seconds: float,
    tls: Tls | None,
    setting: str,
) -> AsyncIterator[None]:
    """Serve until the context ends, and then until all is answered.

    setting: the variable that would choose another port; for the message.
    Raises Conflict when the port is taken.
    """
    options = [("grpc.max_receive_message_length", max_bytes), ("grpc.so_reuseport", 0)]
    server = grpc.aio.server(options=options, interceptors=[edge])
    server.add_generic_rpc_handlers((handlers,))
    try:
        if tls is None:
            server.add_insecure_port(address)
        else:
            server.add_secure_port(address, server_credentials(tls))
    except RuntimeError as exc:
        raise Conflict(
            f"Port {address.rpartition(':')[2]} is in use. Stop what uses it, or choose another "
            f"with --grpc-port or {setting}."
        ) from exc
    await server.start()
    log.info("gRPC serves", extra={"address": address})
    try:
        yield
    finally:
        await server.stop(drain_seconds)


def code_of(error: MlopsError) -> Any:
    """The gRPC status of an error."""
    return _CODES.get(status_of(error), grpc.StatusCode.INTERNAL)


async def refuse(context: Any, error: MlopsError) -> None:
    """End the call with the error's status and text."""
    log_error(error)
    await context.abort(code_of(error), str(error))
