"""The callers' client: what it sends, what it makes of answers, and when it tries again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.client import (
    AsyncProxyClient,
    FeaturesMissing,
    InvalidRequest,
    NotAllowed,
    NotFound,
    ProxyClient,
    ProxyError,
    RateLimited,
    ServerFailed,
    TimedOut,
    Unauthenticated,
    Unavailable,
)
from serving.client.exchange import Answer, Late, Lost, Pause, Send, exchange
from tests.serving_examples import INSTANCE, NOW
from tests.serving_processes import Services

GOOD = {
    "request_id": "r1",
    "model": "fraud",
    "version": 3,
    "predictions": [
        {"score": 0.25, "features": {"risk": {"status": "NOT_FOUND", "defaulted": True}}},
        {"error": {"code": "features_missing", "message": "no", "field": "instances[1].id"}},
    ],
    "something": "new",
}
TABLE = {
    "request_id": "r1",
    "feature_service": "fraud_v1",
    "features": {
        "spend:payments": {"values": [4, None], "statuses": ["PRESENT", "INVALID"]},
        "spend:mean": {"values": [1.5, None], "statuses": ["PRESENT", "INVALID"]},
    },
    "event_times": {"spend": ["2018-08-08T00:00:00Z", None]},
    "errors": [{"row": 1, "code": "invalid_input", "message": "no text"}],
}


class Proxy:
    """Answers requests one after the other as it was told, and keeps them."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.requests = list(answers), list[httpx.Request]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, dict):
            return httpx.Response(200, json=answer)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


