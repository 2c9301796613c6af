"""Rows that are pushed: each written or refused for itself, by callers that may."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import pytest

from mlops.downsync.flow import Flow, Kind, flow_body, flow_key
from mlops.errors import Unavailable
from mlops.plan import PlannedField
from tests.serving_examples import INSTANCE
from tests.serving_processes import Services

KEYS = (PlannedField(name="customer_id", dtype="String"),)
SPEND = Flow(
    project="shop",
    view="spend",
    keys=KEYS,
    features=(
        PlannedField(name="payments", dtype="Int64"),
        PlannedField(name="mean_amount", dtype="Float64"),
        PlannedField(name="unused", dtype="Float64"),
    ),
    push_source="spend_push",
    logs=(Kind.PUSHED,),
)
NOTES = Flow(
    project="shop",
    view="notes",
    keys=KEYS,
    features=(
        PlannedField(name="blob", dtype="Bytes"),
        PlannedField(name="seen", dtype="UnixTimestamp"),
        PlannedField(name="shares", dtype="Array(Float64)"),
    ),
    push_source="notes_push",
)
ROW = {
    "customer_id": "c1",
    "payments": 9,
    "mean_amount": 40.0,
    "unused": None,
    "event_time": "2018-08-08T00:01:00Z",
}


@pytest.fixture
async def pushed(services: Services) -> Services:
    """The two flows applied, and the caller allowed to push to both."""
    for flow in (SPEND, NOTES):
        services.documents.put(flow_key(flow.view), flow_body(flow))
    await allow(services, "predict", "push:spend_push", "push:notes_push")
    await services.follow()
    return services


async def allow(services: Services, *permissions: str) -> None:
    """Give the tests' own key these permissions."""
    (key,) = services.keys.stored.keys
    changed = key.model_copy(update={"permissions": permissions})
    services.keys.stored = services.keys.stored.model_copy(update={"keys": (changed,)})
    await services.doorkeeper.refresh()


async def push(services: Services, *rows: Any, source: str = "spend_push") -> httpx.Response:
    return await services.proxy.post(f"/v1/push/{source}", json={"rows": list(rows)})


def row(**changes: Any) -> dict[str, Any]:
    return ROW | changes


def logged(services: Services) -> list[dict[str, Any]]:
    assert services.downsync.log.producer.flush(30)
    return [e for record in services.sink.taken for e in orjson.loads(record.data)["events"]]


async def test_a_pushed_row_is_what_the_next_prediction_sees(pushed: Services) -> None:
    answer = await push(pushed, ROW)
    assert answer.status_code == 200
    features = (await pushed.predict(explain=True)).json()["predictions"][0]["features"]
    assert features["payments"] == {
        "status": "PRESENT",
        "value": 9,
        "event_time": "2018-08-08T00:01:00Z",
    }


async def test_a_pushed_row_is_told_to_the_offline_store_with_who_pushed_it(
    pushed: Services,
) -> None:
    answer = (await push(pushed, row(event_id="e-1"))).json()
    assert answer["results"] == [
        {"status": "written", "event_id": "e-1", "logged": {"spend": "logged"}}
    ]
    (event,) = logged(pushed)
    assert (event["id"], event["kind"], event["view"]) == ("e-1", "pushed", "spend")
    assert event["facts"] == {"push_source": "spend_push", "pushed_by": "tester"}
    assert event["values"] == {"payments": 9, "mean_amount": 40.0, "unused": None}


async def test_an_older_row_does_not_replace_a_newer_one_and_is_logged_all_the_same(
    pushed: Services,
) -> None:
    await push(pushed, ROW, row(payments=1, event_time="2018-08-07T00:00:00Z"))
    features = (await pushed.predict(explain=True)).json()["predictions"][0]["features"]
    assert features["payments"]["value"] == 9
    assert [event["values"]["payments"] for event in logged(pushed)] == [9, 1]


async def test_a_view_that_logs_no_pushes_is_written_only(pushed: Services) -> None:
    note = {
        "customer_id": "c1",
        "blob": base64.b64encode(b"\x00\xff").decode(),
        "seen": "2018-08-07T12:00:00+09:00",
        "shares": [0.5, None, "NaN"],
        "event_time": "2018-08-08T00:00:00Z",
    }
    (result,) = (await push(pushed, note, source="notes_push")).json()["results"]
    assert result["logged"] == {"notes": "not_logged"}
    stored = pushed.store.rows["notes", ("c1",)].values
    assert stored["blob"] == b"\x00\xff"
    assert stored["seen"] == datetime(2018, 8, 7, 3, tzinfo=UTC)
    assert stored["shares"][:2] == [0.5, None]
    assert logged(pushed) == []


