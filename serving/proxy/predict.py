"""A prediction, from instances to scores: what the HTTP routes are a thin shell round."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops.clock import Clock
from mlops.errors import MlopsError, Unavailable
from mlops.stores.online import FeatureStatus, FeatureValue
from serving.errors import ComputationFailed, FeaturesUnavailable
from serving.proxy.catalog import Catalog
from serving.proxy.features import Assembled, assemble, to_matrix
from serving.proxy.inference import Inference, VersionGone
from serving.proxy.instances import Instance
from serving.proxy.metrics import ProxyMetrics
from serving.proxy.plain_features import FoundRows, PlainFeatures, all_present
from serving.proxy.served import ServedModel
from serving.proxy.served_log import ServedLog


@dataclass(frozen=True)
class Prediction:
    """What one instance got: a score, or its own error."""

    features: Mapping[str, FeatureValue]
    defaulted: frozenset[str] = frozenset()
    score: float | None = None
    error: MlopsError | None = None


@dataclass(frozen=True)
class Predictions:
    """The answers to one request, all of one version."""

    endpoint: str
    version: int
    items: list[Prediction]


@dataclass(frozen=True)
class Predictor:
    """Reads features, computes what is computed on demand, asks inference."""

    catalog: Catalog
    inference: Inference
    clock: Clock
    metrics: ProxyMetrics
    log: ServedLog

    async def predict(
        self, endpoint: str, instances: Sequence[Any], *, request_id: str
    ) -> Predictions:
        """Score each instance by the version that is active now; one that fails carries its error.

        Raises UnknownModel, FeaturesUnavailable, InferenceUnavailable for the request as a whole,
        and the instance's own error where there is but one.
        """
        model = self.catalog.get(endpoint)
        try:
            answer = await self._predict_once_more(model, instances, request_id)
        except MlopsError as error:
            self.metrics.count_error(endpoint, error.code)
            raise
        self._count(answer)
        if len(answer.items) == 1 and answer.items[0].error:
            raise answer.items[0].error
        return answer

    async def _predict_once_more(
        self, model: ServedModel, instances: Sequence[Any], request_id: str
    ) -> Predictions:
        """Where inference let go of the version meanwhile, by the one that it has now."""
        try:
            return await self._predict(model, instances, request_id)
        except VersionGone:
            await self.catalog.refresh()
            model = self.catalog.get(model.endpoint)
            return await self._predict(model, instances, request_id)

    async def _predict(
        self, model: ServedModel, instances: Sequence[Any], request_id: str
    ) -> Predictions:
        outcomes: list[Instance | MlopsError] = []
        with self.metrics.stage("parse", model.endpoint, model.version):
            outcomes = [_parse(model, instance, i) for i, instance in enumerate(instances)]
        valid = [outcome for outcome in outcomes if isinstance(outcome, Instance)]
        scored = iter(await self._score(model, valid, request_id))
        items = [
            next(scored) if isinstance(outcome, Instance) else Prediction({}, error=outcome)
            for outcome in outcomes
        ]
        return Predictions(model.endpoint, model.version, items)

    async def _score(
        self, model: ServedModel, instances: Sequence[Instance], request_id: str
    ) -> list[Prediction]:
        if not instances:
            return []
        with self.metrics.stage("features", model.endpoint, model.version):
            rows = await self._read(model, instances)
        with self.metrics.stage("assemble", model.endpoint, model.version):
            assembled = assemble(model, instances, rows)
        complete = [one for one in assembled if one.error is None]
        found = await self._infer(model, complete, request_id)
        with self.metrics.stage("log", model.endpoint, model.version):
            read = zip(instances, rows, assembled, strict=True)
            known = ((instance, row) for instance, row, one in read if one.error is None)
            served = ((*pair, score) for pair, score in zip(known, found, strict=True))
            self.log.record(model, served, request_id=request_id)
        scores = iter(found)
        return [_prediction(one, None if one.error else next(scores)) for one in assembled]

    async def _read(self, model: ServedModel, instances: Sequence[Instance]) -> FoundRows:
        columns = {
            name: [instance.entities[name] for instance in instances] for name in model.entity_names
        }
        try:
            tables = await model.reader.read_columns(columns, now=self.clock.now())
        except Unavailable as exc:
            raise FeaturesUnavailable(
                "The features cannot be read: the online store does not answer.",
                remedy="Try again after a second; operators find the cause in /readyz and the log.",
            ) from exc
        return FoundRows(tables, len(instances))

    async def _infer(
        self, model: ServedModel, complete: Sequence[Assembled], request_id: str
    ) -> list[float]:
        if not complete:
            return []
        with self.metrics.stage("inference", model.endpoint, model.version):
            scores = await self.inference.score(
                model.endpoint,
                model.version,
                model.manifest,
                to_matrix(complete),
                request_id=request_id,
            )
        return [float(score) for score in scores]

    def _count(self, answer: Predictions) -> None:
        self.metrics.count_instances(answer.endpoint, answer.version, len(answer.items))
        for item in answer.items:
            self.metrics.features.add(answer.endpoint, item.features, item.defaulted)
            if item.error:
                self.metrics.count_error(answer.endpoint, item.error.code)
            if item.score is not None:
                self.metrics.observe_score(answer.endpoint, answer.version, item.score)


def _parse(model: ServedModel, instance: Any, index: int) -> Instance | MlopsError:
    try:
        return model.schema.parse(instance, index)
    except MlopsError as exc:
        return exc


def _prediction(one: Assembled, score: float | None) -> Prediction:
    error = one.error
    if score is not None and math.isnan(score):
        error = ComputationFailed(
            "The model gives no number for these inputs.",
            remedy="The model's owner should give the missing features a default in its manifest.",
        )
    return Prediction(one.features, frozenset(one.defaulted), None if error else score, error)


def describe_features(prediction: Prediction, *, explain: bool) -> Any:
    """Per feature its status, and with `explain` its value and event time, as orjson takes it."""
    if isinstance(prediction.features, PlainFeatures) and not explain:
        return all_present(prediction.features.names)
    return {
        name: _described(value, name in prediction.defaulted, explain)
        for name, value in prediction.features.items()
    }


def _described(value: FeatureValue, defaulted: bool, explain: bool) -> dict[str, Any]:
    described: dict[str, Any] = {"status": value.status}
    if defaulted:
        described["defaulted"] = True
    if explain:
        described["value"] = value.value if value.status == FeatureStatus.PRESENT else None
        described["event_time"] = value.event_time
    return described
