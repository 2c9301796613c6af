"""A wrong body is a 422 that names the field; nothing is read for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.serving_examples import INSTANCE
from tests.serving_processes import Services, serving

URL = "/v1/models/fraud:predict"


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in INSTANCE.items() if key != name}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"[]", "body"),
        (b'"text"', "body"),
        (b"{}", "instances"),
        (b'{"instances": {}}', "instances"),
        (b'{"instances": []}', "instances"),
        (b'{"instances": [1]}', "instances[0]"),
        (b'{"instances": [{}], "extra": 1}', "extra"),
        (b'{"instances": [NaN]}', "body"),
        (b"[" * 5000, "body"),
        (b'{"instances": [' + b'{"a":' * 20 + b"1" + b"}" * 20 + b"]}", "body"),
    ],
)
async def test_a_body_of_the_wrong_shape(services: Services, body: bytes, field: str) -> None:
    answer = await services.proxy.post(URL, content=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == field


@pytest.mark.parametrize(
    ("instance", "field"),
    [
        (without("amount"), "amount"),
        (without("customer_id"), "customer_id"),
        (INSTANCE | {"amout": 1.0}, "amout"),
        (INSTANCE | {"amount": "12.5"}, "amount"),
        (INSTANCE | {"amount": True}, "amount"),
        (INSTANCE | {"amount": None}, "amount"),
        (INSTANCE | {"amount": [1.0]}, "amount"),
        (INSTANCE | {"customer_id": 1042}, "customer_id"),
        (INSTANCE | {"customer_id": ""}, "customer_id"),
        (INSTANCE | {"customer_id": "x" * 257}, "customer_id"),
        (INSTANCE | {"event_time": "2018-08-08T10:00:00"}, "event_time"),
        (INSTANCE | {"event_time": "yesterday"}, "event_time"),
        (INSTANCE | {"event_time": 1533722400}, "event_time"),
        (INSTANCE | {"event_time": "0001-01-01T00:00:00+23:00"}, "event_time"),
    ],
)
async def test_a_field_of_the_wrong_kind(
    services: Services, instance: dict[str, Any], field: str
) -> None:
    answer = await services.predict(instance)
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "invalid_input"
    assert answer.json()["error"]["field"] == f"instances[0].{field}"


async def test_a_missing_field_is_told_with_what_to_send(services: Services) -> None:
    error = (await services.predict(without("event_time"))).json()["error"]
    assert "customer_id (a string" in error["remedy"]


async def test_any_zone_will_do_and_is_read_as_the_same_instant(services: Services) -> None:
    here = await services.predict(INSTANCE)
    there = await services.predict(INSTANCE | {"event_time": "2018-08-08T14:00:00+09:00"})
    assert here.json()["predictions"] == there.json()["predictions"]


async def test_text_that_looks_like_nesting_is_no_nesting(services: Services) -> None:
    answer = await services.predict(INSTANCE | {"terminal_id": '[[[[[[[[[["{{{{{{{{\\'})
    assert answer.status_code == 200


async def test_a_body_that_is_too_large_is_a_413(tmp_path: Path) -> None:
    async with serving(tmp_path / "repo", limits={"max_body_bytes": 2048}) as services:
        declared = await services.proxy.post(URL, content=b"x" * 2049)

        async def chunks() -> Any:
            for _ in range(3):
                yield b"x" * 1000

        streamed = await services.proxy.post(URL, content=chunks())
    for answer in (declared, streamed):
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "body_too_large"


async def test_too_many_instances_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path / "repo", limits={"max_instances": 2}) as services:
        answer = await services.predict(INSTANCE, INSTANCE, INSTANCE)
    assert answer.status_code == 422
    assert "3 entries, 2 are allowed" in answer.json()["error"]["message"]
