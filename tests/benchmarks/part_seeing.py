"""What it costs a request to be seen: metrics in plain numbers, and traces that are off or on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from opentelemetry.sdk.trace.export import BatchSpanProcessor as Batches
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from prometheus_client import CollectorRegistry, Histogram

from serving.proxy.metrics import ProxyMetrics
from serving.series import Series
from serving.tallies import Spreads
from serving.tracing import OtelTracing
from tests.benchmarks.measure import Measurement, race

PART = "seeing"
TIMES = 20_000
STAGES = ("parse", "features", "assemble", "inference", "log")


def measure() -> Iterator[Measurement]:
    """Microseconds: a latency counted as here and by prometheus_client's labels(); the five stages
    of a prediction timed without traces and with them."""
    yield _compared("observe", *_counting())
    yield _compared("stages", *_stages())


def _compared(work: str, ours: Callable[[], None], peer: Callable[[], None]) -> Measurement:
    found, theirs = (seconds / TIMES * 1e6 for seconds in race(ours, peer))
    return Measurement(PART, work, found, theirs, "us")


def _counting() -> tuple[Callable[[], None], Callable[[], None]]:
    labels, registry = ["model", "version"], CollectorRegistry()
    metric = Histogram("h", "says", labels, registry=registry)
    series = Series(
        Spreads("s", "says", labels, buckets=Histogram.DEFAULT_BUCKETS, registry=registry)
    )

    def bound() -> None:
        for _ in range(TIMES):
            series.at("fraud", "1").observe(0.001)

    def looked_up() -> None:
        for _ in range(TIMES):
            metric.labels("fraud", "1").observe(0.001)

    return bound, looked_up


class _Nowhere(SpanExporter):
    def export(self, spans: object) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def _stages() -> tuple[Callable[[], None], Callable[[], None]]:
    metrics = ProxyMetrics()
    tracing = OtelTracing(Batches(_Nowhere()), service="proxy", environment="local", ratio=1.0)

    def prediction() -> None:
        for stage in STAGES:
            with metrics.stage(stage, "fraud", 1):
                pass

    def off() -> None:
        for _ in range(TIMES):
            prediction()

    def on() -> None:
        for _ in range(TIMES):
            with tracing.request({}):
                prediction()

    return off, on
