"""The Open Inference Protocol over gRPC: a thin shell round the data plane."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from importlib.metadata import version as installed_version
from typing import Any

import grpc
import numpy as np

from mlops.errors import MlopsError
from serving.binary import decode_text, from_bytes, to_bytes
from serving.deadline import Deadline
from serving.errors import InvalidRequest
from serving.grpc_edge import GrpcEdge
from serving.grpc_server import refuse, serving_grpc
from serving.inference.messages import MESSAGES, SERVICE
from serving.inference.model import LoadedModel
from serving.inference.plane import DataPlane
from serving.inference.protocol import (
    EXTENSIONS,
    NAME,
    InferAnswer,
    InferRequest,
    check_inputs,
    check_shape,
    choose_outputs,
    read_kind,
    read_spec,
    shaped,
)
from serving.inference.settings import InferenceSettings
from serving.logs import request_facts
from serving.spans import Tracing
from serving.tensors import Kind, Tensor

log = logging.getLogger("serving.inference")

_CONTENTS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""FP16 has no list of its own: it comes as raw contents only."""

Handler = Callable[[DataPlane, Any, Any], Awaitable[Mapping[str, Any]]]


def grpc_server(
    plane: DataPlane, settings: InferenceSettings, tracing: Tracing | None = None
) -> AbstractAsyncContextManager[None]:
    """Serve on the settings' port until the context ends, and then until all is answered.

    Raises Conflict when the port is taken.
    """
    return serving_grpc(
        _service(plane),
        GrpcEdge(plane.metrics.observe_request, tracing),
        address=f"{settings.host}:{settings.grpc_port}",
        max_bytes=settings.max_body_bytes,
        drain_seconds=settings.drain_seconds,
        tls=settings.tls,
        setting="MLOPS_INFERENCE_GRPC_PORT",
    )


def _service(plane: DataPlane) -> Any:
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            method: grpc.unary_unary_rpc_method_handler(
                partial(_answer, plane, method, handler),
                request_deserializer=MESSAGES[f"{method}Request"].FromString,
                response_serializer=MESSAGES[f"{method}Response"].SerializeToString,
            )
            for method, handler in _HANDLERS.items()
        },
    )


async def _answer(
    plane: DataPlane, method: str, handler: Handler, request: Any, context: Any
) -> Any:
    try:
        return MESSAGES[f"{method}Response"](**await handler(plane, request, context))
    except MlopsError as error:
        await refuse(context, error)
    except asyncio.CancelledError:
        raise
    except Exception:
        log.exception("unexpected error")
        await context.abort(grpc.StatusCode.INTERNAL, "The request failed on our side.")


async def _live(_plane: DataPlane, _request: Any, _context: Any) -> dict[str, Any]:
    return {"live": True}


async def _ready(plane: DataPlane, _request: Any, _context: Any) -> dict[str, Any]:
    return {"ready": plane.readiness()["ready"]}


async def _model_ready(plane: DataPlane, request: Any, _context: Any) -> dict[str, Any]:
    plane.model(request.name, request.version)
    return {"ready": True}


async def _server_metadata(_plane: DataPlane, _request: Any, _context: Any) -> dict[str, Any]:
    return {"name": NAME, "version": installed_version("feast-mlops"), "extensions": EXTENSIONS}


async def _model_metadata(plane: DataPlane, request: Any, _context: Any) -> dict[str, Any]:
    found = plane.metadata(request.name, request.version)
    del found["parameters"]
    return found


async def _infer(plane: DataPlane, request: Any, context: Any) -> dict[str, Any]:
    deadline = _deadline_of(context)
    model = plane.model(request.model_name, request.model_version)
    asked = parse_infer(request, model)
    request_facts.set({"model": request.model_name, "version": model.version, "rows": asked.rows})
    answer = await plane.infer(request.model_name, model, asked, deadline=deadline)
    return write_infer(asked, answer)


def _deadline_of(context: Any) -> Deadline | None:
    """The call's own."""
    left = context.time_remaining()
    return None if left is None else Deadline.after(left * 1000, since=time.monotonic())


async def _index(plane: DataPlane, request: Any, _context: Any) -> dict[str, Any]:
    return {"models": plane.index(ready_only=request.ready)}


async def _load(plane: DataPlane, request: Any, _context: Any) -> dict[str, Any]:
    await plane.load(request.model_name)
    return {}


async def _unload(plane: DataPlane, request: Any, _context: Any) -> dict[str, Any]:
    plane.unload(request.model_name)
    return {}


_HANDLERS: dict[str, Handler] = {
    "ServerLive": _live,
    "ServerReady": _ready,
    "ServerMetadata": _server_metadata,
    "ModelReady": _model_ready,
    "ModelMetadata": _model_metadata,
    "ModelInfer": _infer,
    "RepositoryIndex": _index,
    "RepositoryModelLoad": _load,
    "RepositoryModelUnload": _unload,
}


def parse_infer(request: Any, model: LoadedModel) -> InferRequest:
    """The tensors of a ModelInferRequest. Raises InvalidRequest naming the part that is wrong."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidRequest(
            "'raw_input_contents' must be there for each input, or for none.",
            field="raw_input_contents",
        )
    tensors: dict[str, Tensor] = {}
    for place, given in enumerate(request.inputs):
        field = f"inputs[{place}]"
        spec = read_spec(given.name, model, field=field)
        kind = read_kind(given.datatype, field=field)
        shape = check_shape(list(given.shape), spec, field=field)
        found = (
            from_bytes(memoryview(raw[place]), kind, field=field)
            if raw
            else _contents(given.contents, kind, field=field)
        )
        tensors[spec.name] = shaped(found, shape, spec, field=field)
    if not tensors:
        raise InvalidRequest("'inputs' must be a list of tensors.", field="inputs")
    check_inputs(tensors, model)
    names = choose_outputs([output.name for output in request.outputs], model)
    binary = frozenset(names) if raw else frozenset()
    return InferRequest(tensors, names, request.id or None, binary)


def _contents(contents: Any, kind: Kind, *, field: str) -> Tensor:
    if kind.protocol not in _CONTENTS:
        raise InvalidRequest(f"'{field}': {kind.protocol} comes as raw contents.", field=field)
    values = getattr(contents, _CONTENTS[kind.protocol])
    if kind.is_text:
        return np.array([decode_text(value, field) for value in values], dtype=np.object_)
    return np.array(values, dtype=kind.dtype)


def write_infer(request: InferRequest, answer: InferAnswer) -> dict[str, Any]:
    """A ModelInferResponse's fields: raw contents for a request that had such."""
    outputs, raw = [], []
    kinds = {answer.specs[name].kind.protocol for name in answer.outputs}
    as_raw = bool(request.binary) or not kinds <= _CONTENTS.keys()
    for name, tensor in answer.outputs.items():
        kind = answer.specs[name].kind
        output: dict[str, Any] = {
            "name": name,
            "datatype": kind.protocol,
            "shape": tensor.shape,
        }
        if as_raw:
            raw.append(to_bytes(tensor, kind))
        else:
            output["contents"] = {_CONTENTS[kind.protocol]: _listed(tensor, kind)}
        outputs.append(output)
    return {
        "model_name": answer.model,
        "model_version": str(answer.version),
        "id": request.id,
        "outputs": outputs,
        "raw_output_contents": raw,
    }


def _listed(tensor: Tensor, kind: Kind) -> Any:
    flat = tensor.ravel()
    return [str(value).encode() for value in flat] if kind.is_text else flat.tolist()
