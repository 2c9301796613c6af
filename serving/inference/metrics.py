"""What Prometheus sees of the inference endpoint."""

from __future__ import annotations

from collections.abc import Collection

from prometheus_client import CollectorRegistry, Counter, Histogram

from serving.edge import Answered
from serving.gauges import VersionGauges

_BUCKETS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
_ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000)


class InferenceMetrics:
    """Counters of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "mlops_inference_requests",
            "Answered requests.",
            ["route", "method", "status"],
            registry=registry,
        )
        self._request_seconds = Histogram(
            "mlops_inference_request_seconds",
            "From the first byte in to the last byte out.",
            ["route"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._run_seconds = Histogram(
            "mlops_inference_run_seconds",
            "From a request's tensors to its outputs, waiting for the run included.",
            ["model", "version"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._rows = Histogram(
            "mlops_inference_rows",
            "Rows per request.",
            ["model", "version"],
            buckets=_ROWS,
            registry=registry,
        )
        self._batches = Histogram(
            "mlops_inference_batch_requests",
            "Requests that were joined into one run.",
            ["model", "version"],
            buckets=_BATCHES,
            registry=registry,
        )
        self._failures = Counter(
            "mlops_inference_load_failures",
            "Failed attempts to load a version.",
            ["model", "version"],
            registry=registry,
        )
        self._versions = VersionGauges(
            {
                "mlops_inference_version_loaded": "1 where a version is ready to score.",
                "mlops_inference_version_failed": "1 where a deployed version cannot be loaded.",
            }
        )
        registry.register(self._versions)

    def observe_request(self, answered: Answered) -> None:
        self._requests.labels(answered.route, answered.method, str(answered.status)).inc()
        self._request_seconds.labels(answered.route).observe(answered.seconds)

    def observe_run(self, model: str, version: int, *, rows: int, seconds: float) -> None:
        self._run_seconds.labels(model, str(version)).observe(seconds)
        self._rows.labels(model, str(version)).observe(rows)

    def observe_batch(self, model: str, version: int, requests: int) -> None:
        self._batches.labels(model, str(version)).observe(requests)

    def load_failed(self, model: str, version: int) -> None:
        self._failures.labels(model, str(version)).inc()

    def show_endpoint(self, model: str, loaded: Collection[int], failed: Collection[int]) -> None:
        """Bring the gauges of one endpoint up to date."""
        versions = {*loaded, *failed}
        self._versions.show(
            model,
            mlops_inference_version_loaded={v: float(v in loaded) for v in versions},
            mlops_inference_version_failed={v: float(v in failed) for v in versions},
        )

    def drop_endpoint(self, model: str) -> None:
        self._versions.drop(model)
