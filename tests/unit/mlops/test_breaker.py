"""Who does not answer is left alone for a while."""

from __future__ import annotations

import pytest

from mlops.breaker import Breaker
from mlops.errors import NotFound, Unavailable


class Time:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def fail(breaker: Breaker) -> str:
    with pytest.raises(Unavailable) as failed, breaker.guard():
        raise Unavailable("no answer")
    return str(failed.value)


def test_it_opens_after_failures_in_a_row_and_says_for_how_long() -> None:
    breaker = Breaker("Redis at h:1", failures=2, pause=3.0, now=Time())
    assert fail(breaker) == "no answer"
    assert fail(breaker) == "no answer"
    assert "Redis at h:1 did not answer 2 times" in fail(breaker)
    assert "in 3.0 s" in fail(breaker)


def test_a_success_in_between_starts_the_count_anew() -> None:
    breaker = Breaker("r", failures=2, now=Time())
    fail(breaker)
    with breaker.guard():
        pass
    fail(breaker)
    assert fail(breaker) == "no answer"


def test_after_the_pause_one_attempt_is_made_and_a_success_closes_it() -> None:
    time = Time()
    breaker = Breaker("r", failures=1, pause=1.0, now=time)
    fail(breaker)
    time.seconds = 1.0
    with breaker.guard():
        assert "did not answer" in fail(breaker), "a second one beside the attempt"
    with breaker.guard():
        pass


def test_what_the_caller_did_wrong_does_not_count() -> None:
    breaker = Breaker("r", failures=1, now=Time())
    with pytest.raises(NotFound), breaker.guard():
        raise NotFound("no such thing")
    with breaker.guard():
        pass
