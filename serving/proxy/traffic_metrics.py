"""What Prometheus sees of how traffic is divided, and of what failed or was left undone."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from serving.series import Series, VersionSeries
from serving.tallies import Spreads, Tallies, Tally

_DIFFERENCES = (0.0, 1e-6, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0)


class TrafficMetrics:
    """Counters of one process, in the proxy's registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, says: str, *labels: str) -> Series[Tally]:
            return Series(Tallies(f"mlops_proxy_{name}", says, labels, registry=registry))

        self._answers = counter(
            "answers",
            "Instances by the version that they went to, its use ('stable', 'canary', 'arm NAME') "
            "and the outcome: 'scored', 'fallback', or the error's code.",
            *("model", "version", "use", "outcome"),
        )
        self._fallbacks = counter(
            "fallbacks",
            "Instances that got the model's fallback, by the code of what failed.",
            *("model", "reason"),
        )
        self._shadows = counter(
            "shadow_requests",
            "Requests that a shadow was to see: 'scored', 'dropped', or the code of what failed.",
            *("model", "version", "outcome"),
        )
        self._differences = Series(
            Spreads(
                "mlops_proxy_shadow_difference",
                "How far a shadow's score is from the one that was answered.",
                ["model", "version"],
                buckets=_DIFFERENCES,
                registry=registry,
            )
        )
        self._replicas = counter(
            "replica_requests",
            "Requests to an inference replica: 'answered', 'refused', 'lost' or 'silent'.",
            *("replica", "outcome"),
        )
        self.by_version = VersionSeries(self._answers, self._shadows, self._differences)
        """What is let go of with its version."""

    def count_answer(self, model: str, version: int, use: str, outcome: str) -> None:
        self._answers.at(model, str(version), use, outcome).inc()

    def count_fallbacks(self, model: str, reason: str, instances: int) -> None:
        self._fallbacks.at(model, reason).inc(instances)

    def count_shadow(self, model: str, version: int, outcome: str) -> None:
        self._shadows.at(model, str(version), outcome).inc()

    def observe_difference(self, model: str, version: int, difference: float) -> None:
        self._differences.at(model, str(version)).observe(difference)

    def count_replica(self, replica: str, outcome: str) -> None:
        self._replicas.at(replica, outcome).inc()
