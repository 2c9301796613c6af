"""Traffic goes as the deployment document says, as far as its versions are ready."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mlops.deployment import Arm, Canary, DeployedVersion, Experiment
from mlops.errors import Unavailable
from serving.proxy.served import ServedModel
from serving.proxy.served_log import ServedLog
from tests.serving_examples import INSTANCE, NOW
from tests.serving_processes import Services, serving

CUSTOMERS = [f"customer-{n}" for n in range(60)]


async def ask(services: Services, customer: str, **changes: Any) -> dict[str, Any]:
    services.store.put("spend", (customer,), NOW, {"payments": 4, "mean_amount": 10.0})
    answer = await services.predict(INSTANCE | {"customer_id": customer} | changes)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def versions(services: Services) -> dict[str, int]:
    return {one: (await ask(services, one))["version"] for one in CUSTOMERS}


def canary(version: DeployedVersion, weight: float = 0.5, key: str | None = None) -> Canary:
    return Canary(version=version, weight=weight, key=key)


def traffic(services: Services) -> Any:
    return services.catalog.state()["fraud"]["traffic"]


async def test_a_canary_answers_its_share(services: Services) -> None:
    services.deploy(services.publish(1), canary=canary(services.publish(2)))
    await services.follow()
    found = Counter((await versions(services)).values())
    assert 15 < found[2] < 45
    assert traffic(services) == [{"use": "canary", "version": 2, "share": 0.5, "problem": None}]


async def test_the_key_of_choice_decides_alone(services: Services) -> None:
    key = canary(services.publish(2), key="terminal_id")
    services.deploy(services.publish(1), canary=key)
    await services.follow()
    assert len(set((await versions(services)).values())) == 1
    found = {(await ask(services, "c1", terminal_id=f"t{n}"))["version"] for n in range(30)}
    assert found == {1, 2}


async def test_without_a_key_all_ids_decide_together(services: Services) -> None:
    services.deploy(services.publish(1), canary=canary(services.publish(2)))
    await services.follow()
    found = {(await ask(services, "c1", terminal_id=f"t{n}"))["version"] for n in range(30)}
    assert found == {1, 2}


async def test_a_request_is_answered_by_one_version_whoever_it_is_about(
    services: Services,
) -> None:
    services.deploy(services.publish(1), canary=canary(services.publish(2)))
    await services.follow()
    alone = {one: (await ask(services, one))["version"] for one in CUSTOMERS[:8]}
    for first, version in alone.items():
        others = [INSTANCE | {"customer_id": one} for one in alone if one != first]
        body = (await services.predict(INSTANCE | {"customer_id": first}, *others)).json()
        assert body["version"] == version


async def test_a_canary_that_is_not_ready_leaves_its_share_to_the_stable_version(
    services: Services,
) -> None:
    missing = services.publish(2).model_copy(update={"model_prefix": "s3://models/nowhere/"})
    services.deploy(services.publish(1), canary=canary(missing))
    await services.follow()
    assert set((await versions(services)).values()) == {1}
    (shown,) = traffic(services)
    why = "inference has not loaded version 2: nowhere/manifest.json does not exist"
    assert (shown["share"], shown["problem"]) == (0.0, why)


async def test_a_canary_that_is_taken_back_answers_nobody(services: Services) -> None:
    first = services.publish(1)
    services.deploy(first, canary=canary(services.publish(2)))
    await services.follow()
    services.deploy(first)
    await services.follow()
    assert set((await versions(services)).values()) == {1}


async def test_a_key_that_is_no_id_splits_nothing_and_is_told(services: Services) -> None:
    services.deploy(services.publish(1), canary=canary(services.publish(2), key="basket_id"))
    await services.follow()
    assert set((await versions(services)).values()) == {1}
    assert "'basket_id'" in services.catalog.state()["fraud"]["traffic_problem"]


async def test_an_answer_names_its_arm(services: Services) -> None:
    first = services.publish(1)
    arms = (
        Arm(name="control", version=first, weight=0.4),
        Arm(name="other", version=services.publish(2), weight=0.4),
    )
    services.deploy(first, experiment=Experiment(name="may", arms=arms))
    await services.follow()
    bodies = [await ask(services, one) for one in CUSTOMERS]
    found = {(body.get("experiment"), body.get("arm"), body["version"]) for body in bodies}
    assert found == {("may", "control", 1), ("may", "other", 2), (None, None, 1)}


async def settled(services: Services) -> None:
    await asyncio.gather(*services.predictor.shadows._running)


def shadow_metric(services: Services, name: str, **labels: str) -> float | None:
    return services.metrics.registry.get_sample_value(
        name, {"model": "fraud", "version": "2", **labels}
    )


async def test_a_shadow_scores_what_others_answer(services: Services) -> None:
    services.deploy(services.publish(1), shadow=services.publish(2))
    await services.follow()
    assert (await ask(services, "c1"))["version"] == 1
    await settled(services)
    name = "mlops_proxy_shadow_requests_total"
    assert shadow_metric(services, name, outcome="scored") == 1
    assert shadow_metric(services, "mlops_proxy_shadow_difference_count") == 1
    assert shadow_metric(services, "mlops_proxy_shadow_difference_sum") != 0


async def test_what_a_shadow_read_is_not_logged_as_served(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[int] = []

    def record(_self: ServedLog, model: ServedModel, *_: Any, **__: Any) -> None:
        logged.append(model.version)

    monkeypatch.setattr(ServedLog, "record", record)
    services.deploy(services.publish(1), shadow=services.publish(2))
    await services.follow()
    await ask(services, "c1")
    await settled(services)
    assert logged == [1]


async def test_a_shadow_that_fails_fails_nobody(services: Services) -> None:
    services.deploy(services.publish(1), shadow=services.publish(2))
    await services.follow()
    del services.repository.endpoints["fraud"].loaded[2]
    assert (await ask(services, "c1"))["version"] == 1
    await settled(services)
    name = "mlops_proxy_shadow_requests_total"
    assert shadow_metric(services, name, outcome="inference_unavailable") == 1


async def test_the_versions_of_answers_are_counted_by_their_use(services: Services) -> None:
    services.deploy(services.publish(1), canary=canary(services.publish(2), weight=0.999))
    await services.follow()
    await ask(services, "c1")
    name, what = "mlops_proxy_answers_total", {"use": "canary", "outcome": "scored"}
    assert shadow_metric(services, name, **what) == 1


# Deadlines and fallbacks


def answering(services: Services, **said: float) -> None:
    services.deploy(services.publish(1), answering=said)


def hang(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services.store, "ping", asyncio.Event().wait)


async def test_without_a_fallback_what_is_late_is_an_error(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang(services, monkeypatch)
    answer = await services.predict(X_Request_Timeout_Ms="5")
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "deadline_exceeded"
    assert "within 5 ms" in answer.json()["error"]["message"]


async def test_the_models_deadline_holds_where_the_caller_says_nothing(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(services, timeout_ms=6)
    await services.follow()
    hang(services, monkeypatch)
    assert "within 6 ms" in (await services.predict()).json()["error"]["message"]
    answer = await services.predict(X_Request_Timeout_Ms="5")
    assert "within 5 ms" in answer.json()["error"]["message"]


async def test_what_is_late_gets_the_fallback_marked_as_such(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(services, timeout_ms=5, fallback_score=0.25)
    await services.follow()
    hang(services, monkeypatch)
    answer = await services.predict()
    (prediction,) = answer.json()["predictions"]
    assert answer.status_code == 200
    assert prediction == {"score": 0.25, "fallback": "deadline_exceeded", "features": {}}


async def test_a_fallback_shows_the_features_that_were_found(services: Services) -> None:
    answering(services, fallback_score=0.25)
    await services.follow()
    services.way.cut = Unavailable("refused")
    (prediction,) = (await services.predict()).json()["predictions"]
    assert (prediction["score"], prediction["fallback"]) == (0.25, "inference_unavailable")
    assert prediction["features"]["payments"] == {"status": "PRESENT"}


async def test_an_instance_that_is_wrong_gets_no_fallback(services: Services) -> None:
    answering(services, fallback_score=0.25)
    await services.follow()
    services.way.cut = Unavailable("refused")
    answer = await services.predict(
        INSTANCE, INSTANCE | {"amount": "much"}, INSTANCE | {"customer_id": "nobody"}
    )
    good, wrong, unknown = answer.json()["predictions"]
    assert good["fallback"] == "inference_unavailable"
    assert wrong["error"]["code"] == "invalid_input"
    assert unknown["error"]["code"] == "features_missing"


async def test_the_manifest_says_a_fallback_and_operations_overrule_it(
    services: Services,
) -> None:
    published = services.publish(1, answering={"fallback_score": 0.5, "timeout_ms": 100})
    services.deploy(published)
    await services.follow()
    services.way.cut = Unavailable("refused")
    assert (await services.predict()).json()["predictions"][0]["score"] == 0.5
    services.deploy(published, answering={"fallback_score": 0.75})
    await services.follow()
    assert (await services.predict()).json()["predictions"][0]["score"] == 0.75


async def test_a_model_that_is_not_ready_answers_its_deployments_fallback(
    services: Services,
) -> None:
    services.catalog.endpoints.clear()
    services.repository.endpoints.clear()
    missing = services.publish(2).model_copy(update={"model_prefix": "s3://models/nowhere/"})
    services.deploy(missing, answering={"fallback_score": 0.25})
    await services.follow()
    answer = (await services.predict(INSTANCE, INSTANCE)).json()
    assert answer["version"] == 2
    one = {"score": 0.25, "fallback": "inference_unavailable", "features": {}}
    assert answer["predictions"] == [one, one]


async def test_fallbacks_are_counted_and_are_no_scores(services: Services) -> None:
    answering(services, fallback_score=0.25)
    await services.follow()
    services.way.cut = Unavailable("refused")
    await services.predict()
    metrics = (await services.proxy.get("/metrics")).text
    reason = 'mlops_proxy_fallbacks_total{model="fraud",reason="inference_unavailable"} 1.0'
    assert reason in metrics
    assert "mlops_proxy_score_count" not in metrics


@pytest.mark.parametrize("given", ["soon", "0", "-1", "nan", "60001", "inf"])
async def test_a_timeout_that_is_none_is_told(services: Services, given: str) -> None:
    answer = await services.predict(X_Request_Timeout_Ms=given)
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "X-Request-Timeout-Ms"


async def test_more_than_may_be_under_way_are_refused_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path / "repo", bounds={"under_way": 1}) as services:
        with services.predictor.admission.entry():
            refused = await services.predict()
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
        assert refused.headers["Retry-After"] == "1"
        assert (await services.predict()).status_code == 200
