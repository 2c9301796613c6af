"""What Prometheus sees of the proxy."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector

from serving.edge import Answered
from serving.gauges import VersionGauges
from serving.proxy.feature_counts import FeatureCounts
from serving.proxy.read_counts import ReadCounts
from serving.proxy.traffic_metrics import TrafficMetrics
from serving.series import Series, VersionSeries
from serving.spans import RequestTrace, current
from serving.tallies import Spread, Spreads, Tallies, Tally

_SECONDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0015, 0.0025, 0.004, 0.006, 0.01, 0.015, 0.025),
    *(0.05, 0.1, 0.25, 1.0, 2.5),
)
"""Dense between half a millisecond and 25: there the promises are."""
_SCORES = tuple(step / 20 for step in range(1, 21))
_ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class ProxyMetrics:
    """Counters of one process, in a registry of their own; for its event loop alone."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._count_requests()
        self._count_predictions()
        self._count_redis()
        self.features = FeatureCounts(
            "mlops_proxy_features", "Features by the status that they were found with."
        )
        self.reads = ReadCounts()
        self._versions = VersionGauges(
            {
                "mlops_proxy_version_active": "1 for the version that answers.",
                "mlops_proxy_version_behind": "1 where what is deployed is not what answers.",
            }
        )
        for collector in (self.features, self.reads, self._versions):
            self.registry.register(collector)
        self.traffic = TrafficMetrics(self.registry)
        self._shown: set[str] = set()

    def _count_requests(self) -> None:
        self._answers: dict[Answered, tuple[Tally, Spread]] = {}
        """The series of requests by method, route and status: there are not many."""
        self._requests = self._counter(
            "requests", "Answered requests.", "route", "method", "status"
        )
        self._request_seconds = self._histogram(
            "request_seconds", "From the first byte in to the last byte out.", "route"
        )
        self._under_way = Gauge(
            "mlops_proxy_requests_under_way",
            "Requests that came and are not answered.",
            registry=self.registry,
        )
        self._pushes = self._counter(
            "pushed_rows",
            "Rows that were pushed, by push source and by what became of them.",
            *("push_source", "outcome"),
        )

    def _count_predictions(self) -> None:
        self._model_seconds = self._histogram(
            "model_seconds",
            "From the first byte in to the last byte out, of requests that a version answered.",
            *("model", "version"),
        )
        self._stage_seconds = self._histogram(
            "stage_seconds",
            "Time of a prediction by stage: parse, features, assemble, inference, log.",
            *("model", "version", "stage"),
        )
        self._instances = self._histogram(
            "instances", "Instances per prediction.", "model", "version", buckets=_ROWS
        )
        self._scores = self._histogram(
            "score", "Distribution of the scores.", "model", "version", buckets=_SCORES
        )
        self._errors = self._counter(
            "errors",
            "Instances, or whole requests, that were not answered, by the error's code.",
            *("model", "code"),
        )
        self._by_version = VersionSeries(
            self._model_seconds, self._stage_seconds, self._instances, self._scores
        )

    def _count_redis(self) -> None:
        self._redis = self._histogram("redis_seconds", "Round trips to Redis, lost ones too.").at()
        self._redis_keys = self._histogram(
            "redis_keys", "Keys that were asked for in one round trip.", buckets=_ROWS
        ).at()
        self._redis_failures = self._counter(
            "redis_failures", "Round trips to Redis without an answer."
        ).at()

    def _counter(self, name: str, says: str, *labels: str) -> Series[Tally]:
        return Series(Tallies(f"mlops_proxy_{name}", says, labels, registry=self.registry))

    def _histogram(
        self, name: str, says: str, *labels: str, buckets: tuple[float, ...] = _SECONDS
    ) -> Series[Spread]:
        made = Spreads(f"mlops_proxy_{name}", says, labels, buckets=buckets, registry=self.registry)
        return Series(made)

    def watch(self, under_way: Callable[[], float]) -> None:
        """Read this when somebody asks for the requests under way."""
        self._under_way.set_function(under_way)

    def observe_request(self, answered: Answered, seconds: float, facts: Mapping[str, Any]) -> None:
        """facts: what the app found out about the request, as its model and version."""
        counted = self._answers.get(answered)
        if counted is None:
            series = self._requests.at(answered.route, answered.method, str(answered.status))
            counted = self._answers[answered] = series, self._request_seconds.at(answered.route)
        counted[0].inc()
        counted[1].observe(seconds)
        model, version = facts.get("model"), facts.get("version")
        if model is not None and version is not None:
            self._model_seconds.at(model, str(version)).observe(seconds)

    def stage(self, stage: str, model: str, version: int) -> Stage:
        """Time one stage of a prediction, failed ones too, and trace it."""
        number = str(version)
        return Stage(self._stage_seconds.at(model, number, stage), model, number, stage)

    def observe_redis(self, seconds: float, keys: int, *, failed: bool) -> None:
        self._redis.observe(seconds)
        self._redis_keys.observe(keys)
        if failed:
            self._redis_failures.inc()

    def count_instances(self, model: str, version: int, instances: int) -> None:
        self._instances.at(model, str(version)).observe(instances)

    def count_error(self, model: str, code: str) -> None:
        self._errors.at(model, code).inc()

    def count_push(self, source: str, outcome: str) -> None:
        self._pushes.at(source, outcome).inc()

    def observe_score(self, model: str, version: int, score: float) -> None:
        self._scores.at(model, str(version)).observe(score)

    def show_endpoints(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Bring the gauges up to date with the catalogue's state."""
        for gone in self._shown - set(state):
            self._versions.drop(gone)
        self._shown = set(state)
        for model, endpoint in state.items():
            version = endpoint["version"] or 0
            deployed = {version, *(use["version"] for use in endpoint["traffic"])}
            self._by_version.keep(model, deployed)
            self.traffic.by_version.keep(model, deployed)
            self._versions.show(
                model,
                mlops_proxy_version_active={version: float(endpoint["ready"])},
                mlops_proxy_version_behind={version: float(endpoint["problem"] is not None)},
            )


class Stage:
    """One stage under way: its seconds, and its span where the request is traced."""

    __slots__ = ("_model", "_name", "_seconds", "_span", "_started", "_version")

    def __init__(self, seconds: Spread, model: str, version: str, name: str) -> None:
        self._seconds = seconds
        self._model, self._version, self._name = model, version, name

    def __enter__(self) -> None:
        trace = current.get()
        self._span = None if trace is None else self._open(trace)
        self._started = time.perf_counter()

    def _open(self, trace: RequestTrace) -> AbstractContextManager[None]:
        what = {"mlops.model": self._model, "mlops.version": self._version}
        span = trace.stage(self._name, what, leaves=self._name == "inference")
        span.__enter__()
        return span

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._seconds.observe(time.perf_counter() - self._started)
        if self._span is not None:
            self._span.__exit__(kind, error, trace)
