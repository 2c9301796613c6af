"""One id finds every line of a request, in both services."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import orjson
import pytest

from serving.logs import ACCESS, AccessLines, JsonFormatter, request_id
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


LINE: dict[str, Any] = {"method": "POST", "route": "/r", "status": 200, "ms": 1.5, "caller": "c"}


@pytest.fixture
def lines() -> Iterator[AccessLines]:
    """Lines that are written together."""
    made = AccessLines()
    made.write_to(io.StringIO())
    yield made
    made.write_to(None)


def written(lines: AccessLines) -> list[dict[str, Any]]:
    stream = lines._stream
    assert isinstance(stream, io.StringIO)
    return [orjson.loads(line) for line in stream.getvalue().splitlines()]


async def test_a_line_that_was_gathered_says_what_its_logger_would(lines: AccessLines) -> None:
    request_id.set("order-17")
    lines.add(LINE)
    lines.flush()
    record = logging.makeLogRecord({"name": ACCESS, "levelname": "INFO", "msg": "request", **LINE})
    logged = orjson.loads(JsonFormatter().format(record))
    (gathered,) = written(lines)
    times = [datetime.fromisoformat(line.pop("time")) for line in (logged, gathered)]
    assert gathered == logged
    assert abs((times[1] - times[0]).total_seconds()) < 60


async def test_lines_are_written_together_and_by_themselves(
    lines: AccessLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.logs._GATHERED_SECONDS", 0.0)
    for status in (200, 503):
        lines.add(LINE | {"status": status})
    assert written(lines) == []
    await asyncio.sleep(0.01)
    assert [line["status"] for line in written(lines)] == [200, 503]
    lines.add(LINE | {"status": 404})
    await asyncio.sleep(0.01)
    assert [line["status"] for line in written(lines)] == [200, 503, 404]


async def test_no_more_lines_wait_than_are_bounded(
    lines: AccessLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.logs._MOST_GATHERED", 3)
    for _ in range(4):
        lines.add(LINE)
    assert len(written(lines)) == 3


async def test_what_waits_is_written_before_the_lines_go_elsewhere(lines: AccessLines) -> None:
    stream = lines._stream
    assert isinstance(stream, io.StringIO)
    lines.add(LINE)
    lines.write_to(None)
    assert orjson.loads(stream.getvalue())["route"] == "/r"
