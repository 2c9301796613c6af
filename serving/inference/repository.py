"""The versions that inference holds: loaded as the deployment documents say, swapped whole."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from mlops.deployment import DeployedVersion, Deployment
from mlops.errors import MlopsError, Refused
from mlops.manifest import MANIFEST, MODEL, read_manifest
from serving.buckets import OpenBucket, split_prefix
from serving.errors import UnknownModel
from serving.inference.metrics import InferenceMetrics
from serving.inference.model import LoadedModel, load_model
from serving.watching import DocumentWatcher

log = logging.getLogger("serving.inference")

Admit = Callable[[int], None]
"""Called with a graph's bytes before it is loaded. Raises Refused when there is no room."""
Loader = Callable[[DeployedVersion, Admit], LoadedModel]
HELD_PER_BYTE = 3
"""What ONNX Runtime holds of a byte of graph: 1 to 6 were seen for forests, less for others."""


@dataclass
class Endpoint:
    """What one endpoint serves now, and what could not be loaded for it."""

    loaded: dict[int, LoadedModel] = field(default_factory=dict)
    last_used: dict[int, float] = field(default_factory=dict)
    stable: int | None = None
    """Answers requests that name no version. Stays what it was until its successor is loaded."""
    failures: dict[int, Failure] = field(default_factory=dict)

    @property
    def is_ready(self) -> bool:
        return self.stable is not None


@dataclass(frozen=True)
class Failure:
    """Why a version is not served, and which prefix that was said of."""

    reason: str
    prefix: str
    at: float


