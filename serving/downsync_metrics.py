"""What Prometheus sees of downsync in a serving process."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mlops.downsync.log import EventLog


class DownsyncMetrics(Collector):
    """Counts of the log and of its producer, as they are when somebody asks."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def collect(self) -> Iterator[Metric]:
        counts = self._log.producer.counts
        yield self._rows()
        dropped = CounterMetricFamily(
            "mlops_downsync_dropped", "Events that the stream never got.", labels=["reason"]
        )
        for reason, events in dict(counts.dropped).items():
            dropped.add_metric([reason], events)
        yield dropped
        yield CounterMetricFamily(
            "mlops_downsync_sent", "Events that are in the stream.", value=counts.sent
        )
        yield CounterMetricFamily(
            "mlops_downsync_retries", "Records that the stream refused at first.", counts.retries
        )
        yield GaugeMetricFamily(
            "mlops_downsync_buffered_events", "Events that wait.", counts.buffered
        )
        yield GaugeMetricFamily(
            "mlops_downsync_buffered_bytes", "Their bytes.", counts.buffered_bytes
        )

    def _rows(self) -> Metric:
        rows = CounterMetricFamily(
            "mlops_downsync_rows",
            "Rows of views that log what is served or pushed, by what became of them.",
            labels=["view", "kind", "outcome"],
        )
        for (view, kind, outcome), number in dict(self._log.counts).items():
            rows.add_metric([view, kind.value, outcome.value], number)
        return rows
