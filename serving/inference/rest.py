"""The Open Inference Protocol's REST bodies: JSON, and tensors as bytes behind the JSON.

Sources: inference_rest.md of https://github.com/kserve/open-inference-protocol, and
extension_binary_data.md of https://github.com/triton-inference-server/server.
Two things beside them: `null` in a tensor's data is NaN, JSON having no other way to say it, and
an error carries a `code` beside its `error` text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from serving.binary import HEADER_LENGTH, from_bytes, to_bytes
from serving.errors import InvalidRequest
from serving.inference.model import LoadedModel
from serving.inference.protocol import (
    InferAnswer,
    InferRequest,
    check_inputs,
    check_shape,
    choose_outputs,
    read_kind,
    read_spec,
    shaped,
)
from serving.tensors import Kind, Tensor, from_values


def parse_json(body: bytes | memoryview) -> Any:
    """Raises InvalidRequest."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise InvalidRequest(f"The body is no JSON: {exc}.", field="body") from exc


def parse_infer(body: bytes, model: LoadedModel, header_length: str | None = None) -> InferRequest:
    """The tensors of a request. Raises InvalidRequest naming the part that is wrong.

    header_length: the value of HEADER_LENGTH, where bytes of tensors follow the JSON.
    """
    head, behind = _split(body, header_length)
    request = parse_json(head)
    inputs = request.get("inputs") if isinstance(request, dict) else None
    if not isinstance(inputs, list) or not inputs:
        raise InvalidRequest("'inputs' must be a list of tensors.", field="inputs")
    tensors = _read_inputs(inputs, model, behind)
    check_inputs(tensors, model)
    outputs = _asked(request.get("outputs"))
    names = choose_outputs([output.get("name") for output in outputs], model)
    identity = request.get("id")
    return InferRequest(
        tensors,
        names,
        None if identity is None else str(identity),
        frozenset(_binary_outputs(request, outputs, names)),
    )


def _split(body: bytes, header_length: str | None) -> tuple[bytes | memoryview, memoryview]:
    view = memoryview(body)
    if header_length is None:
        return body, view[len(body) :]
    if not header_length.isascii() or not header_length.isdigit():
        raise InvalidRequest(f"{HEADER_LENGTH} is no number.", field=HEADER_LENGTH)
    length = int(header_length)
    if length > len(body):
        raise InvalidRequest(f"{HEADER_LENGTH} is beyond the body.", field=HEADER_LENGTH)
    return view[:length], view[length:]


def _read_inputs(
    inputs: Sequence[Any], model: LoadedModel, behind: memoryview
) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    start = 0
    for place, given in enumerate(inputs):
        field = f"inputs[{place}]"
        if not isinstance(given, dict):
            raise InvalidRequest(f"'{field}' must be an object.", field=field)
        spec = read_spec(given.get("name"), model, field=field)
        if spec.name in tensors:
            raise InvalidRequest(f"'{spec.name}' is there twice.", field=f"{field}.name")
        kind = read_kind(given.get("datatype"), field=field)
        shape = check_shape(given.get("shape"), spec, field=field)
        size = _parameter(given, "binary_data_size")
        field += ".data"
        if size is None:
            # Any number may stand for another here: the graph's type decides, not the datatype.
            found = from_values(given.get("data"), spec.kind, field=field)
        else:
            found = from_bytes(_cut(behind, start, size, field), kind, field=field)
            start += size
        tensors[spec.name] = shaped(found, shape, spec, field=field)
    if start != len(behind):
        raise InvalidRequest("There are more bytes than the tensors' sizes say.", field="body")
    return tensors


def _parameter(part: Mapping[str, Any], name: str) -> Any:
    parameters = part.get("parameters")
    return parameters.get(name) if isinstance(parameters, dict) else None


def _cut(behind: memoryview, start: int, size: Any, field: str) -> memoryview:
    if type(size) is not int or size < 0 or start + size > len(behind):
        raise InvalidRequest(f"'{field}' has no {size!r} bytes in the body.", field=field)
    return behind[start : start + size]


def _asked(outputs: Any) -> list[Mapping[str, Any]]:
    if outputs is None:
        return []
    if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
        raise InvalidRequest("'outputs' must be a list of objects with names.", field="outputs")
    return outputs


def _binary_outputs(
    request: Mapping[str, Any], outputs: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> Iterator[str]:
    """What an output says of itself counts more than what the request says of all."""
    everywhere = _parameter(request, "binary_data_output") is True
    own = {output["name"]: _parameter(output, "binary_data") for output in outputs}
    for name in names:
        if own.get(name, everywhere) is True or (own.get(name) is None and everywhere):
            yield name


def write_infer(request: InferRequest, answer: InferAnswer) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON where bytes of tensors follow it."""
    behind: list[bytes] = []
    outputs = []
    for name, tensor in answer.outputs.items():
        kind = answer.specs[name].kind
        output: dict[str, Any] = {
            "name": name,
            "datatype": kind.protocol,
            "shape": list(tensor.shape),
        }
        if name in request.binary:
            behind.append(to_bytes(tensor, kind))
            output["parameters"] = {"binary_data_size": len(behind[-1])}
        else:
            output["data"] = _jsonable(tensor, kind)
        outputs.append(output)
    body: dict[str, Any] = {
        "model_name": answer.model,
        "model_version": str(answer.version),
        "outputs": outputs,
    }
    if request.id is not None:
        body["id"] = request.id
    head = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    return (head, None) if not request.binary else (head + b"".join(behind), len(head))


def _jsonable(tensor: Tensor, kind: Kind) -> Any:
    """What orjson can write: it knows no half floats and no arrays of objects."""
    if kind.is_text:
        return [str(value) for value in tensor.ravel()]
    flat = np.ascontiguousarray(tensor).ravel()
    return flat.astype(np.float32) if kind.protocol == "FP16" else flat
