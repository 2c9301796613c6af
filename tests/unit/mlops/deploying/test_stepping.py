"""A rollout steps when its stage has lasted and its figures hold, and is taken back when not."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.deploying import moves
from mlops.deploying.figures import Figures, Observation, Tally, latency_class
from mlops.deploying.moves import apply_move
from mlops.deploying.stepping import Seen, look, step
from mlops.deployment import Deployment
from mlops.errors import Refused
from mlops.rollout import Approval, Change, roll_out
from mlops.strategy import Bounds, Strategy
from tests.approvals import NOW
from tests.deploying import CANARY, CHANGE, GRADUAL, endpoint, numbers, version

PLATFORM = "arn:aws:iam::000000000000:role/mlops-local-model-deployer"
WELL = Seen(Figures(answers=1000), Figures(answers=1000))
ILL = Seen(Figures(answers=1000, failures={"computation_failed": 500}), Figures(answers=1000))
NOTHING = Seen()


def stepped(deployment: Deployment, seen: Seen, *, after: float) -> Deployment | None:
    taken = step(deployment, seen, now=NOW + timedelta(seconds=after), by=PLATFORM)
    return taken.deployment if taken else None


def test_a_rollout_goes_through_its_stages_and_takes_over() -> None:
    deployment, now = endpoint(1, trial=2, by=GRADUAL), NOW
    seen: list[tuple[Any, Any]] = []
    while (
        taken := step(deployment, WELL, now=(now := now + timedelta(seconds=600)), by=PLATFORM)
    ) is not None:
        deployment = taken.deployment
        seen.append((taken.action, deployment.canary and deployment.canary.weight))
    assert seen == [("step", 0.1), ("step", 0.5), ("take over", None)]
    assert (numbers(deployment), deployment.rollout) == ([2, 1], None)
    assert deployment.changed_by == PLATFORM
    assert "version 2 kept its bounds over 1000 answers" in deployment.reason


def test_a_stage_lasts_its_time() -> None:
    deployment = endpoint(1, trial=2)
    assert stepped(deployment, WELL, after=599) is None
    assert stepped(deployment, WELL, after=600) is not None


def test_without_answers_enough_a_stage_goes_on() -> None:
    few = Seen(Figures(answers=499), Figures(answers=10_000))
    assert stepped(endpoint(1, trial=2), few, after=10_000) is None


def test_a_version_out_of_its_bounds_is_taken_back_at_once_and_says_why() -> None:
    after = stepped(endpoint(1, trial=2), ILL, after=1)
    assert after is not None
    assert (numbers(after), after.canary, after.rollout) == ([1], None, None)
    (taken,) = after.taken_back
    assert (taken.version.version, taken.by) == (2, PLATFORM)
    assert "50.0% of 1000 answers failed (computation_failed 500)" in taken.reason
    assert after.reason == taken.reason


@pytest.mark.parametrize("rule", [moves.pause, moves.freeze])
def test_what_is_held_does_not_go_on_and_is_still_taken_back(rule: moves.Rule) -> None:
    held = apply_move(endpoint(1, trial=2), rule, CHANGE)
    assert held is not None
    assert stepped(held, WELL, after=10_000) is None
    back = stepped(held, ILL, after=1)
    assert back is not None
    assert back.canary is None


def test_a_version_that_no_proxy_could_load_is_taken_back_after_a_while() -> None:
    seen = Seen(stable=Figures(answers=100), problem="model.onnx has another sha256")
    deployment = endpoint(1, trial=2)
    assert stepped(deployment, seen, after=119) is None
    after = stepped(deployment, seen, after=120)
    assert after is not None
    assert "no proxy could serve it: model.onnx has another sha256" in after.reason
    assert [taken.version.version for taken in after.taken_back] == [2]


def test_figures_count_from_the_stage_on() -> None:
    deployment = endpoint(1, trial=2)

    def tally(number: int, revision: int, use: str) -> Tally:
        return Tally(revision=revision, version=number, use=use, answers=10)

    tallies = (tally(2, 1, "shadow"), tally(2, 2, "canary"), tally(1, 1, "stable"))
    seen = look(
        deployment,
        [
            Observation(
                endpoint="fraud",
                process="a",
                revision=2,
                tallies=(*tallies, tally(1, 2, "stable")),
                problems={2: "not loaded"},
            )
        ],
    )
    assert (seen.trial.answers, seen.stable.answers, seen.problem) == (10, 10, "not loaded")


@pytest.mark.parametrize(("budget", "action"), [(50, "take back"), (None, "step")])
def test_a_slow_version_that_slows_the_stable_one_too_is_found_by_its_budget_alone(
    budget: float | None, action: str
) -> None:
    """Both share the cores: of those who wait for the stable version, most wait for the other."""
    strategy = CANARY.model_copy(update={"bounds": Bounds(latency_ms=budget)})
    deployment = endpoint(1, trial=2, by=strategy)
    revision = deployment.revision

    def tally(number: int, use: str, milliseconds: dict[int, int]) -> Tally:
        counts = {latency_class(ms / 1000): count for ms, count in milliseconds.items()}
        answers = sum(counts.values())
        return Tally(revision=revision, version=number, use=use, answers=answers, latency=counts)

    seen = [
        Observation(
            endpoint="fraud",
            process=process,
            revision=revision,
            tallies=(
                tally(1, "stable", {4: 900, 90: 500, 105: 100}),
                tally(2, "canary", {95: 480, 120: 120}),
            ),
        )
        for process in ("a", "b")
    ]
    taken = step(deployment, look(deployment, seen), now=NOW + timedelta(hours=1), by=PLATFORM)
    assert taken is not None
    assert taken.action == action
    assert ("50 ms are allowed" in taken.deployment.reason) is (action == "take back")


def test_without_a_rollout_nothing_is_due() -> None:
    assert look(endpoint(2, 1), []) == Seen()
    assert stepped(endpoint(2, 1), ILL, after=10_000) is None


# -- whatever happens, in whatever order and however often

STRATEGIES = (
    Strategy(),
    CANARY,
    GRADUAL,
    Strategy(shadow_seconds=60),
    Strategy(steps=(0.5,), bake_seconds=0, bounds=Bounds(min_answers=0)),
)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("approve"), st.integers(1, 4), st.sampled_from(range(len(STRATEGIES)))),
        st.tuples(st.just("reject"), st.integers(1, 4), st.just(0)),
        st.tuples(st.just("look"), st.sampled_from([0, 1, 2]), st.integers(0, 2000)),
        st.tuples(st.just("by hand"), st.integers(0, 6), st.integers(1, 4)),
        st.tuples(st.just("told again"), st.just(0), st.just(0)),
    ),
    max_size=25,
)


class World:
    """The record, the document and the clock, in the hands of everybody."""

    def __init__(self) -> None:
        self.stands: dict[int, Approval] = {}
        self.entries = 0
        self.now: datetime = NOW
        self.deployment: Deployment | None = None
        self.seen: list[Deployment] = []

    def happen(self, kind: str, one: int, other: int) -> None:
        if kind == "approve" and one not in self.stands:
            self.entries += 1
            approved = version(one).model_copy(update={"approval": self.entries})
            self.stands[one] = Approval(approved, STRATEGIES[other])
        elif kind == "reject":
            self.entries += 1
            self.stands.pop(one, None)
        elif kind == "look":
            self._look((WELL, ILL, NOTHING)[one], other)
        elif kind == "by hand":
            self._by_hand(one, other)
        if kind in ("approve", "reject", "told again"):
            self._put(roll_out(self.deployment, list(self.stands.values()), self._change()))

    def _look(self, seen: Seen, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        if self.deployment is not None:
            taken = step(self.deployment, seen, now=self.now, by=PLATFORM)
            self._put(taken.deployment if taken else None)

    def _by_hand(self, which: int, number: int) -> None:
        rules = (
            *(moves.promote(None), moves.promote(number), moves.roll_back(None)),
            *(moves.pause, moves.resume, moves.freeze, moves.unfreeze),
        )
        if self.deployment is None:
            return
        try:
            self._put(apply_move(self.deployment, rules[which], self._change()))
        except Refused:
            return

    def _change(self) -> Change:
        return Change("fraud", "fraud", self.now, PLATFORM, "because")

    def _put(self, after: Deployment | None) -> None:
        if after is not None:
            # What is written is read again: it must be a document that readers accept.
            self.deployment = Deployment.model_validate_json(after.model_dump_json())
            self.seen.append(self.deployment)


@given(EVENTS)
def test_whatever_happens_the_document_is_well_defined(
    events: list[tuple[str, int, int]],
) -> None:
    world = World()
    for event in events:
        world.happen(*event)
    # What waited while the endpoint was frozen begins with the next look.
    world.happen("told again", 0, 0)
    for before, after in pairwise(world.seen):
        assert after.revision == before.revision + 1
    if (found := world.deployment) is None:
        return
    standing = set(world.stands)
    assert {used.version for _, used in found.uses} <= standing
    assert {used.version for used in found.history} <= standing
    back = {taken.version.version for taken in found.taken_back}
    assert not back & set(numbers(found))
    assert len(set(numbers(found))) == len(numbers(found))
    if found.rollout is not None:
        trial = found.rollout.version.version
        assert trial not in back | set(numbers(found))
        canary, shadow = (used and used.version for used in (_canary(found), found.shadow))
        assert trial in (canary, shadow)
    if found.stable is None:
        assert found.frozen or standing <= back
    # All is told again, and nothing changes.
    again = roll_out(found, list(world.stands.values()), CHANGE)
    assert found.frozen or again is None


def _canary(deployment: Deployment) -> Any:
    return deployment.canary and deployment.canary.version


@given(EVENTS)
def test_left_alone_and_well_every_rollout_ends(events: list[tuple[str, int, int]]) -> None:
    world = World()
    for event in events:
        world.happen(*event)
    for which in (6, 4):
        world.happen("by hand", which, 1)
    world.happen("told again", 0, 0)
    for _ in range(4):
        world.happen("look", 0, 2000)
    assert world.deployment is None or world.deployment.rollout is None
