"""No secret and nothing personal gets into a log, whatever a caller sends and wherever."""

from __future__ import annotations

import logging

import pytest

from serving.logs import JsonFormatter
from tests.serving_examples import INSTANCE, NOW
from tests.serving_processes import Services

PREDICT = "/v1/models/fraud:predict"
MARK = "marked"
"""Stands in all that is sent; nothing of ours is called so."""


async def test_what_callers_send_is_in_no_log_line(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for noisy in ("httpx", "httpcore"):  # the tests' own calls
        caplog.set_level(logging.WARNING, logger=noisy)
    services.store.put("spend", ("marked-id",), NOW, {"payments": 4, "mean_amount": 87654.25})
    ask, key = services.proxy.post, services.proxy.headers["X-Api-Key"]
    sent = INSTANCE | {"customer_id": "marked-id", "amount": 98765.25}
    for body in (
        {"instances": [sent]},
        {"instances": [INSTANCE, sent | {"customer_id": "marked-other"}]},
        {"instances": [sent | {"customer_id": "marked-other"}]},
        {"instances": [sent | {"marked-field": "marked-value"}]},
        {"instances": [sent | {"event_time": "marked-time"}]},
        {"instances": "marked"},
        {"marked": 1},
    ):
        await ask(PREDICT + "?explain=features", json=body)
    await ask(PREDICT, content=b'{"instances": [marked')
    await ask("/v1/models/marked@example.com:predict?marked=1", json={"instances": [sent]})
    await ask("/v1/push/marked@example.com", json={"rows": [sent]})
    await ask("/marked", json={}, headers={"X-Request-Id": "<marked>", "Cookie": "marked"})
    for who in ({"X-Api-Key": "marked-key"}, {"Authorization": "Bearer marked.to.ken"}):
        await ask(PREDICT, json={"instances": [sent]}, headers={"X-Api-Key": ""} | who)
    lines = [JsonFormatter().format(record) for record in caplog.records]
    assert sum('"logger":"serving.audit"' in line for line in lines) >= 3
    private = (MARK, "98765", "87654", key)
    assert not [line for line in lines if any(word in line for word in private)]