class ModelRepository:
    """Every endpoint's models. Reads are for the event loop; `refresh` and `retry` for threads."""

    def __init__(
        self,
        deployments: DocumentWatcher[Deployment],
        load: Loader,
        *,
        metrics: InferenceMetrics,
        retire_seconds: float,
        retry_seconds: float,
        budget_bytes: int | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deployments = deployments
        self._load = load
        self._metrics = metrics
        self._retire_seconds = retire_seconds
        self._retry_seconds = retry_seconds
        self._budget = budget_bytes
        self._now = now
        self._refreshing = threading.Lock()
        self.endpoints: dict[str, Endpoint] = {}
        self.is_started = False
        """Whether the deployment documents were read at least once."""

    def get(self, endpoint: str, version: int | None = None) -> LoadedModel:
        """The version, or the stable one. Raises UnknownModel saying what there is."""
        held = self.endpoints.get(endpoint)
        wanted = held.stable if held and version is None else version
        model = held.loaded.get(wanted) if held and wanted is not None else None
        if held is None or model is None:
            raise self._unknown(endpoint, version, held)
        held.last_used[model.version] = self._now()
        return model

    def refresh(self) -> None:
        """Follow the documents: load what they name, then let go of what they do not; blocking.

        Raises Unavailable when the documents cannot be listed; everything then stays as it is.
        """
        with self._refreshing:
            self._refresh()

    def retry(self, endpoint: str) -> None:
        """Refresh, and try what failed again at once."""
        with self._refreshing:
            if endpoint in self.endpoints:
                self.endpoints[endpoint].failures.clear()
            self._refresh()

    def _refresh(self) -> None:
        self._deployments.refresh()
        deployments = self._deployments.current
        for name, deployment in deployments.items():
            self._follow(name, deployment)
        for name in set(self.endpoints) - set(deployments):
            self.endpoints[name].stable = None
            self._retire(name, keep=set())
        self.is_started = True

    def _follow(self, name: str, deployment: Deployment) -> None:
        endpoint = self.endpoints.setdefault(name, Endpoint())
        wanted = {version.version: version for version in deployment.versions}
        for version in wanted.values():
            self._ensure(name, endpoint, version)
            self._choose_stable(name, endpoint, deployment)  # it does not wait for the others
        endpoint.failures = {v: f for v, f in endpoint.failures.items() if v in wanted}
        self._choose_stable(name, endpoint, deployment)
        keep = set(wanted) | ({endpoint.stable} if endpoint.stable is not None else set())
        self._retire(name, keep=keep)
        self._metrics.show_endpoint(name, endpoint.loaded, endpoint.failures)
        self._metrics.show_memory(self._held(), self._budget or 0)

    def _ensure(self, name: str, endpoint: Endpoint, version: DeployedVersion) -> None:
        failure = endpoint.failures.get(version.version)
        if version.version in endpoint.loaded or (failure and not self._is_due(failure, version)):
            return
        try:
            endpoint.loaded[version.version] = self._load(version, self._admit)
        except MlopsError as exc:
            self._report(name, endpoint, version, exc)
            return
        endpoint.last_used[version.version] = self._now()
        endpoint.failures.pop(version.version, None)
        log.info("version loaded", extra={"endpoint": name, "version": version.version})

    def _admit(self, graph_bytes: int) -> None:
        """Raises Refused when a graph of this size would not fit beside what is loaded."""
        needed = self._held() + HELD_PER_BYTE * graph_bytes
        if self._budget is not None and needed > self._budget:
            held = sum(len(endpoint.loaded) for endpoint in self.endpoints.values())
            raise Refused(
                f"{held} versions and this one would hold some {needed / 1e6:.0f} MB, more "
                f"than the {self._budget / 1e6:.0f} MB that are allowed. Reject versions that "
                "nobody needs, or raise MLOPS_INFERENCE_MEMORY_MB."
            )

    def _held(self) -> int:
        """Bytes of memory, as far as can be told from the graphs."""
        models = [m for e in self.endpoints.values() for m in e.loaded.values()]
        return HELD_PER_BYTE * sum(model.size for model in models)

    def _is_due(self, failure: Failure, version: DeployedVersion) -> bool:
        changed = failure.prefix != version.model_prefix
        return changed or self._now() - failure.at >= self._retry_seconds

    def _report(
        self, name: str, endpoint: Endpoint, version: DeployedVersion, error: MlopsError
    ) -> None:
        endpoint.failures[version.version] = Failure(str(error), version.model_prefix, self._now())
        self._metrics.load_failed(name, version.version)
        log.error(
            "version not loaded, what was serving stays",
            extra={
                "endpoint": name,
                "version": version.version,
                "cause": str(error),
                "serving": endpoint.stable,
            },
        )

    def _choose_stable(self, name: str, endpoint: Endpoint, deployment: Deployment) -> None:
        if deployment.stable is None:
            endpoint.stable = None
        elif deployment.stable.version in endpoint.loaded:
            if endpoint.stable != deployment.stable.version:
                log.info(
                    "stable version swapped",
                    extra={
                        "endpoint": name,
                        "before": endpoint.stable,
                        "version": deployment.stable.version,
                    },
                )
            endpoint.stable = deployment.stable.version

    def _retire(self, name: str, *, keep: set[int]) -> None:
        """Drop what nobody asked for lately; a request under way keeps its own reference."""
        endpoint = self.endpoints[name]
        idle_since = self._now() - self._retire_seconds
        for version in set(endpoint.loaded) - keep:
            if endpoint.last_used.get(version, 0.0) <= idle_since:
                del endpoint.loaded[version]
                endpoint.last_used.pop(version, None)
                log.info("version dropped", extra={"endpoint": name, "version": version})
        if endpoint.stable not in endpoint.loaded:
            endpoint.stable = None
        if not keep and not endpoint.loaded:
            del self.endpoints[name]
            self._metrics.drop_endpoint(name)

    @staticmethod
    def _unknown(name: str, version: int | None, held: Endpoint | None) -> UnknownModel:
        if held is None:
            return UnknownModel(
                f"No model '{name}' is deployed.",
                field="model",
                remedy="Approve a version: 'mlops models approve'.",
            )
        failure = held.failures.get(version) if version is not None else None
        wanted = f"version {version}" if version is not None else "a stable version"
        return UnknownModel(
            f"Model '{name}' has no {wanted} here, but {sorted(held.loaded) or 'none'}."
            + (f" It failed to load: {failure.reason}" if failure else ""),
            field="version",
        )


def bucket_loader(open_bucket: OpenBucket, *, threads: int) -> Loader:
    """Load a version from the S3 prefix that its deployment names."""

    def load(deployed: DeployedVersion, admit: Admit) -> LoadedModel:
        files = fetch_files(open_bucket, deployed.model_prefix)
        admit(len(files[MODEL]))
        return load_model(deployed, files, threads=threads)

    return load


def fetch_files(open_bucket: OpenBucket, model_prefix: str) -> Mapping[str, bytes]:
    """The manifest and every file that it lists. Raises NotFound, InputError."""
    bucket, prefix = split_prefix(model_prefix)
    documents = open_bucket(bucket)
    body = documents.get(prefix + MANIFEST).body
    listed = set(read_manifest(body, where=model_prefix + MANIFEST).files) | {MODEL}
    with ThreadPoolExecutor(4) as pool:
        bodies = pool.map(lambda name: documents.get(prefix + name).body, sorted(listed))
        return {MANIFEST: body, **dict(zip(sorted(listed), bodies, strict=True))}
