"""What was served is told to the offline store, and no request is the worse for it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pytest

from mlops.downsync.events import microseconds
from mlops.downsync.flow import Flow, Kind, Thinning, flow_body, flow_key
from mlops.downsync.producer import FULL, ProducerLimits
from mlops.downsync.stream import StreamRecord
from mlops.downsync.thinning import is_drawn, key_digest
from mlops.plan import PlannedField
from tests.serving_examples import INSTANCE, NOW
from tests.serving_processes import Services

SPEND = Flow(
    project="shop",
    view="spend",
    keys=(PlannedField(name="customer_id", dtype="String"),),
    features=tuple(
        PlannedField(name=name, dtype=dtype)
        for name, dtype in (
            ("payments", "Int64"),
            ("mean_amount", "Float64"),
            ("unused", "Float64"),
        )
    ),
    logs=(Kind.SERVED,),
)


async def log_of(services: Services, *flows: Flow) -> None:
    for flow in flows:
        services.documents.put(flow_key(flow.view), flow_body(flow))
    await services.follow()


def logged(services: Services) -> list[dict[str, Any]]:
    """Every event that is in the stream by now."""
    assert services.downsync.log.producer.flush(30)
    return [e for record in services.sink.taken for e in orjson.loads(record.data)["events"]]


async def test_a_served_view_is_logged_with_its_values_and_by_whom_they_were_asked(
    services: Services,
) -> None:
    await log_of(services, SPEND)
    answer = await services.predict()
    (event,) = logged(services)
    now = microseconds(NOW)
    assert len(event.pop("id")) == 32
    assert event == {
        "kind": "served",
        "view": "spend",
        "schema": SPEND.schema_version,
        "time": now,
        "created": now,
        "key": {"customer_id": "c1"},
        "values": {"payments": 4, "mean_amount": 10.0},
        "facts": {
            "model": "fraud",
            "model_version": 1,
            "service": "payments_v1",
            "request_id": answer.json()["request_id"],
            "stored_time": NOW.isoformat(),
            "is_complete": False,
            "score": answer.json()["predictions"][0]["score"],
        },
    }


async def test_a_row_of_all_the_features_is_complete(services: Services) -> None:
    risk = Flow(
        project="shop",
        view="risk",
        keys=(PlannedField(name="terminal_id", dtype="String"),),
        features=(PlannedField(name="risk", dtype="Float64"),),
        logs=(Kind.SERVED,),
    )
    await log_of(services, SPEND, risk)
    await services.predict()
    complete = {event["view"]: event["facts"]["is_complete"] for event in logged(services)}
    assert complete == {"spend": False, "risk": True}


async def test_views_that_log_nothing_are_not_told_of(services: Services) -> None:
    await log_of(services, SPEND.model_copy(update={"logs": (Kind.PUSHED,)}))
    await services.predict()
    assert logged(services) == []


async def test_only_what_was_scored_was_served(services: Services) -> None:
    await log_of(services, SPEND)
    unknown = INSTANCE | {"customer_id": "nobody"}
    answer = (await services.predict(INSTANCE, unknown, INSTANCE)).json()
    assert ["score" in prediction for prediction in answer["predictions"]] == [True, False, True]
    assert [event["key"]["customer_id"] for event in logged(services)] == ["c1", "c1"]


async def test_each_instance_is_logged_with_its_own_score(services: Services) -> None:
    await log_of(services, SPEND)
    unknown, other = INSTANCE | {"customer_id": "nobody"}, INSTANCE | {"amount": 900.0}
    answer = (await services.predict(INSTANCE, unknown, other)).json()["predictions"]
    scores = [event["facts"]["score"] for event in logged(services)]
    assert scores == [answer[0]["score"], answer[2]["score"]]
    assert scores[0] != scores[1]


async def test_a_model_without_a_number_is_logged_without_a_score(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log_of(services, SPEND)

    async def no_number(*_: Any, **__: Any) -> Any:
        return np.array([np.nan])

    monkeypatch.setattr(services.catalog.inference, "score", no_number)
    await services.predict()
    (event,) = logged(services)
    assert event["facts"]["score"] is None


async def test_a_feature_that_was_not_found_is_logged_as_null(services: Services) -> None:
    flow = Flow(
        project="shop",
        view="risk",
        keys=(PlannedField(name="terminal_id", dtype="String"),),
        features=(PlannedField(name="risk", dtype="Float64"),),
        logs=(Kind.SERVED,),
    )
    await log_of(services, flow)
    await services.predict(INSTANCE | {"terminal_id": "nobody"})
    (event,) = logged(services)
    assert event["values"] == {"risk": None}
    assert event["facts"]["stored_time"] is None


async def test_the_flows_draw_decides_which_keys_are_logged(services: Services) -> None:
    thinning = Thinning(ratio=0.5, by="key", seed=3)
    await log_of(services, SPEND.model_copy(update={"thinning": thinning}))
    customers = [f"c{n}" for n in range(60)]
    for customer in customers:
        services.store.put("spend", (customer,), NOW, {"payments": 1, "mean_amount": 1.0})
    await services.predict(*(INSTANCE | {"customer_id": customer} for customer in customers))
    kept = {event["key"]["customer_id"] for event in logged(services)}
    drawn = {c for c in customers if is_drawn(thinning, key_digest({"customer_id": c}), "")}
    assert kept == drawn
    assert 0 < len(kept) < 60


async def test_serving_goes_on_while_the_stream_hangs_and_counts_what_it_drops(
    services: Services,
) -> None:
    release = threading.Event()
    put = services.sink.put

    def hang(records: Sequence[StreamRecord]) -> list[int]:
        release.wait(30)
        return put(records)

    services.sink.put = hang  # type: ignore[method-assign]  # the stream of this one test
    producer = services.downsync.log.producer
    producer._limits = ProducerLimits(buffer_bytes=2000, flush_seconds=0.01)
    await log_of(services, SPEND)
    answers = [(await services.predict()).status_code for _ in range(20)]
    assert answers == [200] * 20
    assert producer.counts.dropped[FULL] > 0
    metrics = (await services.proxy.get("/metrics")).text
    dropped = producer.counts.dropped[FULL]
    assert f'mlops_downsync_dropped_total{{reason="buffer_full"}} {float(dropped)}' in metrics
    row = 'mlops_downsync_rows_total{kind="served",outcome="dropped",view="spend"}'
    assert f"{row} {float(dropped)}" in metrics
    release.set()
    assert len(logged(services)) == 20 - dropped


async def test_an_event_that_cannot_be_written_is_no_ones_problem(services: Services) -> None:
    await log_of(services, SPEND)
    services.store.put("spend", ("c1",), NOW, {"payments": 4, "mean_amount": 1 << 70})
    assert (await services.predict()).status_code == 200
    assert logged(services) == []
    assert sum(services.downsync.log.counts.values()) == 1