Ask = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Calls a method of the client on a proxy that answers as told."""

    def blocking(proxy: Proxy, method: str, *given: Any, **options: Any) -> Any:
        made = options.pop("client", {})
        with ProxyClient("http://proxy", transport=httpx.MockTransport(proxy), **made) as client:
            return getattr(client, method)(*given, **options)

    async def waiting(proxy: Proxy, method: str, *given: Any, **options: Any) -> Any:
        made = options.pop("client", {})
        transport = httpx.MockTransport(proxy)
        async with AsyncProxyClient("http://proxy", transport=transport, **made) as client:
            return await getattr(client, method)(*given, **options)

    if request.param == "sync":
        return blocking
    return lambda *given, **options: asyncio.run(waiting(*given, **options))


def test_a_prediction_is_asked_for_and_read(ask: Ask) -> None:
    proxy = Proxy(GOOD)
    instance = {"id": "1", "event_time": datetime(2018, 8, 8, tzinfo=UTC)}
    found = ask(
        proxy, "predict", "fraud", [instance], explain=True, timeout=2.0, request_id="mine",
        client={"api_key": "k"},
    )  # fmt: skip
    (sent,) = proxy.requests
    assert str(sent.url) == "http://proxy/v1/models/fraud:predict?explain=features"
    assert json.loads(sent.content) == {
        "instances": [{"id": "1", "event_time": "2018-08-08T00:00:00+00:00"}]
    }
    assert (sent.headers["X-Api-Key"], sent.headers["X-Request-Id"]) == ("k", "mine")
    assert 1500 < int(sent.headers["X-Request-Timeout-Ms"]) <= 2000
    assert (found.model, found.version, found.scores) == ("fraud", 3, [0.25, None])
    assert found[0].features["risk"].defaulted
    assert found[1].error.field == "instances[1].id"


def test_features_are_asked_for_and_read(ask: Ask) -> None:
    proxy = Proxy(TABLE)
    found = ask(proxy, "read", "fraud_v1", {"id": ["1", "2"]}, features=["spend:payments"])
    (sent,) = proxy.requests
    assert sent.url.path == "/v1/features/fraud_v1:read"
    assert json.loads(sent.content) == {
        "entities": {"id": ["1", "2"]},
        "features": ["spend:payments"],
    }
    assert list(found.rows()) == [
        {"spend:payments": 4, "spend:mean": 1.5},
        {"spend:payments": None, "spend:mean": None},
    ]
    assert found.statuses["spend:mean"] == ["PRESENT", "INVALID"]
    assert found.event_times["spend"] == [datetime(2018, 8, 8, tzinfo=UTC), None]
    assert (len(found), found.errors[1].code) == (2, "invalid_input")


def test_a_token_is_asked_for_at_each_request(ask: Ask) -> None:
    proxy, tokens = Proxy(httpx.Response(503), GOOD), iter("ab")
    ask(proxy, "predict", "fraud", [{}], client={"token": lambda: next(tokens)})
    assert [sent.headers["Authorization"] for sent in proxy.requests] == ["Bearer a", "Bearer b"]


def refusal(status: int, code: str = "", **headers: str) -> httpx.Response:
    error = {"code": code, "message": "why", "field": "f", "remedy": "do", "request_id": "r"}
    return httpx.Response(status, json={"error": error}, headers=headers)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (422, "invalid_input", InvalidRequest),
        (422, "features_missing", FeaturesMissing),
        (413, "body_too_large", InvalidRequest),
        (401, "unauthenticated", Unauthenticated),
        (403, "not_allowed", NotAllowed),
        (404, "unknown_model", NotFound),
        (504, "deadline_exceeded", TimedOut),
        (500, "internal", ServerFailed),
        (302, "", ServerFailed),
    ],
)
def test_what_trying_again_does_not_mend_is_raised_at_once(
    ask: Ask, status: int, code: str, kind: type[ProxyError]
) -> None:
    proxy = Proxy(refusal(status, code))
    with pytest.raises(kind, match="why") as raised:
        ask(proxy, "predict", "fraud", [{}])
    error = raised.value
    assert type(error) is kind
    assert (error.status, error.code, error.field) == (status, code, "f")
    assert (error.remedy, error.request_id, len(proxy.requests)) == ("do", "r", 1)


@pytest.mark.parametrize(
    "first", [httpx.Response(503), refusal(429), httpx.ConnectError("x"), httpx.ReadError("x")]
)
def test_what_may_pass_is_tried_again(ask: Ask, first: Any) -> None:
    assert ask(Proxy(first, GOOD), "predict", "fraud", [{}]).version == 3


def test_it_gives_up_after_its_retries(ask: Ask) -> None:
    proxy = Proxy(httpx.ConnectError("refused"))
    with pytest.raises(Unavailable, match="refused"):
        ask(proxy, "predict", "fraud", [{}], client={"retries": 2})
    assert len(proxy.requests) == 3


def test_a_retry_after_that_the_time_does_not_allow_is_not_waited_for(ask: Ask) -> None:
    proxy = Proxy(refusal(429, "rate_limited", **{"Retry-After": "7"}))
    with pytest.raises(RateLimited) as raised:
        ask(proxy, "predict", "fraud", [{}])
    assert (raised.value.retry_after, len(proxy.requests)) == (7.0, 1)


def test_no_answer_in_time_is_not_tried_again(ask: Ask) -> None:
    proxy = Proxy(httpx.ReadTimeout("slow"))
    with pytest.raises(TimedOut, match="within 1 s"):
        ask(proxy, "predict", "fraud", [{}])
    assert len(proxy.requests) == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"features": 1}', b"\xff"])
def test_an_answer_of_something_else_is_named_so(ask: Ask, body: bytes) -> None:
    for method, what in (("predict", [{}]), ("read", {"id": []})):
        with pytest.raises(ServerFailed, match="no answer of the proxy"):
            ask(Proxy(httpx.Response(200, content=body)), method, "fraud", what)


@pytest.mark.parametrize("value", [float("nan"), datetime(2018, 8, 8), object()])  # noqa: DTZ001
def test_what_json_cannot_say_is_refused_before_it_is_sent(ask: Ask, value: Any) -> None:
    proxy = Proxy(GOOD)
    with pytest.raises(InvalidRequest, match="cannot be written"):
        ask(proxy, "predict", "fraud", [{"x": value}])
    assert not proxy.requests


REPLIES = st.sampled_from(
    [
        Lost(OSError()),
        Late(OSError()),
        Answer(200, {}, b"{}"),
        Answer(422, {}, b""),
        Answer(503, {"retry-after": "1"}, b""),
        Answer(503, {}, b""),
        Answer(429, {"retry-after": "soon"}, b""),
    ]
)


@given(
    st.lists(st.tuples(REPLIES, st.floats(0, 2)), min_size=9, max_size=9),
    st.floats(0.01, 5),
    st.integers(0, 5),
)
def test_a_call_never_outlasts_its_time_nor_its_retries(
    replies: Sequence[tuple[Answer | Lost, float]], timeout: float, retries: int
) -> None:
    at, sent = 0.0, 0
    steps = exchange(timeout=timeout, retries=retries, now=lambda: at, spread=lambda: 1.0)
    came: Answer | Lost | None = None
    with contextlib.suppress(StopIteration, ProxyError):
        while True:
            step = steps.send(came)
            if isinstance(step, Pause):
                came, at = None, at + step.seconds
                assert at < timeout
            else:
                assert isinstance(step, Send)
                assert 0 < step.seconds <= timeout - at
                came, seconds = replies[sent]
                at, sent = at + min(seconds, step.seconds), sent + 1
    assert sent <= retries + 1
    assert at <= timeout + 1e-9


async def test_it_speaks_to_the_proxy_itself(services: Services) -> None:
    services.store.put("spend", ("c2",), NOW, {"payments": 9, "mean_amount": 2.0})
    key = services.proxy.headers["X-Api-Key"]
    transport = services.proxy._transport
    async with AsyncProxyClient("http://proxy", api_key=key, transport=transport) as client:
        found = await client.predict("fraud", [INSTANCE, INSTANCE | {"customer_id": "x"}])
        assert found[0].score is not None
        assert found[1].error is not None
        assert found[1].error.code == "features_missing"
        with pytest.raises(FeaturesMissing):
            await client.predict("fraud", [INSTANCE | {"customer_id": "x"}])
        with pytest.raises(NotFound):
            await client.predict("nothing", [INSTANCE])


def test_it_needs_nothing_of_the_platform() -> None:
    """In a process of its own: httpx and what that brings, and the standard library."""
    script = (
        "import sys, httpx; httpx.Client; known = set(sys.modules)\n"
        "import serving.client\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - known}\n"
        "print(sorted(new - sys.stdlib_module_names))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['serving']"
