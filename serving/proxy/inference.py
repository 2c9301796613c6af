"""Asking the inference endpoint: the port, and its adapter over HTTP."""

from __future__ import annotations

from typing import Any, Protocol

import httpx
import numpy as np
import numpy.typing as npt
import orjson

from mlops.manifest import Manifest
from serving.edge import REQUEST_ID
from serving.errors import InferenceUnavailable
from serving.proxy.features import FloatMatrix
from serving.scores import read_scores
from serving.spans import outgoing_headers

Scores = npt.NDArray[np.float64]
_REMEDY = "Try again after a second; operators find the cause in the proxy's /readyz and log."


class VersionGone(InferenceUnavailable):
    """Inference does not hold the version that was asked for, or not any more."""


class Inference(Protocol):
    """Where rows are scored."""

    async def score(
        self, endpoint: str, version: int, manifest: Manifest, rows: FloatMatrix, *, request_id: str
    ) -> Scores:
        """The probability of yes for each row, NaN where the model gives none.

        Raises VersionGone, InferenceUnavailable.
        """

    async def versions(self, endpoint: str) -> frozenset[int]:
        """Which versions can score now; none for an unknown endpoint. Raises as `score`."""

    async def ping(self) -> None:
        """Raises InferenceUnavailable unless every deployed model can score."""

    async def close(self) -> None:
        """Let go of the connections."""


class HttpInference:
    """The Open Inference Protocol v2 as JSON, over a pool of kept connections."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        """client: with the endpoint's base_url, timeouts and limits."""
        self._client = client

    async def score(
        self, endpoint: str, version: int, manifest: Manifest, rows: FloatMatrix, *, request_id: str
    ) -> Scores:
        answer = await self._ask(
            "POST",
            f"/v2/models/{endpoint}/versions/{version}/infer",
            content=_infer_body(manifest, rows, request_id),
            headers={"Content-Type": "application/json", REQUEST_ID: request_id}
            | outgoing_headers(),
        )
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise VersionGone(f"Inference does not hold '{endpoint}' {version}.", remedy=_REMEDY)
        return _read_scores(self._checked(answer), manifest, version, len(rows))

    async def versions(self, endpoint: str) -> frozenset[int]:
        answer = await self._ask("GET", f"/v2/models/{endpoint}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return frozenset()
        return frozenset(int(version) for version in self._checked(answer)["versions"])

    async def ping(self) -> None:
        self._checked(await self._ask("GET", "/v2/health/ready"))

    async def close(self) -> None:
        await self._client.aclose()

    async def _ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            return await self._client.request(method, path, **content)
        except httpx.HTTPError as exc:
            raise InferenceUnavailable(
                f"Inference does not answer ({type(exc).__name__}).", remedy=_REMEDY
            ) from exc

    def _checked(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            answer.raise_for_status()
            body: dict[str, Any] = orjson.loads(answer.content)
        except (httpx.HTTPStatusError, orjson.JSONDecodeError) as exc:
            raise InferenceUnavailable(
                f"Inference answered {answer.status_code}.", remedy=_REMEDY
            ) from exc
        return body


def _infer_body(manifest: Manifest, rows: FloatMatrix, request_id: str) -> bytes:
    tensor = {
        "name": manifest.graph_input,
        "datatype": "FP32",
        "shape": list(rows.shape),
        "data": rows.ravel(),
    }
    outputs = [{"name": manifest.graph_output}]
    body = {"id": request_id, "inputs": [tensor], "outputs": outputs}
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def _read_scores(answer: dict[str, Any], manifest: Manifest, version: int, rows: int) -> Scores:
    """The answer's one output. Raises InferenceUnavailable for anything else."""
    try:
        (output,) = answer["outputs"]
        named = (answer["model_version"], output["name"]) == (str(version), manifest.graph_output)
        data = np.array(output["data"], dtype=np.float64).reshape(output["shape"])
        scores = read_scores(manifest, data)
    except (KeyError, IndexError, TypeError, ValueError) as exc:
        raise InferenceUnavailable("Inference's answer cannot be read.", remedy=_REMEDY) from exc
    if not named or len(scores) != rows:
        raise InferenceUnavailable("Inference answered something else.", remedy=_REMEDY)
    return scores
