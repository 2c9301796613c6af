"""What proxies counted, put together: by revision, with shares, times and score shifts."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.deploying.figures import (
    Figures,
    Observation,
    Tally,
    figures_of,
    forget_observations,
    latency_class,
    observation_key,
    problem_of,
    read_observations,
    score_classes,
)
from mlops.manifest import Distribution
from mlops.objects import MemoryDocuments

LEVELS = (0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1)


def reference(values: Any) -> Distribution:
    quantiles = tuple(float(value) for value in np.quantile(values, LEVELS))
    return Distribution(mean=0, std=1, missing=0, quantiles=quantiles)


def scored(values: Any, classes: Any) -> Figures:
    counts = [0] * (len(classes.edges) + 1)
    for value in values:
        counts[classes.of(value)] += 1
    return Figures(answers=len(values), scores=tuple(counts), levels=classes.levels)


def distance(one: Any, other: Any) -> float:
    """Of Kolmogorov and Smirnov, over all of both samples."""
    places = np.concatenate([one, other])
    shares = [np.searchsorted(np.sort(x), places, side="right") / len(x) for x in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


def tally(version: int, revision: int, **changes: Any) -> Tally:
    values = {"use": "canary", "answers": 10, "failures": {"x": 1}, "latency": {3: 10}}
    return Tally(**{"version": version, "revision": revision, **values, **changes})


def observation(process: str, *tallies: Tally, **changes: Any) -> Observation:
    values = {"endpoint": "fraud", "process": process, "revision": 5, "tallies": tallies}
    return Observation(**values | changes)


def test_counts_of_all_processes_are_added_from_a_revision_on() -> None:
    seen = [
        observation("a", tally(2, 4), tally(2, 5), tally(1, 5, use="stable")),
        observation("b", tally(2, 6)),
    ]
    found = figures_of(seen, 2, since=5)
    assert (found.answers, found.failed, found.failed_share) == (20, 2, 0.1)
    assert figures_of(seen, 1, since=5, use="stable").answers == 10
    assert figures_of(seen, 1, since=5, use="canary").answers == 0


@given(st.floats(0.0001, 9), st.integers(2, 300))
def test_the_95th_percentile_is_right_to_a_tenth(scale: float, count: int) -> None:
    chance = random.Random(count)
    times = [scale * chance.random() + 1e-4 for _ in range(count)]
    latency: dict[int, int] = {}
    for seconds in times:
        place = latency_class(seconds)
        latency[place] = latency.get(place, 0) + 1
    exact = 1000 * float(np.quantile(times, 0.95, method="inverted_cdf"))
    found = Figures(latency=latency).p95_ms
    assert found is not None
    assert exact * 0.999 <= found <= exact * 1.101


@given(st.integers(0, 2**32), st.sampled_from([2, 3, 5, 20, 10**6]), st.floats(0.2, 5))
def test_scores_like_those_in_training_shift_little_however_few_values_they_take(
    seed: int, values: int, shape: float
) -> None:
    chance = np.random.default_rng(seed)
    trained, served = (np.ceil(chance.beta(shape, 3, 5_000) * values) / values for _ in range(2))
    found = scored(served.astype(np.float32).astype(float), score_classes(reference(trained)))
    assert found.score_shift is not None
    assert found.score_shift < 0.06


@pytest.mark.parametrize("constant", [0.0, 0.02, 0.5, 1.0])
def test_a_model_that_always_says_the_same_shifts_far(constant: float) -> None:
    chance = np.random.default_rng(0)
    classes = score_classes(reference(chance.beta(0.5, 8, 20_000)))
    found = scored([constant] * 600, classes).score_shift
    assert found is not None
    assert found > 0.2


@given(st.integers(0, 2**32), st.floats(0.0, 0.5))
def test_the_shift_is_at_most_the_distance_of_the_distributions(seed: int, by: float) -> None:
    chance = np.random.default_rng(seed)
    trained, served = chance.random(2_000), chance.random(1_000) * (1 - by)
    found = scored(served, score_classes(reference(trained))).score_shift
    assert found is not None
    assert found <= distance(trained, served) + 0.002
    assert found >= 0.9 * by - 0.1


def test_one_score_for_all_is_a_reference_too() -> None:
    classes = score_classes(reference([0.5] * 10))
    assert scored([0.5] * 9, classes).score_shift == 0
    assert scored([0.1, 0.9], classes).score_shift == 0.5


def test_without_scores_or_reference_there_is_no_shift() -> None:
    assert Figures().score_shift is None
    assert Figures().p95_ms is None


def test_problems_count_from_those_who_follow_the_revision() -> None:
    seen = [
        observation("a", revision=4, problems={2: "old"}),
        observation("b", revision=6, problems={2: "broken", 3: "other"}),
    ]
    assert problem_of(seen, 2, since=5) == "broken"
    assert problem_of(seen, 9, since=5) == ""


def test_what_was_written_is_read_and_forgotten() -> None:
    documents = MemoryDocuments()
    one = observation("a", tally(2, 5, scores=(1, 0, 2), levels=((0.5, 0.5),)), problems={3: "x"})
    documents.put(observation_key("fraud", "a"), one.model_dump_json().encode())
    assert read_observations(documents, "fraud") == [one]
    forget_observations(documents, "fraud", [one])
    assert read_observations(documents, "fraud") == []