@pytest.mark.parametrize(
    ("changes", "field", "problem"),
    [
        ({"payments": "nine"}, ".payments", "an integer of 64 bits"),
        ({"payments": 1 << 63}, ".payments", "an integer of 64 bits"),
        ({"mean_amount": "much"}, ".mean_amount", "a number"),
        ({"customer_id": None}, ".customer_id", "join key"),
        ({"customer_id": 7}, ".customer_id", "a string"),
        ({"extra": 1}, ".extra", "no field of this push source"),
        ({"event_time": "yesterday"}, ".event_time", "ISO 8601"),
        ({"event_time": "2018-08-08T00:00:00"}, ".event_time", "with a zone"),
        ({"event_time": "2018-08-08T00:05:01Z"}, ".event_time", "in the future"),
        ({"event_time": "1969-12-31T00:00:00Z"}, ".event_time", "before 1970"),
        ({"event_id": "a b"}, ".event_id", "letters"),
    ],
)
async def test_a_row_that_does_not_fit_is_refused_and_its_neighbours_are_written(
    pushed: Services, changes: dict[str, Any], field: str, problem: str
) -> None:
    other = row(customer_id="c2")
    answer = (await push(pushed, other, row(**changes))).json()
    assert [result["status"] for result in answer["results"]] == ["written", "refused"]
    error = answer["results"][1]["error"]
    assert error["field"] == f"rows[1]{field}"
    assert problem in error["message"]
    assert [event["key"]["customer_id"] for event in logged(pushed)] == ["c2"]
    assert pushed.store.rows["spend", ("c1",)].values["payments"] == 4


@pytest.mark.parametrize("missing", ["customer_id", "unused", "event_time"])
async def test_a_single_row_without_a_field_answers_422_naming_it(
    pushed: Services, missing: str
) -> None:
    answer = await push(pushed, {k: v for k, v in ROW.items() if k != missing})
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == f"rows[0].{missing}"


async def test_what_is_no_object_is_refused(pushed: Services) -> None:
    results = (await push(pushed, ROW, 7)).json()["results"]
    assert "it is no object" in results[1]["error"]["message"]


async def test_a_row_too_large_for_the_stream_is_refused(pushed: Services) -> None:
    note = {
        "customer_id": "c1",
        "blob": "A" * 800_000,
        "seen": None,
        "shares": None,
        "event_time": "2018-08-08T00:00:00Z",
    }
    answer = await push(pushed, note, source="notes_push")
    assert answer.status_code == 422
    assert "bytes" in answer.json()["error"]["message"]
    assert ("notes", ("c1",)) not in pushed.store.rows


async def test_a_source_that_is_not_applied_is_a_404_naming_those_that_are(
    pushed: Services,
) -> None:
    await allow(pushed, "push:*")
    answer = await push(pushed, ROW, source="nowhere")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_push_source")
    assert "notes_push, spend_push" in answer.json()["error"]["message"]


async def test_a_key_pushes_to_the_sources_that_it_names(pushed: Services) -> None:
    await allow(pushed, "predict", "push:notes_push")
    answer = await push(pushed, ROW)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_allowed")
    assert "push:spend_push" in answer.json()["error"]["message"]


async def test_a_key_for_pushes_asks_for_no_predictions(pushed: Services) -> None:
    await allow(pushed, "push:*")
    assert (await push(pushed, ROW)).status_code == 200
    assert (await pushed.predict(INSTANCE)).status_code == 403


async def test_a_caller_without_a_key_pushes_nothing(pushed: Services) -> None:
    answer = await pushed.proxy.post(
        "/v1/push/spend_push", json={"rows": [ROW]}, headers={"X-Api-Key": "wrong"}
    )
    assert answer.status_code == 401


async def test_while_redis_is_down_nothing_is_written_and_nothing_is_logged(
    pushed: Services,
) -> None:
    pushed.store.down = Unavailable("Redis is down")
    answer = await push(pushed, ROW)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "Redis is down" not in answer.text
    pushed.store.down = None
    assert logged(pushed) == []
    assert (await push(pushed, ROW)).status_code == 200


async def test_a_push_does_not_wait_for_the_stream(pushed: Services) -> None:
    pushed.sink.down = True
    results = (await push(pushed, ROW)).json()["results"]
    assert results[0]["logged"] == {"spend": "logged"}
    pushed.sink.down = False
    assert len(logged(pushed)) == 1


async def test_pushes_are_counted_by_what_became_of_them(pushed: Services) -> None:
    await push(pushed, ROW, row(payments="nine"))
    metrics = (await pushed.proxy.get("/metrics")).text
    for outcome in ("written", "refused"):
        labels = f'{{outcome="{outcome}",push_source="spend_push"}}'
        assert f"mlops_proxy_pushed_rows_total{labels} 1.0" in metrics


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"rows": []}', b'{"rows": [{}], "x": 1}'])
async def test_a_body_that_is_no_push_is_a_422(pushed: Services, body: bytes) -> None:
    assert (await pushed.proxy.post("/v1/push/spend_push", content=body)).status_code == 422
