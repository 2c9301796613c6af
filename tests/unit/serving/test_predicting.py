"""Ids in, scores out: each instance answered for itself, by one version."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mlops.errors import Unavailable
from tests.serving_examples import INSTANCE, NOW, onnx_model, score_locally
from tests.serving_processes import Services

VALUES = {
    "amount": 12.5,
    "payments": 4,
    "mean_amount": 10.0,
    "risk": 0.1,
    "over_mean": 1.25,
    "is_night": 1,
}


def with_(**changes: Any) -> dict[str, Any]:
    return INSTANCE | changes


async def test_the_score_is_the_models_own_for_these_features(services: Services) -> None:
    answer = (await services.predict()).json()
    (expected,) = score_locally(onnx_model(seed=1), [VALUES])
    assert answer["predictions"][0]["score"] == pytest.approx(expected, abs=1e-7)
    assert (answer["model"], answer["version"]) == ("fraud", 1)


async def test_the_answer_says_how_each_feature_was_found(services: Services) -> None:
    answer = (await services.predict()).json()
    assert answer["predictions"][0]["features"] == {
        name: {"status": "PRESENT"}
        for name in ("payments", "mean_amount", "risk", "over_mean", "is_night")
    }


async def test_explaining_adds_values_and_event_times(services: Services) -> None:
    features = (await services.predict(explain=True)).json()["predictions"][0]["features"]
    assert features["mean_amount"] == {
        "status": "PRESENT",
        "value": 10.0,
        "event_time": "2018-08-08T00:00:00Z",
    }
    assert features["over_mean"] == {"status": "PRESENT", "value": 1.25, "event_time": None}


async def test_explaining_anything_else_is_a_422_naming_the_parameter(services: Services) -> None:
    answer = await services.proxy.post("/v1/models/fraud:predict?explain=all", json={})
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "query.explain"


async def test_several_instances_are_answered_in_their_order(services: Services) -> None:
    services.store.put("spend", ("c2",), NOW, {"payments": 9, "mean_amount": 2.0})
    answer = (await services.predict(with_(customer_id="c2"), INSTANCE)).json()
    other = VALUES | {"payments": 9, "mean_amount": 2.0, "over_mean": 6.25}
    expected = score_locally(onnx_model(seed=1), [other, VALUES])
    assert [p["score"] for p in answer["predictions"]] == pytest.approx(expected, abs=1e-7)


async def test_an_unknown_customer_is_a_422_that_names_the_id_and_the_remedy(
    services: Services,
) -> None:
    answer = await services.predict(with_(customer_id="nobody"))
    error = answer.json()["error"]
    assert answer.status_code == 422
    assert error["code"] == "features_missing"
    assert "customer_id 'nobody'" in error["message"]
    assert "payments, mean_amount of 'spend' are not known" in error["message"]
    assert error["field"] == "instances[0].customer_id"
    assert "mlops features upsync spend" in error["remedy"]
    assert error["request_id"] == answer.headers["X-Request-Id"]


async def test_one_instance_that_fails_leaves_the_others_scored(services: Services) -> None:
    answer = await services.predict(with_(customer_id="nobody"), with_(amount="12.5"), INSTANCE)
    missing, wrong, good = answer.json()["predictions"]
    assert answer.status_code == 200
    assert missing["error"]["code"] == "features_missing"
    assert missing["features"]["payments"]["status"] == "NOT_FOUND"
    assert wrong["error"]["field"] == "instances[1].amount"
    assert 0 < good["score"] < 1


async def test_a_feature_with_a_default_may_be_missing(services: Services) -> None:
    answer = (await services.predict(with_(terminal_id="new"))).json()
    (expected,) = score_locally(onnx_model(seed=1), [VALUES | {"risk": 0.25}])
    (prediction,) = answer["predictions"]
    assert prediction["score"] == pytest.approx(expected, abs=1e-7)
    assert prediction["features"]["risk"] == {"status": "NOT_FOUND", "defaulted": True}


async def test_a_row_older_than_its_ttl_is_missing_and_the_error_says_why(
    services: Services,
) -> None:
    old = NOW - timedelta(days=3, seconds=1)
    services.store.put("spend", ("c1",), old, {"payments": 4, "mean_amount": 10.0})
    error = (await services.predict()).json()["error"]
    assert "are too old" in error["message"]
    assert "expires after 3 days" in error["remedy"]


async def test_a_stored_value_that_is_no_number_is_missing(services: Services) -> None:
    services.store.put("spend", ("c1",), NOW, {"payments": "4", "mean_amount": float("nan")})
    error = (await services.predict()).json()["error"]
    assert "payments, mean_amount" in error["message"]


async def test_a_number_beyond_float32_is_refused_by_name(services: Services) -> None:
    answer = await services.predict(with_(amount=1e300))
    assert answer.json()["error"]["field"] == "instances[0].amount"


async def test_a_function_that_raises_for_one_instance_fails_that_one_only(
    services: Services,
) -> None:
    model = services.catalog.get("fraud")

    def picky(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
        if 13.0 in columns["amount"]:
            raise ZeroDivisionError
        return {"over_mean": columns["amount"], "is_night": columns["amount"]}

    object.__setattr__(model.on_demand[0], "function", picky)
    answer = (await services.predict(with_(amount=13.0), INSTANCE)).json()
    failed, scored = answer["predictions"]
    assert failed["error"]["code"] == "on_demand_failed"
    assert "'context'" in failed["error"]["message"]
    assert "score" in scored


async def test_a_redis_that_is_down_is_a_503_that_can_be_tried_again(services: Services) -> None:
    services.store.down = Unavailable("Redis at secret-host:6379 does not answer")
    answer = await services.predict()
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "features_unavailable"
    assert answer.headers["Retry-After"] == "1"
    assert "secret-host" not in answer.text


@pytest.mark.parametrize(
    ("allowed", "most"), [({"X-Request-Timeout-Ms": "500"}, 500), ({}, 60_000)]
)
async def test_inference_is_told_how_much_time_is_left(
    services: Services, allowed: dict[str, Any], most: float
) -> None:
    assert (await services.predict(**allowed)).is_success
    assert 0 < float(services.way.headers["X-Request-Timeout-Ms"]) < most


async def test_inference_that_does_not_answer_is_a_503(services: Services) -> None:
    services.way.cut = Unavailable("http://secret-host:8081 gave no answer in 2 s.")
    answer = await services.predict()
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "inference_unavailable"
    assert "secret-host" not in answer.text
    assert answer.headers["Retry-After"] == "1"
    services.way.cut = None
    assert (await services.predict()).status_code == 200


async def test_a_model_that_is_not_deployed_is_a_404_that_lists_what_is(services: Services) -> None:
    answer = await services.proxy.post("/v1/models/churn:predict", json={"instances": [INSTANCE]})
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "unknown_model"
    assert "fraud" in answer.json()["error"]["remedy"]


async def test_features_are_counted_by_status_and_errors_by_code(services: Services) -> None:
    await services.predict(with_(terminal_id="new"), with_(customer_id="nobody"))
    text = (await services.proxy.get("/metrics")).text
    wanted = 'mlops_proxy_features_total{feature="risk",model="fraud",status="DEFAULTED"} 1.0'
    assert wanted in text
    assert 'mlops_proxy_errors_total{code="features_missing",model="fraud"} 1.0' in text
    assert 'mlops_proxy_stage_seconds_count{model="fraud",stage="inference",version="1"}' in text
