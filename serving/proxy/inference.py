"""Asking the inference endpoint: the port, and its adapter over HTTP."""

from __future__ import annotations

from typing import Any, Protocol
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import orjson

from mlops.errors import Unavailable
from mlops.manifest import Manifest
from serving.binary import HEADER_LENGTH, to_bytes
from serving.deadline import TIMEOUT, Deadline
from serving.edge import REQUEST_ID
from serving.errors import InferenceUnavailable
from serving.http import HttpAnswer, HttpClient
from serving.scores import read_answer
from serving.spans import outgoing_headers
from serving.tensors import BY_DTYPE, Tensors, count_rows

Scores = npt.NDArray[np.float64]
_REMEDY = "Try again after a second; operators find the cause in the proxy's /readyz and log."
_UNREADABLE = "Inference's answer cannot be read."
_OK, _NOT_FOUND = 200, 404
_JSON = {"Content-Type": "application/json"}
_HEADER = HEADER_LENGTH.lower().encode()
_FLOATS: dict[Any, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "FP64": np.dtype("<f8")}
"""The types of answers that a manifest allows."""


class NoAnswer(InferenceUnavailable):
    """Nothing came, or not in time: it may be gone. A refusal is an answer."""


class VersionGone(InferenceUnavailable):
    """Inference does not hold the version that was asked for, or not any more."""


class Inference(Protocol):
    """Where rows are scored."""

    async def score(
        self,
        endpoint: str,
        version: int,
        manifest: Manifest,
        rows: Tensors,
        *,
        request_id: str,
        deadline: Deadline | None = None,
    ) -> Scores:
        """What the model says of each row, NaN where it gives no number: n values, or [n, classes]
        where it tells several classes apart.

        rows: the tensors that the graph takes, by name.
        request_id: of the request that waits for it; several, separated by spaces, where rows of
        several are asked for at once. deadline: when nobody waits any more.
        Raises VersionGone, NoAnswer, InferenceUnavailable.
        """

    async def versions(self, endpoint: str) -> frozenset[int]:
        """Which versions can score now; none for an unknown endpoint. Raises as `score`."""

    async def failure(self, endpoint: str, version: int) -> str:
        """Why a version cannot be loaded; '' where none says so. Raises as `score`."""

    async def ping(self) -> None:
        """Raises InferenceUnavailable unless every deployed model can score."""

    async def close(self) -> None:
        """Let go of the connections."""


class HttpInference:
    """The Open Inference Protocol v2 with tensors as bytes behind the JSON, one request a call."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    async def score(
        self,
        endpoint: str,
        version: int,
        manifest: Manifest,
        rows: Tensors,
        *,
        request_id: str,
        deadline: Deadline | None = None,
    ) -> Scores:
        body, length = _infer_body(manifest, rows, request_id)
        answer = await self._ask(
            "POST",
            f"/v2/models/{quote(endpoint, safe='')}/versions/{version}/infer",
            headers={
                "Content-Type": "application/octet-stream",
                HEADER_LENGTH: str(length),
                REQUEST_ID: request_id.partition(" ")[0],
                **_time_left(deadline),
                **outgoing_headers(),
            },
            body=body,
        )
        if answer.status == _NOT_FOUND:
            raise VersionGone(f"Inference does not hold '{endpoint}' {version}.", remedy=_REMEDY)
        return _read_scores(_checked(answer), manifest, version, count_rows(rows))

    async def versions(self, endpoint: str) -> frozenset[int]:
        answer = await self._ask("GET", f"/v2/models/{quote(endpoint, safe='')}")
        if answer.status == _NOT_FOUND:
            return frozenset()
        try:
            return frozenset(map(int, orjson.loads(_checked(answer).body)["versions"]))
        except (KeyError, TypeError, ValueError) as exc:
            raise InferenceUnavailable(_UNREADABLE, remedy=_REMEDY) from exc

    async def failure(self, endpoint: str, version: int) -> str:
        answer = await self._ask("POST", "/v2/repository/index", body=b"{}", headers=_JSON)
        try:
            index = orjson.loads(_checked(answer).body)
            wanted = (endpoint, str(version), "UNAVAILABLE")
            found = (one for one in index if (one["name"], one["version"], one["state"]) == wanted)
            return next((str(one["reason"]) for one in found), "")
        except (KeyError, TypeError, ValueError) as exc:
            raise InferenceUnavailable(_UNREADABLE, remedy=_REMEDY) from exc

    async def ping(self) -> None:
        _checked(await self._ask("GET", "/v2/health/ready"))

    async def close(self) -> None:
        await self._client.close()

    async def _ask(self, method: str, path: str, **content: Any) -> HttpAnswer:
        try:
            return await self._client.request(method, path, **content)
        except Unavailable as exc:
            raise NoAnswer("Inference does not answer.", remedy=_REMEDY) from exc


def _time_left(deadline: Deadline | None) -> dict[str, str]:
    """What tells inference when nobody waits any more."""
    if deadline is None:
        return {}
    return {TIMEOUT: f"{max(deadline.remaining() * 1000, 0.001):.3f}"}


def _checked(answer: HttpAnswer) -> HttpAnswer:
    if answer.status != _OK:
        raise InferenceUnavailable(f"Inference answered {answer.status}.", remedy=_REMEDY)
    return answer


def _infer_body(manifest: Manifest, rows: Tensors, request_id: str) -> tuple[bytes, int]:
    """The body, and the length of its JSON."""
    inputs, behind = [], []
    for name, tensor in rows.items():
        kind = BY_DTYPE[tensor.dtype]
        behind.append(to_bytes(tensor, kind))
        inputs.append(
            {
                "name": name,
                "datatype": kind.protocol,
                "shape": tensor.shape,
                "parameters": {"binary_data_size": len(behind[-1])},
            }
        )
    output = {"name": manifest.graph_output, "parameters": {"binary_data": True}}
    head = orjson.dumps({"id": request_id, "inputs": inputs, "outputs": [output]})
    return head + b"".join(behind), len(head)


def _read_scores(answer: HttpAnswer, manifest: Manifest, version: int, rows: int) -> Scores:
    """The answer's one output. Raises InferenceUnavailable for anything else."""
    try:
        length = int(answer.headers[_HEADER])
        head = orjson.loads(memoryview(answer.body)[:length])
        (output,) = head["outputs"]
        named = (head["model_version"], output["name"]) == (str(version), manifest.graph_output)
        data = np.frombuffer(answer.body, _FLOATS[output["datatype"]], offset=length)
        scores = read_answer(manifest, data.reshape(output["shape"]))
    except (KeyError, IndexError, TypeError, ValueError) as exc:
        raise InferenceUnavailable(_UNREADABLE, remedy=_REMEDY) from exc
    if not named or len(scores) != rows:
        raise InferenceUnavailable("Inference answered something else.", remedy=_REMEDY)
    return scores
