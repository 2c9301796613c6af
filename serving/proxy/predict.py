"""A prediction, from instances to scores: what the HTTP routes are a thin shell round."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from mlops.clock import Clock
from mlops.errors import MlopsError, Unavailable
from mlops.stores.online import FeatureRow, FeatureStatus, FeatureValue
from serving.deadline import Deadline, TimeLimit
from serving.errors import InferenceUnavailable
from serving.proxy.admission import Admission
from serving.proxy.catalog import Catalog
from serving.proxy.inference import Inference, VersionGone
from serving.proxy.instances import Instance
from serving.proxy.joined_features import Found, JoinedFeatures
from serving.proxy.metrics import ProxyMetrics
from serving.proxy.observing import Observer
from serving.proxy.plain_features import PlainFeatures, all_present
from serving.proxy.routes import Choice, Route
from serving.proxy.served_log import ServedLog
from serving.proxy.shadow import Shadows
from serving.proxy.work import Prediction, Work
from serving.scores import tell_rows


class Predictions(NamedTuple):
    """The answers to one request, all of one version."""

    endpoint: str
    version: int
    items: list[Prediction]
    use: str = "stable"
    """As in `Deployment.uses`."""
    experiment: str | None = None
    arm: str | None = None


@dataclass(frozen=True)
class Bounds:
    """What one process takes on, and how long."""

    timeout_ms: float = 2_000.0
    """Where neither the caller nor the model says."""
    under_way: int = 256
    shadows: int = 8
    shadow_seconds: float = 1.0


@dataclass
class Predictor:
    """Reads features, computes what is computed on demand, asks inference."""

    catalog: Catalog
    inference: Inference
    clock: Clock
    metrics: ProxyMetrics
    log: ServedLog
    observer: Observer
    bounds: Bounds = Bounds()
    admission: Admission = field(init=False)
    shadows: Shadows = field(init=False)
    features: JoinedFeatures = field(init=False)

    def __post_init__(self) -> None:
        self.admission = Admission(self.bounds.under_way)
        self.features = JoinedFeatures(self.clock)
        self.shadows = Shadows(self.bounds.shadows, self.bounds.shadow_seconds, self.admission)

    async def predict(
        self,
        endpoint: str,
        instances: Sequence[Any],
        *,
        request_id: str,
        timeout_ms: float | None = None,
        since: float | None = None,
    ) -> Predictions:
        """Score each instance by the version that the traffic's split gives the request.

        timeout_ms: what the caller allows, else the model says. since: when the request came, by
        `time.monotonic`. One instance that fails carries its error. Where features or inference
        fail or are late, the model's fallback is the score.
        Raises UnknownModel, Overloaded, and where there is no fallback FeaturesUnavailable,
        InferenceUnavailable, DeadlineExceeded, for the request as a whole; and the instance's own
        error where there is but one.
        """
        since = time.monotonic() if since is None else since
        with self.admission.entry():
            try:
                route = self.catalog.route(endpoint)
            except InferenceUnavailable as exc:
                return self._unread(endpoint, instances, exc)
            try:
                answer = await self._by_deadline(route, instances, request_id, timeout_ms, since)
            except MlopsError as error:
                self.metrics.count_error(endpoint, error.code)
                raise
        self._count(answer)
        if len(answer.items) == 1 and answer.items[0].error:
            raise answer.items[0].error
        return answer

    async def _by_deadline(
        self,
        route: Route,
        instances: Sequence[Any],
        request_id: str,
        timeout_ms: float | None,
        since: float,
    ) -> Predictions:
        work = Work(route.choose(instances), instances)
        allowed = timeout_ms or work.choice.answering.timeout_ms or self.bounds.timeout_ms
        deadline = Deadline.after(allowed, since=since)
        try:
            with TimeLimit(deadline.remaining()):
                work = await self._scored(work, request_id, deadline)
        except TimeoutError as exc:
            return self._instead(work, deadline.exceeded(), exc, since)
        except Unavailable as exc:
            return self._instead(work, exc, exc.__cause__, since)
        answer = _answer(work.choice, work.items())
        self.observer.count(work.choice, answer.items, time.monotonic() - since)
        if route.shadow is not None:
            self._shade(route, answer, instances, request_id)
        return answer

    async def _scored(self, work: Work, request_id: str, deadline: Deadline) -> Work:
        try:
            await self._work(work, request_id, deadline)
        except VersionGone:
            await self.catalog.refresh()
            route = self.catalog.route(work.model.endpoint)
            work = Work(route.choose(work.given), work.given)
            await self._work(work, request_id, deadline)
        return work

    async def _work(
        self, work: Work, request_id: str, deadline: Deadline | None, *, logged: bool = True
    ) -> None:
        model = work.model
        with self.metrics.stage("parse", model.endpoint, model.version):
            work.parse()
        valid = work.valid
        if not valid:
            return
        with self.metrics.stage("features", model.endpoint, model.version):
            found = await self.features.read(model, valid)
        with self.metrics.stage("assemble", model.endpoint, model.version):
            work.assembled = found.assemble()
        await self._infer(work, found, request_id, deadline)
        if logged:
            with self.metrics.stage("log", model.endpoint, model.version):
                self.log.record(model, _served(work, found), request_id=request_id)

    async def _infer(
        self, work: Work, found: Found, request_id: str, deadline: Deadline | None
    ) -> None:
        complete, model = work.complete, work.model
        if not complete:
            return
        with self.metrics.stage("inference", model.endpoint, model.version):
            scores = await self.inference.score(
                model.endpoint,
                model.version,
                model.manifest,
                found.tensors(complete),
                request_id=request_id,
                deadline=deadline,
            )
        work.told = tell_rows(model.manifest, scores)

    def _instead(
        self, work: Work, error: MlopsError, cause: BaseException | None, since: float
    ) -> Predictions:
        """The fallback. Raises the error where the model has none."""
        score, model = work.choice.answering.fallback_score, work.model
        if score is None:
            self.observer.count_failed(work.choice, error.code, len(work.given))
            self.metrics.traffic.count_answer(
                model.endpoint, model.version, work.choice.use, error.code
            )
            raise error from cause
        answer = _answer(work.choice, work.instead(error, score))
        self.observer.count(work.choice, answer.items, time.monotonic() - since)
        return answer

    def _unread(
        self, endpoint: str, instances: Sequence[Any], error: InferenceUnavailable
    ) -> Predictions:
        """The fallback while no version is ready that could tell what an instance must hold."""
        deployment = self.catalog.deployment(endpoint)
        answering = deployment.answering if deployment else None
        stable = deployment.stable if deployment else None
        if stable is None or answering is None or answering.fallback_score is None:
            raise error
        one = Prediction({}, score=answering.fallback_score, fallback=error.code)
        self.metrics.traffic.count_fallbacks(endpoint, error.code, len(instances))
        return Predictions(endpoint, stable.version, [one] * len(instances))

    def _shade(
        self, route: Route, answer: Predictions, instances: Sequence[Any], request_id: str
    ) -> None:
        shadow = route.shadow
        assert shadow is not None
        choice = Choice(shadow, route.stable.answering, "shadow", revision=route.stable.revision)
        work = Work(choice, instances)

        def observe(outcome: str) -> None:
            self.metrics.traffic.count_shadow(shadow.endpoint, shadow.version, outcome)
            if outcome not in ("scored", "dropped"):
                self.observer.count_failed(choice, outcome, len(instances))

        self.shadows.offer(
            shadow.endpoint,
            route.shadow_share,
            partial(self._compare, work, answer, request_id),
            observe,
        )

    async def _compare(self, work: Work, answer: Predictions, request_id: str) -> None:
        since = time.monotonic()
        await self._work(work, request_id, None, logged=False)
        model, items = work.model, work.items()
        self.observer.count(work.choice, items, time.monotonic() - since)
        for item, answered in zip(items, answer.items, strict=True):
            if item.score is None:
                continue
            self.metrics.observe_score(model.endpoint, model.version, item.score)
            if answered.score is not None:
                difference = abs(item.score - answered.score)
                self.metrics.traffic.observe_difference(model.endpoint, model.version, difference)

    def _count(self, answer: Predictions) -> None:
        traffic, endpoint, version = self.metrics.traffic, answer.endpoint, answer.version
        self.metrics.count_instances(endpoint, version, len(answer.items))
        for item in answer.items:
            self.metrics.features.add(endpoint, item.features, item.defaulted)
            if item.error:
                self.metrics.count_error(endpoint, item.error.code)
            elif item.fallback:
                traffic.count_fallbacks(endpoint, item.fallback, 1)
            elif item.score is not None:
                self.metrics.observe_score(endpoint, version, item.score)
            traffic.count_answer(endpoint, version, answer.use, _outcome(item))


def _served(work: Work, found: Found) -> Iterator[tuple[Instance, FeatureRow, float | None]]:
    """What the model got to see, and said; looked up when somebody asks."""
    read = zip(work.valid, found.rows, work.assembled, strict=True)
    known = ((instance, row) for instance, row, one in read if one.error is None)
    for pair, told in zip(known, work.told, strict=True):
        yield (*pair, told.score)


def _outcome(item: Prediction) -> str:
    if item.error:
        return item.error.code
    return "fallback" if item.fallback else "scored"


def _answer(choice: Choice, items: list[Prediction]) -> Predictions:
    model = choice.model
    return Predictions(
        model.endpoint, model.version, items, choice.use, choice.experiment, choice.arm
    )


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
