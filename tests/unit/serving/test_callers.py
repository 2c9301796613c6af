"""What callers may, how often, and what is written down of a refusal."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.answers import log_error
from serving.errors import NotAllowed, RateLimited, Unauthenticated, headers_of, status_of
from serving.proxy.callers import Caller, Rate, RateLimits


@dataclass
class Stopwatch:
    """A monotonic clock that a test moves."""

    at: float = 0.0

    def __call__(self) -> float:
        return self.at


def caller(*permissions: str, rate: Rate | None = None) -> Caller:
    return Caller("checkout", frozenset(permissions), rate)


def test_what_is_granted_by_name_or_by_star_is_allowed() -> None:
    caller("predict:fraud").require_model("fraud")
    caller("predict:*").require_model("fraud")
    caller("read:fraud_v1").require_service("fraud_v1")
    caller("push:*").require_push("clicks")


def test_nothing_else_is_allowed() -> None:
    one = caller("predict:fraud", "read:fraud_v1", "push:clicks")
    for require, what in (
        (one.require_model, "fraud_v1"),
        (one.require_model, "*x"),
        (one.require_service, "fraud"),
        (one.require_push, "fraud"),
    ):
        with pytest.raises(NotAllowed, match=f"checkout.*{what[1:]}"):
            require(what)


def test_personal_features_are_named_to_who_may_not_see_them() -> None:
    caller().require_pii([])
    caller("pii").require_pii(["age"])
    with pytest.raises(NotAllowed, match="age, name"):
        caller("read:*").require_pii(["name", "age"])


def test_a_burst_is_admitted_and_the_next_request_told_when_to_come() -> None:
    clock = Stopwatch()
    limits, one = RateLimits(now=clock), caller(rate=Rate(0.25, 3))
    for _ in range(3):
        limits.take(one)
    with pytest.raises(RateLimited) as refused:
        limits.take(one)
    assert (status_of(refused.value), headers_of(refused.value)) == (429, {"Retry-After": "4"})
    clock.at = 3.9
    with pytest.raises(RateLimited):
        limits.take(one)
    clock.at = 4.0
    limits.take(one)


def test_a_caller_without_a_rate_has_the_default_and_callers_do_not_share() -> None:
    limits = RateLimits(Rate(1, 1), now=Stopwatch())
    limits.take(caller())
    with pytest.raises(RateLimited):
        limits.take(caller())
    limits.take(Caller("other", frozenset()))
    for _ in range(9):
        RateLimits(now=Stopwatch()).take(caller())


@given(
    st.lists(st.integers(0, 12), max_size=40),
    st.sampled_from([0.5, 1.0, 4.0]),
    st.integers(1, 5),
)
def test_it_admits_what_a_bucket_of_tokens_would(
    pauses: list[int], per_second: float, burst: int
) -> None:
    clock, tokens = Stopwatch(), float(burst)
    limits, one = RateLimits(now=clock), caller(rate=Rate(per_second, burst))
    for pause in pauses:
        clock.at += pause / 4
        tokens = min(burst, tokens + pause / 4 * per_second)
        admitted = True
        try:
            limits.take(one)
        except RateLimited:
            admitted = False
        assert admitted == (tokens >= 1)
        tokens -= admitted


def test_each_refusal_is_one_audit_line(caplog: pytest.LogCaptureFixture) -> None:
    refusal = NotAllowed("no", caller="checkout", asked="predict:fraud", remedy="…")
    log_error(refusal)
    log_error(Unauthenticated("who?"))
    log_error(RateLimited("slow", caller="checkout", retry_after=1, remedy="…"))
    lines = [record for record in caplog.records if record.name == "serving.audit"]
    assert len(lines) == len(caplog.records) == 3
    assert [(vars(x)["code"], vars(x)["status"], vars(x).get("caller")) for x in lines] == [
        ("not_allowed", 403, "checkout"),
        ("unauthenticated", 401, None),
        ("rate_limited", 429, "checkout"),
    ]
    assert vars(lines[0])["asked"] == "predict:fraud"


@pytest.mark.parametrize("sent", ["4111111111111111", "jane@example.com", "x" * 65, "a b"])
def test_what_is_no_name_does_not_get_into_the_audit_log(
    sent: str, caplog: pytest.LogCaptureFixture
) -> None:
    log_error(NotAllowed("no", caller="checkout", asked=f"predict:{sent}"))
    assert [vars(record)["asked"] for record in caplog.records] == ["predict:(not a name)"]
    assert logging.getLogger("serving.audit").name == caplog.records[0].name
