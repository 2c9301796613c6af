"""Feature reads over gRPC: a thin shell round the same reads as the REST route's."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import grpc

from mlops.errors import MlopsError
from serving.answers import log_error
from serving.edge import Answered, Observe, accept_request_id, describe, record
from serving.grpc_edge import OURS, GrpcEdge
from serving.grpc_server import code_of, refuse, serving_grpc
from serving.logs import request_facts, request_id
from serving.proxy.entity_columns import ReadRequest, check_columns, check_features
from serving.proxy.feature_messages import (
    MESSAGES,
    SERVICE,
    read_entities,
    write_error,
    write_errors,
    write_features,
)
from serving.proxy.read_route import FeatureReads
from serving.proxy.settings import PREFIX, ProxySettings
from serving.spans import RequestTrace, Tracing

log = logging.getLogger("serving.feature_reads")


@dataclass(frozen=True)
class FeatureReader:
    """The two methods of the service."""

    reads: FeatureReads
    observe: Observe
    tracing: Tracing | None = None

    async def read(self, request: Any, context: Any) -> Any:
        """One request, one answer; an error is the call's."""
        try:
            return await self._answer(request, dict(context.invocation_metadata() or ()))
        except MlopsError as error:
            await refuse(context, error)
        except asyncio.CancelledError:
            raise
        except grpc.aio.AbortError:
            raise
        except Exception:
            log.exception("unexpected error")
            await context.abort(grpc.StatusCode.INTERNAL, "The request failed on our side.")

    async def read_stream(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        """An answer for each request in its order; each is admitted, logged and traced for itself,
        all as part of the trace that the call names.
        """
        metadata = dict(context.invocation_metadata() or ())
        async for request in requests:
            request_id.set(accept_request_id(None))
            request_facts.set({})
            if self.tracing is None:
                answer = await self._answer_one(request, metadata, None)
            else:
                with self.tracing.request(metadata) as trace:
                    answer = await self._answer_one(request, metadata, trace)
            yield answer

    async def _answer_one(
        self, request: Any, metadata: dict[str, Any], trace: RequestTrace | None
    ) -> Any:
        """One of a stream; an error is its answer."""
        started, code = time.perf_counter(), grpc.StatusCode.OK
        try:
            answer = await self._answer(request, metadata)
        except MlopsError as error:
            log_error(error)
            code, answer = code_of(error), self._empty(request, error=write_error(error))
        seconds, facts = time.perf_counter() - started, request_facts.get() or {}
        answered = Answered("gRPC", f"{SERVICE}/ReadStream", code.name)
        record(answered, seconds, facts, self.observe)
        if trace is not None:
            describe(trace, answered, facts, failed=code in OURS)
        return answer

    async def _answer(self, request: Any, metadata: dict[str, Any]) -> Any:
        reads, name = self.reads, request.feature_service
        caller = await reads.doorkeeper.admit(
            metadata.get("x-api-key"), metadata.get("authorization")
        )
        facts = request_facts.get()
        if facts is not None:
            facts["caller"] = caller.name
        caller.require_service(name)
        features = check_features(list(request.features)) if request.features else None
        columns = check_columns(read_entities(request), most=reads.max_rows)
        found = await reads.read(caller, name, ReadRequest(columns, features))
        if facts is not None:
            facts.update(service=name, rows=found.rows.count)
        return self._empty(request, errors=write_errors(found.rows), **write_features(found.tables))

    def _empty(self, request: Any, **parts: Any) -> Any:
        return MESSAGES["ReadResponse"](
            request_id=request_id.get() or "",
            id=request.id,
            feature_service=request.feature_service,
            **parts,
        )


def grpc_reads(
    reads: FeatureReads, observe: Observe, settings: ProxySettings, tracing: Tracing | None
) -> AbstractAsyncContextManager[None]:
    """Serve on the settings' port while the context lasts. Raises Conflict where it is taken."""
    reader = FeatureReader(reads, observe, tracing)
    coded = {
        "request_deserializer": MESSAGES["ReadRequest"].FromString,
        "response_serializer": MESSAGES["ReadResponse"].SerializeToString,
    }
    handlers = grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "Read": grpc.unary_unary_rpc_method_handler(reader.read, **coded),
            "ReadStream": grpc.stream_stream_rpc_method_handler(reader.read_stream, **coded),
        },
    )
    return serving_grpc(
        handlers,
        GrpcEdge(observe, tracing),
        address=f"{settings.host}:{settings.grpc_port}",
        max_bytes=settings.max_body_bytes,
        drain_seconds=settings.drain_seconds,
        tls=settings.tls,
        setting=PREFIX + "GRPC_PORT",
    )
