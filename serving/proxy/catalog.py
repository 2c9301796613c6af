"""Which version of which model the proxy serves: what is deployed, once inference has it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops.deployment import DeployedVersion, Deployment
from mlops.errors import MlopsError, NotFound, Unavailable
from mlops.manifest import MANIFEST, Manifest
from mlops.objects import Documents
from mlops.plan import FeaturePlan
from mlops.stores.online import OnlineStore
from serving.buckets import OpenBucket, split_prefix
from serving.errors import InferenceUnavailable, UnknownModel
from serving.manifests import verified_manifest
from serving.proxy.inference import Inference
from serving.proxy.served import ServedModel, build_served_model
from serving.watching import DocumentWatcher

log = logging.getLogger("serving.catalog")

PLANS = "feast/plans/"


def watch_plans(documents: Documents) -> DocumentWatcher[FeaturePlan]:
    """Every applied feature service's plan, by the service's name."""
    return DocumentWatcher(documents, PLANS, FeaturePlan.model_validate_json)


@dataclass
class Served:
    """One endpoint: what answers now, and why what is deployed does not, if so."""

    active: ServedModel | None = None
    problem: str | None = None
    refused: _Refusal | None = None


@dataclass(frozen=True)
class _Refusal:
    """A version that did not fit; not tried again at once."""

    version: DeployedVersion
    plan: FeaturePlan | None
    at: float

    def holds(self, version: DeployedVersion, plan: FeaturePlan | None, since: float) -> bool:
        return self.version == version and self.plan is plan and self.at > since


@dataclass
class Catalog:
    """The served models. `get` is a look-up; `refresh` follows the documents."""

    deployments: DocumentWatcher[Deployment]
    plans: DocumentWatcher[FeaturePlan]
    open_bucket: OpenBucket
    store: OnlineStore
    inference: Inference
    repo: Path
    retry_seconds: float = 10.0
    now: Callable[[], float] = time.monotonic
    endpoints: dict[str, Served] = field(default_factory=dict)
    is_started: bool = False
    """Whether the documents were read at least once."""
    _manifests: dict[str, Manifest] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def get(self, endpoint: str) -> ServedModel:
        """Raises UnknownModel, or InferenceUnavailable while a deployed version is not ready."""
        served = self.endpoints.get(endpoint)
        if served is None:
            raise UnknownModel(
                f"No model '{endpoint[:100]}' is deployed.",
                field="model",
                remedy=f"Served here: {', '.join(sorted(self.endpoints)) or 'none'}. "
                "To deploy one, approve a version: 'mlops models approve'.",
            )
        if served.active is None:
            raise InferenceUnavailable(
                f"Model '{endpoint}' is deployed, but not ready: {served.problem}",
                remedy="Try again shortly; operators find more in /readyz.",
            )
        return served.active

    async def refresh(self) -> None:
        """Follow the documents once. Raises Unavailable when they cannot be read."""
        async with self._lock:
            await asyncio.to_thread(self._look)
            deployments = dict(self.deployments.current)
            for name in set(self.endpoints) - set(deployments):
                del self.endpoints[name]
            for name, deployment in deployments.items():
                await self._follow(name, deployment)
            self.is_started = True

    def _look(self) -> None:
        self.deployments.refresh()
        self.plans.refresh()

    async def _follow(self, name: str, deployment: Deployment) -> None:
        if deployment.stable is None:
            self.endpoints.pop(name, None)
            return
        served = self.endpoints.setdefault(name, Served())
        if self._is_current(served.active, deployment.stable):
            served.problem = None
            return
        try:
            served.problem = await self._switch(name, served, deployment, deployment.stable)
        except MlopsError as exc:
            self._report(name, served, deployment.stable, exc)

    def _is_current(self, active: ServedModel | None, wanted: DeployedVersion) -> bool:
        return (
            active is not None
            and active.deployed == wanted
            and active.plan is self.plans.current.get(active.plan.service)
        )

    async def _switch(
        self, name: str, served: Served, deployment: Deployment, wanted: DeployedVersion
    ) -> str | None:
        """Serve the wanted version if inference has it; the reason, where it does not."""
        ready = await self.inference.versions(name)
        if wanted.version in ready:
            await self._activate(name, served, wanted)
            return None
        if served.active is None:
            await self._fall_back(name, served, deployment.history, ready)
        return f"inference has not loaded version {wanted.version}"

    async def _fall_back(
        self, name: str, served: Served, history: Iterable[DeployedVersion], ready: frozenset[int]
    ) -> None:
        """After a start: what inference kept serving while its successor could not be loaded."""
        kept = next((version for version in history if version.version in ready), None)
        if kept is not None:
            await self._activate(name, served, kept)

    async def _activate(self, name: str, served: Served, version: DeployedVersion) -> None:
        refusal, since = served.refused, self.now() - self.retry_seconds
        if refusal and refusal.holds(version, self._plan_of(version), since):
            raise Unavailable(served.problem or "refused")
        manifest = await asyncio.to_thread(self._manifest, version)
        model = await asyncio.to_thread(self._build, name, version, manifest)
        before, served.active, served.refused = served.active, model, None
        log.info(
            "version swapped",
            extra={
                "endpoint": name,
                "before": before.version if before else None,
                "version": model.version,
                "trained_on_this_plan": model.is_trained_on_this_plan,
            },
        )

    def _build(self, name: str, version: DeployedVersion, manifest: Manifest) -> ServedModel:
        plan = self.plans.current.get(manifest.feature_service)
        if plan is None:
            raise NotFound(
                f"Feature service '{manifest.feature_service}' is not applied. "
                "Run 'mlops features apply'."
            )
        return build_served_model(name, version, manifest, plan, store=self.store, repo=self.repo)

    def _manifest(self, version: DeployedVersion) -> Manifest:
        known = self._manifests.get(version.manifest_sha256)
        if known is None:
            bucket, prefix = split_prefix(version.model_prefix)
            body = self.open_bucket(bucket).get(prefix + MANIFEST).body
            known = verified_manifest(version, body)
            self._manifests[version.manifest_sha256] = known
        return known

    def _plan_of(self, version: DeployedVersion) -> FeaturePlan | None:
        manifest = self._manifests.get(version.manifest_sha256)
        return self.plans.current.get(manifest.feature_service) if manifest else None

    def _report(
        self, name: str, served: Served, version: DeployedVersion, error: MlopsError
    ) -> None:
        """Once per reason; what was active stays."""
        if not isinstance(error, Unavailable):
            served.refused = _Refusal(version, self._plan_of(version), self.now())
        if served.problem != str(error):
            log.error(
                "version not served, what was active stays",
                extra={"endpoint": name, "version": version.version, "cause": str(error)},
            )
        served.problem = str(error)

    def state(self) -> Mapping[str, Any]:
        """Per endpoint: the active version, whether its plan is the one it was trained on."""
        return {
            name: {
                "ready": served.active is not None,
                "version": served.active.version if served.active else None,
                "trained_on_this_plan": served.active and served.active.is_trained_on_this_plan,
                "problem": served.problem,
            }
            for name, served in self.endpoints.items()
        }
