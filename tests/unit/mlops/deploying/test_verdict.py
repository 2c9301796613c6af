"""A version on trial is judged beside the stable one, and not by three requests."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.deploying.figures import Figures, ScoreClasses, latency_class
from mlops.deploying.verdict import chance_shift, judge, least_level, least_share
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


EDGES = tuple(edge for tenth in range(11) for edge in (tenth / 10 - 1e-6, tenth / 10 + 1e-6))
UNIFORM = ScoreClasses(EDGES, tuple((tenth / 10, tenth / 10) for tenth in range(11)))


def served(
    answers: int, rng: random.Random, *, shifted: float = 0.0, slower: float = 1.0
) -> Figures:
    """What so many answers look like whose scores are uniform and whose times are lognormal."""
    drawn = ((1 - shifted) * rng.random() for _ in range(answers))
    scores = Counter(UNIFORM.of(score) for score in drawn)
    times = (slower * 0.01 * rng.lognormvariate(0, 0.5) for _ in range(answers))
    return Figures(
        answers,
        latency=Counter(latency_class(seconds) for seconds in times),
        scores=tuple(scores[place] for place in range(len(EDGES) + 1)),
        levels=UNIFORM.levels,
    )


@pytest.mark.parametrize("answers", [20, 60, 500])
def test_chance_takes_hardly_a_good_version_back(answers: int) -> None:
    rng = random.Random(answers)
    bounds = Bounds(min_answers=20, latency_ratio=1, latency_slack_ms=0, score_shift=0.001)
    stable = served(20_000, rng)
    told = [judge(served(answers, rng), stable, bounds).says for _ in range(200)]
    assert sum("scores" in says for says in told) <= 4
    assert sum("answered within" in says for says in told) <= 4


@pytest.mark.parametrize("changed", [{"shifted": 0.5}, {"slower": 3.0}])
def test_what_is_no_chance_is_seen_in_sixty_answers(changed: dict[str, float]) -> None:
    rng = random.Random(60)
    for _ in range(50):
        trial, stable = served(60, rng, **changed), served(600, rng)
        assert len(judge(trial, stable, Bounds(min_answers=60)).out) == 1


def test_the_more_answers_the_less_is_left_to_chance() -> None:
    levels = [least_level(0.95, count) for count in (1, 60, 500, 100_000)]
    assert levels == sorted(levels)
    assert 0 <= levels[0] < 0.95
    assert 0.948 < levels[-1] < 0.95
    assert chance_shift(500) == pytest.approx(1.628 / 500**0.5, abs=1e-4)
    assert chance_shift(500, 500) == pytest.approx(2**0.5 * chance_shift(500))
