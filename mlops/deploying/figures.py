"""What proxies saw of the versions of an endpoint, counted by the document's revision.

Each proxy process writes one small document per endpoint that has a version on trial, and keeps
adding to it. As counts stand by revision, those of a stage are told from those before it without
a clock, and a process that was restarted only adds a document of its own.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from pydantic import BaseModel, ConfigDict

from mlops.manifest import Distribution
from mlops.objects import Documents

PREFIX = "observed/"
LEVELS = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
"""Where a manifest's distributions have their quantiles."""
Level = tuple[float, float]
"""Of the reference, at most the first part lies below a quantile, at least the second up to it."""
_FASTEST_MS, _GROWTH = 0.05, 1.1
"""Latencies are counted in classes of 10 %, from 50 µs on."""


class Tally(BaseModel):
    """What one process saw of one version in one use, under one revision."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    revision: int
    version: int
    use: str
    """As in `Deployment.uses`."""
    answers: int
    """Instances, failed ones too."""
    failures: Mapping[str, int] = {}
    """By the code of what failed, fallbacks too."""
    latency: Mapping[int, int] = {}
    """Requests by the class of their time."""
    scores: tuple[int, ...] = ()
    """By the classes of the version's own reference."""
    levels: tuple[Level, ...] = ()
    """Of the reference's quantiles between the classes; empty where the manifest has none."""


class Observation(BaseModel):
    """One process's document of one endpoint."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    endpoint: str
    process: str
    revision: int
    """Of the deployment that it follows now."""
    problems: Mapping[int, str] = {}
    """Why a version that is deployed is not served."""
    tallies: tuple[Tally, ...] = ()


@dataclass(frozen=True)
class ScoreClasses:
    """The classes of scores between the distinct quantiles of a reference.

    Around each quantile lie two edges: a score that many rows share is one of them, and a score
    that is served may differ in its last digits from the same score in training.
    """

    edges: tuple[float, ...]
    levels: tuple[Level, ...]

    def of(self, score: float) -> int:
        return bisect_left(self.edges, score)


def score_classes(reference: Distribution) -> ScoreClasses:
    edges: list[float] = []
    levels: list[Level] = []
    for value, level in zip(reference.quantiles, LEVELS, strict=True):
        near = 1e-6 * max(1.0, abs(value))
        if edges and value - near <= edges[-1]:
            edges[-1], levels[-1] = value + near, (levels[-1][0], level)
        else:
            edges += [value - near, value + near]
            levels.append((level, level))
    return ScoreClasses(tuple(edges), tuple(levels))


def latency_class(seconds: float) -> int:
    ms = seconds * 1000
    return 0 if ms <= _FASTEST_MS else math.ceil(math.log(ms / _FASTEST_MS, _GROWTH))


@dataclass(frozen=True)
class Figures:
    """What all processes saw of one version."""

    answers: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    latency: Mapping[int, int] = field(default_factory=dict)
    scores: tuple[int, ...] = ()
    levels: tuple[Level, ...] = ()

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    @property
    def failed_share(self) -> float:
        return self.failed / self.answers if self.answers else 0.0

    @property
    def p95_ms(self) -> float | None:
        """The time within which 95 % of requests were answered, to about 10 %."""
        return self.quantile_ms(0.95)

    def quantile_ms(self, level: float) -> float | None:
        """The time within which this share of requests was answered, to about 10 %."""
        left = max(1, math.ceil(level * self.requests))
        for place in sorted(self.latency):
            left -= self.latency[place]
            if left <= 0:
                return float(_FASTEST_MS * _GROWTH**place)
        return None

    @property
    def requests(self) -> int:
        """Whose time was counted; each holds an instance or more."""
        return sum(self.latency.values())

    @property
    def score_shift(self) -> float | None:
        """Distance of Kolmogorov and Smirnov to the reference, at its quantiles; from 0 to 1.

        None without scores or reference. Scores that many rows share count as the distance that
        is certain: the same distribution has none, however few values it takes.
        """
        total = sum(self.scores)
        if not total or len(self.scores) != 2 * len(self.levels) + 1:
            return None
        seen = [count / total for count in accumulate(self.scores)]
        sides = zip(seen[0::2], seen[1::2], self.levels, strict=False)
        return max(0.0, *(max(below - low, high - up_to) for below, up_to, (low, high) in sides))

    def describe(self) -> dict[str, Any]:
        """For people and scripts."""
        return {
            "answers": self.answers,
            "failures": dict(self.failures),
            "failed_share": self.failed_share,
            "p95_ms": self.p95_ms,
            "score_shift": self.score_shift,
        }


def figures_of(
    observations: Iterable[Observation], version: int, *, since: int, use: str | None = None
) -> Figures:
    """Of one version, from a revision on, in one use or all; summed over the processes."""
    tallies = [
        tally
        for observation in observations
        for tally in observation.tallies
        if tally.version == version and tally.revision >= since and use in (None, tally.use)
    ]
    failures: Counter[str] = Counter()
    latency: Counter[int] = Counter()
    for tally in tallies:
        failures.update(tally.failures)
        latency.update(tally.latency)
    levels = next((tally.levels for tally in tallies if tally.levels), ())
    scored = [tally.scores for tally in tallies if tally.levels == levels and tally.scores]
    scores = tuple(map(sum, zip(*scored, strict=True)))
    return Figures(sum(t.answers for t in tallies), failures, latency, scores, levels)


def problem_of(observations: Iterable[Observation], version: int, *, since: int) -> str:
    """Why a process could not serve a version, where one says so since a revision; else ''."""
    current = (one for one in observations if one.revision >= since)
    return next((one.problems[version] for one in current if version in one.problems), "")


def observation_key(endpoint: str, process: str) -> str:
    return f"{PREFIX}{endpoint}/{process}.json"


def read_observations(documents: Documents, endpoint: str) -> list[Observation]:
    """What every process wrote down of an endpoint."""
    keys = list(documents.keys(f"{PREFIX}{endpoint}/"))
    return [Observation.model_validate_json(documents.get(key).body) for key in keys]


def forget_observations(documents: Documents, endpoint: str, seen: Sequence[Observation]) -> None:
    """Remove them; processes that still run write theirs again when there is a trial."""
    for observation in seen:
        documents.delete(observation_key(endpoint, observation.process))
