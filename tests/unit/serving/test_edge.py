"""Ids, keys, health and logs: what surrounds every request."""

from __future__ import annotations

import json
import logging
import re

import pytest

from mlops.errors import Unavailable
from serving.logs import JsonFormatter
from tests.serving_examples import INSTANCE, NOW
from tests.serving_processes import Services

URL = "/v1/models/fraud:predict"
BODY = {"instances": [INSTANCE]}


async def test_a_callers_request_id_comes_back(services: Services) -> None:
    answer = await services.proxy.post(URL, json=BODY, headers={"X-Request-Id": "order-17"})
    assert answer.headers["X-Request-Id"] == "order-17"
    assert answer.json()["request_id"] == "order-17"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb", "<script>"])
async def test_an_id_that_is_not_plain_is_replaced(services: Services, given: str) -> None:
    answer = await services.proxy.post(URL, json=BODY, headers={"X-Request-Id": given})
    assert answer.json()["request_id"] not in {"", given}


@pytest.mark.parametrize("key", [None, "", "wrong", "mlops_" + "A" * 43])
async def test_without_a_known_key_there_is_a_401(services: Services, key: str | None) -> None:
    del services.proxy.headers["X-Api-Key"]
    answer = await services.proxy.post(URL, json=BODY, headers={"X-Api-Key": key} if key else {})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "unauthenticated"
    assert "mlops serve create-key" in answer.json()["error"]["remedy"]


async def test_the_key_is_asked_for_before_the_body_is_read(services: Services) -> None:
    del services.proxy.headers["X-Api-Key"]
    assert (await services.proxy.post(URL, content=b"{")).status_code == 401


async def test_a_key_made_while_serving_is_known_at_once(services: Services) -> None:
    services.keys.stored, key = services.keys.stored.add("late", now=NOW)
    answer = await services.proxy.post(URL, json=BODY, headers={"X-Api-Key": key})
    assert answer.status_code == 200


async def test_a_key_store_that_fails_leaves_the_known_keys_valid(services: Services) -> None:
    await services.predict()
    services.keys.down = Unavailable("down")
    assert (
        await services.proxy.post(URL, json=BODY, headers={"X-Api-Key": "?"})
    ).status_code == 401
    assert (await services.predict()).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", URL, 405), ("POST", "/healthz", 405)],
)
async def test_the_frameworks_own_errors_have_the_one_shape(
    services: Services, method: str, path: str, status: int
) -> None:
    answer = await services.proxy.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()["error"]) >= {"code", "message", "request_id"}


async def test_an_unexpected_error_is_a_500_without_its_insides(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: str) -> None:
        raise RuntimeError("the insides")

    monkeypatch.setattr(services.catalog, "route", broken)
    answer = await services.predict()
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal"
    assert "insides" not in answer.text


async def test_ready_when_everything_answers(services: Services) -> None:
    answer = await services.proxy.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "ready": True,
        "redis": "ok",
        "inference": "ok",
        "models": {
            "fraud": {
                "ready": True,
                "version": 1,
                "trained_on_this_plan": True,
                "problem": None,
                "revision": 1,
                "traffic": [],
                "traffic_problem": None,
            }
        },
        "api_keys": "ok",
    }


async def test_not_ready_without_redis(services: Services) -> None:
    services.store.down = Unavailable("Redis is down")
    answer = await services.proxy.get("/readyz")
    assert (answer.status_code, answer.json()["redis"]) == (503, "Redis is down")
    assert (await services.proxy.get("/healthz")).status_code == 200


async def test_not_ready_without_inference(services: Services) -> None:
    services.way.cut = Unavailable("refused")
    answer = await services.proxy.get("/readyz")
    assert answer.status_code == 503
    assert "does not answer" in answer.json()["inference"]


async def test_not_ready_when_nothing_is_deployed(services: Services) -> None:
    services.deploy(None)
    await services.follow()
    answer = await services.proxy.get("/readyz")
    assert answer.status_code == 503
    assert "mlops models approve" in answer.json()["models"]


async def test_the_openapi_document_describes_the_hot_route(services: Services) -> None:
    document = (await services.proxy.get("/openapi.json")).json()
    route = document["paths"][URL.replace("fraud", "{model}")]["post"]
    assert set(route["responses"]) >= {"200", "401", "404", "413", "422", "503"}
    assert route["requestBody"]["content"]["application/json"]["example"]["instances"]
    assert document["components"]["securitySchemes"]


async def test_no_id_amount_or_key_is_logged(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="serving")
    secret = {"customer_id": "private-customer", "amount": 98765.25}
    await services.predict(INSTANCE | secret)
    await services.predict(INSTANCE, INSTANCE | secret)
    text = "".join(JsonFormatter().format(record) for record in caplog.records)
    key = services.proxy.headers["X-Api-Key"]
    assert "tester" in text
    assert not [word for word in ("private-customer", "98765", key) if word in text]


def test_a_log_line_is_one_json_object_with_its_extras() -> None:
    record = logging.makeLogRecord({"msg": "done %s", "args": ("well",), "levelname": "INFO"})
    record.endpoint = "fraud"
    line = json.loads(JsonFormatter().format(record))
    assert line["message"] == "done well"
    assert line["endpoint"] == "fraud"


async def test_the_hot_route_names_its_method_to_those_who_use_another(services: Services) -> None:
    answer = await services.proxy.get(URL)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert answer.json()["error"]["code"] == "method_not_allowed"


async def test_our_own_mistake_is_told_without_its_words(
    services: Services, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: str) -> None:
        raise RuntimeError("private words")

    monkeypatch.setattr(services.catalog, "route", broken)
    answer = await services.predict()
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert answer.json()["error"]["request_id"] == answer.headers["X-Request-Id"]
    assert "private words" not in answer.text
    assert "private words" in caplog.text


async def test_every_body_that_the_openapi_document_refers_to_is_in_it(services: Services) -> None:
    text = (await services.proxy.get("/openapi.json")).text
    known = json.loads(text)["components"]["schemas"]
    referred = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert referred >= {"PredictAnswer", "PredictionAnswer", "FeatureAnswer", "ErrorBody"}
    assert referred <= set(known)
