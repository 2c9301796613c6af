"""The outer shell of gRPC services: request ids, latency, traces, one log line for each call."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import grpc

from serving.edge import REQUEST_ID, Answered, Observe, accept_request_id, describe, record
from serving.logs import request_facts, request_id
from serving.spans import RequestTrace, Tracing
from serving.tls import Tls

Behaviour = Callable[[Any, Any], Awaitable[Any]]
_ID_KEY = REQUEST_ID.lower()
OURS = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN})
"""What is our failure and not the caller's."""


class GrpcEdge(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Round every unary call; the caller's id and trace come in its metadata, as in headers."""

    def __init__(self, observe: Observe, tracing: Tracing | None = None) -> None:
        self._observe = observe
        self._tracing = tracing

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: Any
    ) -> Any:
        handler = await continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler
        return grpc.unary_unary_rpc_method_handler(
            partial(self._call, handler.unary_unary, details),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    async def _call(self, behaviour: Behaviour, details: Any, request: Any, context: Any) -> Any:
        metadata = dict(details.invocation_metadata or ())
        identity = accept_request_id(metadata.get(_ID_KEY))
        request_id.set(identity)
        request_facts.set({})
        context.set_trailing_metadata(((_ID_KEY, identity),))
        if self._tracing is None:
            return await self._serve(behaviour, details, request, context, None)
        with self._tracing.request(metadata) as trace:
            return await self._serve(behaviour, details, request, context, trace)

    async def _serve(
        self,
        behaviour: Behaviour,
        details: Any,
        request: Any,
        context: Any,
        trace: RequestTrace | None,
    ) -> Any:
        started, code = time.perf_counter(), grpc.StatusCode.CANCELLED
        try:
            answer = await behaviour(request, context)
            code = grpc.StatusCode.OK
        except grpc.aio.AbortError:
            code = context.code()
            raise
        finally:
            seconds = time.perf_counter() - started
            facts = request_facts.get() or {}
            answered = Answered("gRPC", details.method.lstrip("/"), code.name)
            record(answered, seconds, facts, self._observe)
            if trace is not None:
                describe(trace, answered, facts, failed=code in OURS)
        return answer


def server_credentials(tls: Tls) -> Any:
    """What `add_secure_port` takes. Raises SettingsError where the files do not do."""
    tls.server_context()
    return grpc.ssl_server_credentials(
        [(tls.key.read_bytes(), tls.certificate.read_bytes())],
        root_certificates=tls.clients_ca.read_bytes() if tls.clients_ca else None,
        require_client_auth=tls.clients_ca is not None,
    )
