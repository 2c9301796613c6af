"""A version on trial is judged beside the stable one, and not by three requests."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.deploying.figures import Figures, latency_class
from mlops.deploying.verdict import judge, least_share
from mlops.strategy import Bounds

BOUNDS = Bounds(min_answers=100)
LEVELS = ((0.5, 0.5),)
"""The reference's median, with half of its scores below."""


def figures(
    answers: int = 1000,
    failed: int = 0,
    ms: float = 10,
    scores: tuple[int, ...] = (500, 0, 500),
) -> Figures:
    failures: Mapping[str, int] = {"inference_unavailable": failed} if failed else {}
    latency = {latency_class(ms / 1000): answers} if answers else {}
    return Figures(answers, failures, latency, scores, LEVELS)


def test_a_version_like_the_stable_one_is_within_its_bounds() -> None:
    found = judge(figures(), figures(), BOUNDS)
    assert (found.out, found.waits, found.says) == ((), "", "within its bounds")


@pytest.mark.parametrize(
    ("trial", "says"),
    [
        (figures(failed=60), r"6\.0% of 1000 answers failed \(inference_unavailable 60\)"),
        (figures(ms=40), "95 % are answered within 4"),
        (figures(scores=(900, 0, 100)), r"its scores differ from its reference by 0\.40 "),
    ],
)
def test_what_leaves_its_bounds_is_told_with_its_figures(trial: Figures, says: str) -> None:
    found = judge(trial, figures(), BOUNDS)
    assert len(found.out) == 1
    assert re.search(says, found.says), found.says


def test_failures_that_the_stable_version_has_as_well_are_not_its_own() -> None:
    assert judge(figures(failed=60), figures(failed=60), BOUNDS).out == ()


def test_scores_that_shift_for_both_are_the_traffics_doing() -> None:
    shifted = figures(scores=(900, 0, 100))
    assert judge(shifted, shifted, BOUNDS).out == ()


def test_three_failures_of_three_allow_no_verdict() -> None:
    found = judge(figures(answers=3, failed=3), figures(), BOUNDS)
    assert found.out == ()
    assert found.waits == "waits for 100 answers, has 3"


def test_failures_alone_are_judged_before_there_are_answers_enough() -> None:
    found = judge(figures(answers=40, failed=40), figures(), BOUNDS)
    assert "100.0% of 40 answers failed" in found.says


def test_few_slow_answers_wait() -> None:
    assert judge(figures(answers=99, ms=900), figures(), BOUNDS).out == ()


def test_a_latency_beyond_which_nothing_is_allowed_needs_no_comparison() -> None:
    bounds = Bounds(min_answers=100, latency_ms=20)
    assert "20 ms are allowed" in judge(figures(ms=40), Figures(), bounds).says
    assert judge(figures(ms=40), Figures(), BOUNDS).out == ()


@given(trial=st.floats(1, 1000), stable=st.floats(1, 1000))
def test_within_both_its_own_time_and_its_ratio_and_out_where_it_leaves_either(
    trial: float, stable: float
) -> None:
    bounds = Bounds(min_answers=100, latency_ms=50)
    ours, theirs = figures(ms=trial), figures(ms=stable)
    assert ours.p95_ms is not None
    assert theirs.p95_ms is not None
    within = ours.p95_ms <= 50 and ours.p95_ms <= 1.5 * theirs.p95_ms + 5
    assert (judge(ours, theirs, bounds).out == ()) is within


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_least_share_is_below_the_share_that_was_seen(counts: tuple[int, int]) -> None:
    part, whole = counts
    assert 0 <= least_share(part, whole) <= part / whole + 1e-12
