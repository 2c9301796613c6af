"""One id finds every line of a request, in both services."""

from __future__ import annotations

import pytest

from tests.json_lines import json_lines
from tests.serving_examples import INSTANCE
from tests.serving_processes import Services


async def test_one_id_stands_in_the_answer_and_in_the_lines_of_both_services(
    services: Services,
) -> None:
    with json_lines() as lines:
        services.proxy.headers["X-Request-Id"] = "order-17"
        answer = await services.predict()
    assert answer.json()["request_id"] == "order-17"
    routes = {line["route"]: line["request_id"] for line in lines}
    assert routes == {
        "/v1/models/{model}:predict": "order-17",
        "/v2/models/{model}/versions/{version}/infer": "order-17",
    }


async def test_a_line_says_who_asked_which_version_how_much_and_how_long(
    services: Services,
) -> None:
    with json_lines() as lines:
        await services.predict(INSTANCE, INSTANCE)
    (line,) = [line for line in lines if line["route"].endswith(":predict")]
    assert line["level"] == "INFO"
    assert (line["model"], line["version"], line["instances"]) == ("fraud", 1, 2)
    assert (line["caller"], line["status"]) == ("tester", 200)
    assert line["ms"] > 0
    assert line["time"].endswith("+00:00")


async def test_a_refusal_and_its_line_have_the_same_id(services: Services) -> None:
    with json_lines() as lines:
        answer = await services.predict({"customer_id": "c1"})
    ids = {line["request_id"] for line in lines}
    assert ids == {answer.json()["error"]["request_id"]}
    assert "invalid_input" in {line.get("code") for line in lines}


async def test_what_failed_on_our_side_is_logged_with_its_cause_and_id(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: str) -> None:
        raise RuntimeError("the insides")

    monkeypatch.setattr(services.catalog, "route", broken)
    with json_lines() as lines:
        answer = await services.predict()
    (line,) = [line for line in lines if "exception" in line]
    assert "the insides" in line["exception"]
    assert line["request_id"] == answer.json()["error"]["request_id"]


async def test_machines_that_ask_for_health_leave_no_line(services: Services) -> None:
    with json_lines("serving.access") as lines:
        await services.proxy.get("/metrics")
        await services.inference.get("/v2/health/live")
    assert lines == []
