"""Which version of which model the proxy serves: what is deployed, once inference has it."""

from __future__ import annotations

import asyncio
import logging
import threading
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
from serving.proxy.routes import Route, build_route
from serving.proxy.served import ServedModel, build_served_model
from serving.watching import DocumentWatcher

log = logging.getLogger("serving.catalog")

PLANS = "feast/plans/"


def watch_plans(documents: Documents) -> DocumentWatcher[FeaturePlan]:
    """Every applied feature service's plan, by the service's name."""
    return DocumentWatcher(documents, PLANS, FeaturePlan.model_validate_json)


@dataclass
class Served:
    """One endpoint: who answers now, and why what is deployed does not, if so."""

    deployment: Deployment
    """What was followed last."""
    active: ServedModel | None = None
    """What answers as the stable version."""
    models: dict[int, ServedModel] = field(default_factory=dict)
    """What is deployed and ready, by version."""
    route: Route | None = None
    problems: dict[int, str] = field(default_factory=dict)
    """Why a version that is deployed is not served."""
    odd: str | None = None
    """What of the document cannot be followed."""
    refused: dict[int, _Refusal] = field(default_factory=dict)

    @property
    def problem(self) -> str | None:
        """Why the stable version that is deployed does not answer."""
        stable = self.deployment.stable
        return self.problems.get(stable.version) if stable else None


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
    """The served models. `get` is a look-up; `look` and `follow` keep up with the documents."""

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
    listeners: list[Callable[[], None]] = field(default_factory=list)
    """Called whenever the documents were followed."""
    _manifests: dict[str, Manifest] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _looking: threading.Lock = field(default_factory=threading.Lock)
    _followed: tuple[int, int] | None = None
    """The watchers' changes of which all is served; None while something is not."""

    def get(self, endpoint: str) -> ServedModel:
        """The stable version. Raises as `route`."""
        return self.route(endpoint).stable.model

    def route(self, endpoint: str) -> Route:
        """Raises UnknownModel, or InferenceUnavailable while the stable version is not ready."""
        served = self.endpoints.get(endpoint)
        if served is None:
            raise UnknownModel(
                f"No model '{endpoint[:100]}' is deployed.",
                field="model",
                remedy=f"Served here: {', '.join(sorted(self.endpoints)) or 'none'}. "
                "To deploy one, approve a version: 'mlops models approve'.",
            )
        if served.route is None:
            raise InferenceUnavailable(
                f"Model '{endpoint}' is deployed, but not ready: {served.problem}",
                remedy="Try again shortly; operators find more in /readyz.",
            )
        return served.route

    def deployment(self, endpoint: str) -> Deployment | None:
        """The document that is followed, whether or not its versions are ready."""
        served = self.endpoints.get(endpoint)
        return served.deployment if served else None

    def personal(self, endpoint: str) -> frozenset[str]:
        """The personal features that an answer of whichever of its versions may show."""
        served = self.endpoints.get(endpoint)
        route = served.route if served else None
        return (
            frozenset().union(*(model.personal for model in route.models)) if route else frozenset()
        )

    async def refresh(self) -> None:
        """Look and follow once. Raises Unavailable when the documents cannot be read."""
        if await asyncio.to_thread(self.look):
            await self.follow()

    def look(self) -> bool:
        """Read what changed of the documents; blocking. Whether there is something to follow.

        Raises Unavailable when they cannot be read.
        """
        with self._looking:
            self.deployments.refresh()
            self.plans.refresh()
            return self._followed != self._changes()

    def _changes(self) -> tuple[int, int]:
        return self.deployments.changes, self.plans.changes

    async def follow(self) -> None:
        """Serve what the documents say, as far as inference is ready for it."""
        async with self._lock:
            changes = self._changes()
            deployments = dict(self.deployments.current)
            for name in set(self.endpoints) - set(deployments):
                del self.endpoints[name]
            for name, deployment in deployments.items():
                await self._follow(name, deployment)
            self.is_started = True
            for listener in self.listeners:
                listener()
            is_settled = not any(served.problems for served in self.endpoints.values())
            self._followed = changes if is_settled else None

    async def _follow(self, name: str, deployment: Deployment) -> None:
        stable = deployment.stable
        if stable is None:
            self.endpoints.pop(name, None)
            return
        served = self.endpoints.setdefault(name, Served(deployment))
        served.deployment = deployment
        wanted = {version.version: version for version in deployment.versions}
        served.problems = {v: p for v, p in served.problems.items() if v in wanted}
        for version in wanted.values():
            await self._ensure(name, served, version)
        served.models = {v: model for v, model in served.models.items() if v in wanted}
        if (model := served.models.get(stable.version)) is not None:
            self._activate(name, served, model)
        elif served.active is None:
            await self._fall_back(name, served, deployment.history)
        self._direct(name, served)

    async def _ensure(self, name: str, served: Served, version: DeployedVersion) -> None:
        """Make a version ready, if it is not and inference has it; else note why it is not."""
        if not self._is_current(served.models.get(version.version), version):
            try:
                if version.version not in await self.inference.versions(name):
                    why = await self.inference.failure(name, version.version)
                    problem = f"inference has not loaded version {version.version}"
                    served.problems[version.version] = f"{problem}: {why}" if why else problem
                    return
                served.models[version.version] = await self._made(name, served, version)
            except MlopsError as exc:
                self._report(name, served, version, exc)
                return
        served.problems.pop(version.version, None)
        served.refused.pop(version.version, None)

    def _is_current(self, model: ServedModel | None, wanted: DeployedVersion) -> bool:
        return (
            model is not None
            and model.deployed == wanted
            and model.plan is self.plans.current.get(model.plan.service)
        )

    async def _fall_back(
        self, name: str, served: Served, history: Iterable[DeployedVersion]
    ) -> None:
        """After a start: what inference kept serving while its successor could not be loaded."""
        try:
            ready = await self.inference.versions(name)
            kept = next((version for version in history if version.version in ready), None)
            if kept is not None:
                self._activate(name, served, await self._made(name, served, kept))
        except MlopsError as exc:
            log.warning("nothing to fall back to", extra={"endpoint": name, "cause": str(exc)})

    async def _made(self, name: str, served: Served, version: DeployedVersion) -> ServedModel:
        refusal, since = served.refused.get(version.version), self.now() - self.retry_seconds
        if refusal and refusal.holds(version, self._plan_of(version), since):
            raise Unavailable(served.problems.get(version.version) or "refused")
        manifest = await asyncio.to_thread(self._manifest, version)
        return await asyncio.to_thread(self._build, name, version, manifest)

    def _activate(self, name: str, served: Served, model: ServedModel) -> None:
        before, served.active = served.active, model
        if before is not model:
            log.info(
                "version swapped",
                extra={
                    "endpoint": name,
                    "before": before.version if before else None,
                    "version": model.version,
                    "trained_on_this_plan": model.is_trained_on_this_plan,
                },
            )

    def _direct(self, name: str, served: Served) -> None:
        """Send traffic where the document says, as far as its versions are ready."""
        if served.active is None:
            return
        before, odd = served.route, served.odd
        served.route, served.odd = build_route(served.deployment, served.active, served.models)
        if served.odd and served.odd != odd:
            log.error("deployment not followed", extra={"endpoint": name, "cause": served.odd})
        if before is None or before.shares != served.route.shares:
            log.info("traffic changed", extra={"endpoint": name, "shares": served.route.shares})

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
            refusal = _Refusal(version, self._plan_of(version), self.now())
            served.refused[version.version] = refusal
        if served.problems.get(version.version) != str(error):
            log.error(
                "version not served, what was active stays",
                extra={"endpoint": name, "version": version.version, "cause": str(error)},
            )
        served.problems[version.version] = str(error)

    def state(self) -> Mapping[str, Any]:
        """Per endpoint: the active version, and what takes which share of the traffic."""
        return {name: _state(served) for name, served in self.endpoints.items()}


def _state(served: Served) -> dict[str, Any]:
    return {
        "ready": served.active is not None,
        "version": served.active.version if served.active else None,
        "trained_on_this_plan": served.active and served.active.is_trained_on_this_plan,
        "problem": served.problem,
        "revision": served.deployment.revision,
        "traffic": [
            _use(served, use, version.version)
            for use, version in served.deployment.uses
            if use != "stable"
        ],
        "traffic_problem": served.odd,
    }


def _use(served: Served, use: str, version: int) -> dict[str, Any]:
    shares = served.route.shares if served.route else {}
    return {
        "use": use,
        "version": version,
        "share": shares.get(use, 0.0),
        "problem": served.problems.get(version),
    }
