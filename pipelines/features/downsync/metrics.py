"""What Prometheus sees of a consumer."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Gauge

from pipelines.features.downsync.judging import Verdict
from pipelines.features.downsync.shards import add_counts


class ConsumerMetrics:
    """Counters of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._lock = Lock()
        self.counts: dict[str, dict[Verdict, int]] = {}
        """Events of this process by what became of them, by table."""
        self._events = Counter(
            "mlops_downsync_events",
            "Events that were committed, by what became of them.",
            ["table", "verdict"],
            registry=registry,
        )
        self._commits = Counter("mlops_downsync_commits", "Commits.", registry=registry)
        self._failures = Counter(
            "mlops_downsync_failures",
            "Shards that were given up and taken again, by the error's code.",
            ["code"],
            registry=registry,
        )
        self._lag = Gauge(
            "mlops_downsync_lag_seconds",
            "How far a shard's last read was behind its end.",
            ["shard"],
            registry=registry,
        )

    def count(self, counts: Mapping[str, Mapping[Verdict, int]]) -> None:
        """Of one commit."""
        self._commits.inc()
        with self._lock:
            self.counts = add_counts(self.counts, counts)
        for table, of_table in counts.items():
            for verdict, number in of_table.items():
                self._events.labels(table, verdict.value).inc(number)

    def count_failure(self, code: str) -> None:
        self._failures.labels(code).inc()

    def show_lag(self, shard: str, behind_ms: int) -> None:
        self._lag.labels(shard).set(behind_ms / 1000)

    def drop_lag(self, shard: str) -> None:
        """Of a shard that is not read here any more."""
        if (shard,) in self._lag._metrics:
            self._lag.remove(shard)
