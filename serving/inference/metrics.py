"""What Prometheus sees of the inference endpoint."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector

from serving.edge import Answered
from serving.gauges import VersionGauges
from serving.series import Series, VersionSeries
from serving.tallies import Spread, Spreads, Tallies, Tally

_SECONDS = (
    *(0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025),
    *(0.05, 0.1, 0.5, 2.5),
)
"""From 10 µs: a small forest takes less than that for one row."""
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
_ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000)


class InferenceMetrics:
    """Counters of one process, in a registry of their own; for its event loop alone, but those of
    loading, which the one thread that loads counts.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._count_requests()
        self._count_runs()
        self._under_way = self._gauge(
            "requests_under_way", "Requests that came and are not answered, over REST."
        )
        self._waiting = self._gauge("waiting_requests", "Requests that wait for a run, or run.")
        self._held = self._gauge("model_bytes", "What the loaded versions may hold, by estimate.")
        self._budget = self._gauge("budget_bytes", "What they are allowed to; 0 is no limit.")
        self._versions = VersionGauges(
            {
                "mlops_inference_version_loaded": "1 where a version is ready to score.",
                "mlops_inference_version_failed": "1 where a deployed version cannot be loaded.",
            }
        )
        self.registry.register(self._versions)

    def _count_requests(self) -> None:
        self._requests = self._counter(
            "requests", "Answered requests, REST and gRPC.", "route", "method", "status"
        )
        self._request_seconds = self._histogram(
            "request_seconds", "From the first byte in to the last byte out.", "route"
        )
        self._errors = self._counter(
            "errors", "Requests that a model did not answer, by the error's code.", "model", "code"
        )

    def _count_runs(self) -> None:
        def versioned(
            name: str, says: str, buckets: tuple[float, ...] = _SECONDS
        ) -> Series[Spread]:
            return self._histogram(name, says, "model", "version", buckets=buckets)

        self._model_seconds = versioned(
            "model_seconds",
            "From the first byte in to the last byte out, of requests that a version answered.",
        )
        self._run_seconds = versioned("run_seconds", "From a request's tensors to its outputs.")
        self._queue_seconds = versioned("queue_seconds", "How long a request waited for its run.")
        self._onnx_seconds = versioned(
            "onnx_seconds", "One run of the graph, for all who were joined."
        )
        self._rows = versioned("rows", "Rows per request.", _ROWS)
        self._batch_rows = versioned("batch_rows", "Rows per run.", _ROWS)
        self._batches = versioned(
            "batch_requests", "Requests that were joined into one run.", _BATCHES
        )
        self._failures = self._counter(
            "load_failures", "Failed attempts to load a version.", "model", "version"
        )
        self._by_version = VersionSeries(
            *(self._model_seconds, self._run_seconds, self._queue_seconds, self._onnx_seconds),
            *(self._rows, self._batch_rows, self._batches, self._failures),
        )

    def _counter(self, name: str, says: str, *labels: str) -> Series[Tally]:
        return Series(Tallies(f"mlops_inference_{name}", says, labels, registry=self.registry))

    def _histogram(
        self, name: str, says: str, *labels: str, buckets: tuple[float, ...] = _SECONDS
    ) -> Series[Spread]:
        full = f"mlops_inference_{name}"
        return Series(Spreads(full, says, labels, buckets=buckets, registry=self.registry))

    def _gauge(self, name: str, says: str) -> Gauge:
        return Gauge(f"mlops_inference_{name}", says, registry=self.registry)

    def watch(self, *, under_way: Callable[[], float], waiting: Callable[[], float]) -> None:
        """Read these when somebody asks for them."""
        self._under_way.set_function(under_way)
        self._waiting.set_function(waiting)

    def show_memory(self, held: int, budget: int) -> None:
        """Bytes, as the repository counts them against its budget."""
        self._held.set(held)
        self._budget.set(budget)

    def observe_request(self, answered: Answered, seconds: float, facts: Mapping[str, Any]) -> None:
        """facts: what the app found out about the request, as its model and version."""
        self._requests.at(answered.route, answered.method, str(answered.status)).inc()
        self._request_seconds.at(answered.route).observe(seconds)
        model, version = facts.get("model"), facts.get("version")
        if model is not None and version is not None:
            self._model_seconds.at(model, str(version)).observe(seconds)

    def observe_run(
        self, model: str, version: str, *, rows: int, seconds: float, waited: float
    ) -> None:
        """A request: its rows, all of its time, and what of that was waiting."""
        self._run_seconds.at(model, version).observe(seconds)
        self._queue_seconds.at(model, version).observe(waited)
        self._rows.at(model, version).observe(rows)

    def observe_batch(
        self, model: str, version: str, *, requests: int, rows: int, seconds: float
    ) -> None:
        """A run of the graph."""
        self._batches.at(model, version).observe(requests)
        self._batch_rows.at(model, version).observe(rows)
        self._onnx_seconds.at(model, version).observe(seconds)

    def count_error(self, model: str, code: str) -> None:
        self._errors.at(model, code).inc()

    def load_failed(self, model: str, version: int) -> None:
        self._failures.at(model, str(version)).inc()

    def show_endpoint(self, model: str, loaded: Collection[int], failed: Collection[int]) -> None:
        """Bring the gauges of one endpoint up to date."""
        versions = {*loaded, *failed}
        self._by_version.keep(model, versions)
        self._versions.show(
            model,
            mlops_inference_version_loaded={v: float(v in loaded) for v in versions},
            mlops_inference_version_failed={v: float(v in failed) for v in versions},
        )

    def drop_endpoint(self, model: str) -> None:
        self._versions.drop(model)
