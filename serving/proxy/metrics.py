"""What Prometheus sees of the proxy."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

from serving.edge import Answered
from serving.gauges import VersionGauges

_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5)
_SCORES = tuple(step / 20 for step in range(1, 21))


class ProxyMetrics:
    """Counters of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "mlops_proxy_requests",
            "Answered requests.",
            ["route", "method", "status"],
            registry=registry,
        )
        self._request_seconds = Histogram(
            "mlops_proxy_request_seconds",
            "From the first byte in to the last byte out.",
            ["route"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._stage_seconds = Histogram(
            "mlops_proxy_stage_seconds",
            "Time of a prediction by stage: parse, features, assemble, inference, log.",
            ["stage", "model", "version"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._features = Counter(
            "mlops_proxy_features",
            "Features by the status that they were found with.",
            ["model", "feature", "status"],
            registry=registry,
        )
        self._errors = Counter(
            "mlops_proxy_errors",
            "Instances that were not scored, by the error's code.",
            ["model", "code"],
            registry=registry,
        )
        self._pushes = Counter(
            "mlops_proxy_pushed_rows",
            "Rows that were pushed, by push source and by what became of them.",
            ["push_source", "outcome"],
            registry=registry,
        )
        self._scores = Histogram(
            "mlops_proxy_score",
            "Distribution of the scores.",
            ["model", "version"],
            buckets=_SCORES,
            registry=registry,
        )
        self._versions = VersionGauges(
            {
                "mlops_proxy_version_active": "1 for the version that answers.",
                "mlops_proxy_version_behind": "1 where what is deployed is not what answers.",
            }
        )
        registry.register(self._versions)
        self._shown: set[str] = set()

    def observe_request(self, answered: Answered) -> None:
        self._requests.labels(answered.route, answered.method, str(answered.status)).inc()
        self._request_seconds.labels(answered.route).observe(answered.seconds)

    @contextmanager
    def stage(self, stage: str, model: str, version: int) -> Iterator[None]:
        """Time one stage of a prediction, failed ones too."""
        started = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - started
            self._stage_seconds.labels(stage, model, str(version)).observe(seconds)

    def count_feature(self, model: str, feature: str, status: str) -> None:
        self._features.labels(model, feature, status).inc()

    def count_error(self, model: str, code: str) -> None:
        self._errors.labels(model, code).inc()

    def count_push(self, source: str, outcome: str) -> None:
        self._pushes.labels(source, outcome).inc()

    def observe_score(self, model: str, version: int, score: float) -> None:
        self._scores.labels(model, str(version)).observe(score)

    def show_endpoints(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Bring the gauges up to date with the catalogue's state."""
        for gone in self._shown - set(state):
            self._versions.drop(gone)
        self._shown = set(state)
        for model, endpoint in state.items():
            version = endpoint["version"] or 0
            self._versions.show(
                model,
                mlops_proxy_version_active={version: float(endpoint["ready"])},
                mlops_proxy_version_behind={version: float(endpoint["problem"] is not None)},
            )
