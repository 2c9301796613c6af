"""What services read of features is told to the offline store, where the view says so."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from mlops.downsync.events import microseconds
from mlops.downsync.flow import Flow, Kind, Thinning
from mlops.downsync.thinning import is_drawn, key_digest
from tests.serving_examples import NOW
from tests.serving_processes import Services
from tests.unit.serving.test_served_log import SPEND, log_of, logged

READ = SPEND.model_copy(update={"logs": (Kind.READ,)})


async def read(services: Services, *customers: str) -> httpx.Response:
    terminals = ["t1"] * len(customers)
    entities = {"customer_id": list(customers), "terminal_id": terminals}
    path = "/v1/features/payments_v1:read"
    return await services.proxy.post(path, json={"entities": entities})


async def feasts(services: Services, *customers: str) -> httpx.Response:
    asked = {"entities": {"customer_id": list(customers)}, "features": ["spend:payments"]}
    return await services.proxy.post("/get-online-features", json=asked)


async def test_a_read_is_logged_with_its_values_and_by_whom_it_was_asked(
    services: Services,
) -> None:
    await log_of(services, READ)
    answer = await read(services, "c1")
    (event,) = logged(services)
    assert (event["kind"], event["view"], event["key"]) == ("read", "spend", {"customer_id": "c1"})
    assert event["time"] == event["created"] == microseconds(NOW)
    assert event["values"]["payments"] == 4
    assert event["facts"] == {
        "service": "payments_v1",
        "read_by": "tester",
        "request_id": answer.json()["request_id"],
        "stored_time": NOW.isoformat(),
        "is_complete": len(event["values"]) == len(SPEND.features),
    }


async def test_a_row_that_was_not_found_is_logged_as_nulls(services: Services) -> None:
    await log_of(services, READ)
    await read(services, "c1", "nobody")
    _, unknown = logged(services)
    assert set(unknown["values"].values()) == {None}
    assert unknown["facts"]["stored_time"] is None


async def test_rows_that_were_refused_are_not_logged(services: Services) -> None:
    await log_of(services, READ)
    answer = await read(services, "", "c1")
    assert [error["row"] for error in answer.json()["errors"]] == [0]
    assert [event["key"]["customer_id"] for event in logged(services)] == ["c1"]


async def test_feasts_clients_are_logged_too_and_what_they_left_out_is_told(
    services: Services,
) -> None:
    await log_of(services, READ)
    assert (await feasts(services, "c1")).is_success
    (event,) = logged(services)
    assert (event["values"], event["facts"]["is_complete"]) == ({"payments": 4}, False)


@pytest.mark.parametrize("ask", [read, feasts])
async def test_reads_of_views_that_log_predictions_only_are_not_logged(
    services: Services, ask: Any
) -> None:
    await log_of(services, SPEND)
    assert (await ask(services, "c1")).is_success
    assert logged(services) == []


async def test_predictions_are_no_reads(services: Services) -> None:
    await log_of(services, READ)
    assert (await services.predict()).is_success
    assert logged(services) == []


async def test_the_views_ratio_thins_reads(services: Services) -> None:
    thinning = Thinning(ratio=0.3, by="key")
    flow: Flow = READ.model_copy(update={"thinning": thinning})
    await log_of(services, flow)
    customers = [f"c{n}" for n in range(100)]
    await read(services, *customers)
    drawn = {c for c in customers if is_drawn(thinning, key_digest({"customer_id": c}), "")}
    assert {event["key"]["customer_id"] for event in logged(services)} == drawn
    assert 0 < len(drawn) < 100
