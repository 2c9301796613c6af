"""A rollout on its way: document, clock and figures in, the next document out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from mlops.deploying.figures import Figures, Observation, figures_of, problem_of
from mlops.deploying.verdict import Verdict, judge
from mlops.deployment import Deployment, Rollout
from mlops.rollout import Change, on_stage, revised, take_back, take_over

Action = Literal["step", "take over", "take back"]


@dataclass(frozen=True)
class Seen:
    """What was seen of the stage that a rollout is in."""

    trial: Figures = field(default_factory=Figures)
    stable: Figures = field(default_factory=Figures)
    problem: str = ""
    """Why no proxy could serve the version on trial."""


@dataclass(frozen=True)
class Step:
    """What becomes of a rollout; `deployment` is the next revision."""

    action: Action
    deployment: Deployment
    figures: Mapping[str, Any] = field(default_factory=dict)
    """What was seen of the version on trial and of the stable one."""


def look(deployment: Deployment, observations: Sequence[Observation]) -> Seen:
    """What counts for the rollout's stage."""
    rollout, stable = deployment.rollout, deployment.stable
    if rollout is None or stable is None:
        return Seen()
    version, since = rollout.version.version, rollout.revision
    return Seen(
        figures_of(observations, version, since=since),
        figures_of(observations, stable.version, since=since, use="stable"),
        problem_of(observations, version, since=since),
    )


def assess(rollout: Rollout, seen: Seen, *, now: datetime) -> Verdict:
    """Also of a version that nobody could load, which has no figures."""
    bounds = rollout.strategy.bounds
    late = now >= rollout.since + timedelta(seconds=bounds.load_seconds)
    if seen.problem and not seen.trial.answers:
        told = f"no proxy could serve it: {seen.problem}"
        return Verdict((told,)) if late else Verdict(waits=told)
    return judge(seen.trial, seen.stable, bounds)


def step(deployment: Deployment, seen: Seen, *, now: datetime, by: str) -> Step | None:
    """What is due of the rollout; None while nothing is.

    A version out of its bounds is taken back, paused and frozen or not; forward goes only what
    is neither, when the stage has lasted and nothing is left to wait for.
    """
    rollout = deployment.rollout
    if rollout is None:
        return None
    verdict = assess(rollout, seen, now=now)
    label = f"version {rollout.version.version}"
    if verdict.out:
        return forced("take back", deployment, f"{label} is taken back: {verdict.says}", now, by)
    lasted = now >= rollout.since + timedelta(seconds=rollout.at.seconds)
    if rollout.paused or deployment.frozen or verdict.waits or not lasted:
        return None
    last = rollout.stage + 1 == len(rollout.strategy.stages)
    kept = f"{label} kept its bounds over {seen.trial.answers} answers"
    return forced("take over" if last else "step", deployment, kept, now, by)


def forced(action: Action, deployment: Deployment, reason: str, now: datetime, by: str) -> Step:
    """What becomes of a rollout by a verdict that was reached elsewhere."""
    rollout = deployment.rollout
    assert rollout is not None
    change = Change(deployment.endpoint, deployment.model, now, by, reason)
    if action == "take back":
        after = take_back(deployment, change)
    elif action == "take over":
        after = take_over(deployment, rollout.version)
    else:
        anew = {"stage": rollout.stage + 1, "since": now, "revision": deployment.revision + 1}
        after = on_stage(deployment, rollout.model_copy(update=anew))
    next_ = revised(deployment, after, change)
    assert next_ is not None
    return Step(action, next_)
