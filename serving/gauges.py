"""Gauges by model and version: what a scrape sees is what is there now, and nothing that was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class VersionGauges(Collector):
    """Each model's values are replaced whole, so that versions that are gone do not linger."""

    def __init__(self, names: Mapping[str, str]) -> None:
        """names: each gauge's name, and what it says."""
        self._names = names
        self._models: dict[str, Mapping[str, Mapping[int, float]]] = {}

    def show(self, model: str, **values: Mapping[int, float]) -> None:
        """The gauges of a model: for each gauge's name, a value by version."""
        self._models[model] = values

    def drop(self, model: str) -> None:
        self._models.pop(model, None)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        models = dict(self._models)
        for name, says in self._names.items():
            family = GaugeMetricFamily(name, says, labels=["model", "version"])
            for model, gauges in models.items():
                for version, value in gauges[name].items():
                    family.add_metric([model, str(version)], value)
            yield family
