"""The data plane: what every protocol of the inference endpoint is a thin shell round."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from mlops.errors import MlopsError, Refused, Unavailable
from serving.deadline import Deadline
from serving.errors import InvalidRequest, UnknownModel
from serving.inference.metrics import InferenceMetrics
from serving.inference.model import LoadedModel
from serving.inference.protocol import InferAnswer, InferRequest, model_metadata
from serving.inference.repository import ModelRepository
from serving.inference.scoring import Scorer
from serving.spans import stage


@dataclass(frozen=True)
class DataPlane:
    """Models by name and version, and their answers."""

    repository: ModelRepository
    scorer: Scorer
    metrics: InferenceMetrics

    def model(self, name: str, version: str | None = None) -> LoadedModel:
        """The version, or the stable one. Raises UnknownModel."""
        return self.repository.get(name, read_version(version))

    def only_model(self) -> tuple[str, LoadedModel]:
        """SageMaker hosts one model per container. Raises Unavailable, InvalidRequest."""
        endpoints = list(self.repository.endpoints.items())
        ready = sorted(name for name, endpoint in endpoints if endpoint.is_ready)
        if not ready:
            raise Unavailable("No model is loaded yet.")
        if len(ready) > 1:
            raise InvalidRequest(
                f"Several models are deployed here ({', '.join(ready)}): "
                "use /v2/models/{model}/infer."
            )
        return ready[0], self.repository.get(ready[0])

    async def infer(
        self,
        name: str,
        model: LoadedModel,
        request: InferRequest,
        *,
        deadline: Deadline | None = None,
    ) -> InferAnswer:
        """Raises Overloaded, DeadlineExceeded where nobody would wait for the answer any more, and
        MlopsError when the graph fails.
        """
        try:
            with stage("run"):
                found = await self.scorer.score(
                    name,
                    model,
                    request.tensors,
                    request.outputs,
                    rows=request.rows,
                    deadline=deadline,
                )
        except MlopsError as error:
            self.metrics.count_error(name, error.code)
            raise
        outputs = dict(zip(request.outputs, found, strict=True))
        return InferAnswer(name, model.version, outputs, model.outputs)

    def metadata(self, name: str, version: str | None = None) -> dict[str, Any]:
        model = self.model(name, version)
        return model_metadata(name, model, self.repository.endpoints[name].loaded)

    def readiness(self) -> dict[str, Any]:
        """Which models serve which versions, and which versions failed to load and why."""
        models = {
            name: {
                "ready": endpoint.is_ready,
                "stable": endpoint.stable,
                "versions": sorted(endpoint.loaded),
                "failed": {str(v): f.reason for v, f in endpoint.failures.items()},
            }
            for name, endpoint in list(self.repository.endpoints.items())
        }
        ready = self.repository.is_started and all(model["ready"] for model in models.values())
        return {"ready": ready, "models": models}

    def index(self, *, ready_only: bool = False) -> list[dict[str, str]]:
        """Every version that is deployed here: the protocol's index of the model repository."""
        found = []
        for name, endpoint in sorted(self.repository.endpoints.items()):
            for version in sorted(endpoint.loaded):
                entry = {"name": name, "version": str(version), "state": "READY", "reason": ""}
                found.append(entry)
            for version, failure in sorted(endpoint.failures.items()):
                entry = {"name": name, "version": str(version), "state": "UNAVAILABLE"}
                found.append(entry | {"reason": failure.reason})
        return [entry for entry in found if entry["state"] == "READY" or not ready_only]

    async def load(self, name: str) -> None:
        """Look at the deployments now, and try again what failed. Raises UnknownModel, Refused."""
        await asyncio.to_thread(self.repository.retry, name)
        endpoint = self.repository.endpoints.get(name)
        if endpoint is None:
            raise UnknownModel(f"No model '{name}' is deployed.", field="model")
        if endpoint.failures:
            reasons = "; ".join(f"{v}: {f.reason}" for v, f in endpoint.failures.items())
            raise Refused(f"Model '{name}': {reasons}")

    def unload(self, name: str) -> None:
        """Raises Refused: the deployment document says what is served, and would load it again."""
        raise Refused(
            f"Model '{name}' is served because its deployment says so. Reject the version "
            "('mlops models reject'), and it is dropped after its last request."
        )


def read_version(text: str | None) -> int | None:
    """The registry's version number. Raises UnknownModel for anything else."""
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise UnknownModel(f"There is no version '{text[:20]}'.", field="version")
    return int(text)
