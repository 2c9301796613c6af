"""What Prometheus sees: each part of a request, by version, and no more series than versions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from mlops.errors import Unavailable
from mlops.stores.online import Tell
from mlops.stores.redis.commands import Ask
from mlops.stores.redis.shared import Recognize
from serving.edge import Answered
from serving.inference.metrics import InferenceMetrics
from serving.proxy.metrics import ProxyMetrics
from serving.proxy.timed_link import TimedLink
from serving.series import KEPT_VERSIONS, Series, VersionSeries
from tests.serving_examples import INSTANCE
from tests.serving_processes import Services

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(text: str) -> Samples:
    """Values by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(registry: CollectorRegistry) -> Samples:
    return read(generate_latest(registry).decode())


def at(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


async def scrape(client: Any) -> Samples:
    return read((await client.get("/metrics")).text)


@pytest.mark.parametrize("stage", ["parse", "features", "assemble", "inference", "log"])
async def test_each_stage_of_a_prediction_is_timed_by_version(
    services: Services, stage: str
) -> None:
    await services.predict()
    labels = {"model": "fraud", "version": "1", "stage": stage}
    found = await scrape(services.proxy)
    assert at(found, "mlops_proxy_stage_seconds_count", **labels) == 1
    assert 0 < at(found, "mlops_proxy_stage_seconds_sum", **labels) < 60


async def test_instances_and_feature_statuses_are_counted(services: Services) -> None:
    await services.predict(INSTANCE, INSTANCE, INSTANCE | {"terminal_id": "new"})
    found = await scrape(services.proxy)
    assert at(found, "mlops_proxy_instances_sum", model="fraud", version="1") == 3
    risk = {"model": "fraud", "feature": "risk"}
    assert at(found, "mlops_proxy_features_total", **risk, status="PRESENT") == 2
    assert at(found, "mlops_proxy_features_total", **risk, status="DEFAULTED") == 1
    assert at(found, "mlops_proxy_score_count", model="fraud", version="1") == 3


async def test_rows_of_feature_reads_are_counted_by_view_and_status(services: Services) -> None:
    entities = {"customer_id": ["c1", "nobody", "c1"], "terminal_id": ["t1", "t1", "t1"]}
    answer = await services.proxy.post("/v1/features/payments_v1:read", json={"entities": entities})
    assert answer.status_code == 200, answer.text
    found, name = await scrape(services.proxy), "mlops_proxy_read_rows_total"
    assert at(found, name, view="spend", status="PRESENT") == 2
    assert at(found, name, view="spend", status="NOT_FOUND") == 1
    assert at(found, name, view="risk", status="PRESENT") == 3


async def test_a_prediction_that_fails_as_a_whole_is_counted_by_its_code(
    services: Services,
) -> None:
    services.way.cut = Unavailable("inference is gone")
    await services.predict(INSTANCE, INSTANCE)
    found = await scrape(services.proxy)
    lost = {"model": "fraud", "code": "inference_unavailable"}
    assert at(found, "mlops_proxy_errors_total", **lost) == 1


async def test_the_scrape_itself_is_the_one_request_under_way(services: Services) -> None:
    await services.predict()
    assert at(await scrape(services.proxy), "mlops_proxy_requests_under_way") == 1
    assert at(await scrape(services.inference), "mlops_inference_requests_under_way") == 1


async def test_a_run_is_taken_apart_into_waiting_and_the_graph(services: Services) -> None:
    await asyncio.gather(*(services.predict() for _ in range(4)))
    found, labels = await scrape(services.inference), {"model": "fraud", "version": "1"}
    sums = {
        part: at(found, f"mlops_inference_{part}_seconds_sum", **labels)
        for part in ("run", "queue", "onnx")
    }
    assert min(sums.values()) > 0
    assert sums["queue"] < sums["run"]
    assert at(found, "mlops_inference_rows_sum", **labels) == 4
    assert at(found, "mlops_inference_batch_rows_sum", **labels) == 4
    runs = at(found, "mlops_inference_batch_requests_count", **labels)
    assert at(found, "mlops_inference_onnx_seconds_count", **labels) == runs <= 4
    assert at(found, "mlops_inference_waiting_requests") == 0


async def test_memory_of_the_models_is_shown(services: Services) -> None:
    (model,) = services.repository.endpoints["fraud"].loaded.values()
    found = await scrape(services.inference)
    assert at(found, "mlops_inference_model_bytes") == 3 * model.size > 0
    assert at(found, "process_resident_memory_bytes") > 0


class Link:
    """Answers, or does not."""

    address = "there:6379"
    down = False

    async def fetch(self, asks: Sequence[Ask], recognize: Recognize | None = None) -> list[Any]:
        if self.down:
            raise Unavailable("gone")
        return [None] * len(asks)

    def start(
        self, packed: bytes, count: int, tell: Tell, recognize: Recognize | None = None
    ) -> bool:
        if self.down:
            tell(None, ConnectionError("gone"))
        else:
            tell([None] * count, None)
        return True

    async def command(self, *args: Any) -> Any:
        return args

    async def close(self) -> None:
        return None


async def test_round_trips_to_redis_are_timed_and_lost_ones_counted() -> None:
    metrics, link = ProxyMetrics(), Link()
    timed, ask = TimedLink(link, metrics), ("key", ())
    assert await timed.fetch([ask, ask]) == [None, None]  # type: ignore[list-item]  # fields unread
    link.down = True
    with pytest.raises(Unavailable):
        await timed.fetch([ask])  # type: ignore[list-item]  # as above
    found = of(metrics.registry)
    assert at(found, "mlops_proxy_redis_seconds_count") == 2
    assert at(found, "mlops_proxy_redis_keys_sum") == 3
    assert at(found, "mlops_proxy_redis_failures_total") == 1


async def test_round_trips_that_nobody_awaits_are_timed_and_counted_too() -> None:
    metrics, link = ProxyMetrics(), Link()
    timed = TimedLink(link, metrics)
    told: list[tuple[Any, Exception | None]] = []
    for link.down in (False, True):
        assert timed.start(b"asks", 2, lambda *one: told.append(one))
    (answers, none), (nothing, error) = told
    assert (answers, none, nothing) == ([None, None], None, None)
    assert isinstance(error, ConnectionError)
    found = of(metrics.registry)
    assert at(found, "mlops_proxy_redis_seconds_count") == 2
    assert at(found, "mlops_proxy_redis_failures_total") == 1


async def test_an_invented_method_and_path_make_no_series(services: Services) -> None:
    await services.proxy.request("FETCH17", "/nowhere/17")
    found = await scrape(services.proxy)
    labels = {"route": "unmatched", "method": "other", "status": "404"}
    assert at(found, "mlops_proxy_requests_total", **labels) == 1


def test_old_versions_take_their_series_with_them() -> None:
    metrics = InferenceMetrics()
    for version in range(1, 101):
        metrics.observe_batch("m", str(version), requests=1, rows=1, seconds=0.1)
        metrics.show_endpoint("m", {1, version}, ())
    runs = {
        int(dict(labels)["version"])
        for name, labels in of(metrics.registry)
        if name == "mlops_inference_onnx_seconds_count"
    }
    assert runs == {1, *range(100 - KEPT_VERSIONS, 101)}


def test_a_series_that_is_kept_goes_on_counting() -> None:
    registry = CollectorRegistry()
    series = Series(Counter("c", "says", ["model", "version"], registry=registry))
    versions = VersionSeries(series)
    for version in range(20):
        series.at("m", str(version)).inc()
    series.at("other", "1").inc()
    versions.keep("m", {0})
    series.at("m", "0").inc()
    series.at("m", "1").inc()
    found = of(registry)
    assert at(found, "c_total", model="m", version="0") == 2
    assert at(found, "c_total", model="m", version="1") == 1
    assert at(found, "c_total", model="other", version="1") == 1


def test_a_request_is_counted_under_its_route() -> None:
    metrics = ProxyMetrics()
    metrics.observe_request(Answered("GET", "/readyz", 503), 0.2, {})
    labels = {"route": "/readyz", "method": "GET", "status": "503"}
    assert at(of(metrics.registry), "mlops_proxy_requests_total", **labels) == 1


async def test_statuses_are_counted_the_same_when_many_patterns_are_folded(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.proxy.feature_counts._MOST_PATTERNS", 1)
    for terminal in ("t1", "new", "t1", "newer"):
        await services.predict(INSTANCE | {"terminal_id": terminal})
    found = await scrape(services.proxy)
    risk = {"model": "fraud", "feature": "risk"}
    assert at(found, "mlops_proxy_features_total", **risk, status="PRESENT") == 2
    assert at(found, "mlops_proxy_features_total", **risk, status="DEFAULTED") == 2
    spend = {"model": "fraud", "feature": "mean_amount"}
    assert at(found, "mlops_proxy_features_total", **spend, status="PRESENT") == 4
