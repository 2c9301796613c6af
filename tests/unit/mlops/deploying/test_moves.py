"""What people do by hand: each a revision of its own, and refused where a rule forbids it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from mlops.answering import Answering
from mlops.deploying import moves
from mlops.deploying.moves import Rule, apply_move
from mlops.deployment import Arm, Canary, Deployment, Experiment
from mlops.errors import NotFound, Refused
from mlops.rollout import Change
from tests.approvals import NOW
from tests.deploying import CANARY, CHANGE, GRADUAL, OPERATOR, endpoint, numbers, version


def moved(deployment: Deployment, rule: Rule, change: Change = CHANGE) -> Deployment:
    after = apply_move(deployment, rule, change)
    assert after is not None
    return after


def test_rolling_back_puts_the_version_before_back() -> None:
    after = moved(endpoint(3, 2, 1), moves.roll_back(None))
    assert numbers(after) == [2, 1]
    assert [taken.version.version for taken in after.taken_back] == [3]
    assert (after.revision, after.changed_by, after.reason) == (2, OPERATOR, "because")


def test_rolling_back_to_a_version_skips_those_between() -> None:
    after = moved(endpoint(3, 2, 1), moves.roll_back(1))
    assert numbers(after) == [1]
    assert [taken.version.version for taken in after.taken_back] == [3, 2]


def test_rolling_back_during_a_rollout_ends_the_rollout() -> None:
    after = moved(endpoint(1, trial=2), moves.roll_back(None))
    assert (numbers(after), after.canary, after.rollout) == ([1], None, None)


def test_rolling_back_a_canary_that_was_set_by_hand_ends_the_canary() -> None:
    canaried = moved(endpoint(2, 1), moves.set_canary(1, 0.1, None))
    assert moved(canaried, moves.roll_back(None)).canary is None


def test_without_a_version_before_rolling_back_is_refused() -> None:
    with pytest.raises(Refused, match="in line are none"):
        apply_move(endpoint(1), moves.roll_back(None), CHANGE)
    with pytest.raises(Refused, match="version 7: in line are 1"):
        apply_move(endpoint(2, 1), moves.roll_back(7), CHANGE)


def test_what_was_taken_back_comes_back_by_promoting_it() -> None:
    back = moved(endpoint(2, 1), moves.roll_back(None))
    again = moved(back, moves.promote(2))
    assert (numbers(again), again.taken_back) == ([2, 1], ())


def test_promoting_ends_the_rollout_in_its_version() -> None:
    after = moved(endpoint(1, trial=2, by=GRADUAL), moves.promote(None))
    assert (numbers(after), after.rollout, after.shadow) == ([2, 1], None, None)


def test_promoting_what_nobody_approved_is_refused() -> None:
    with pytest.raises(Refused, match="mlops models approve fraud 9"):
        apply_move(endpoint(1), moves.promote(9), CHANGE)
    with pytest.raises(Refused, match="no version on trial"):
        apply_move(endpoint(1), moves.promote(None), CHANGE)


def test_a_paused_rollout_keeps_its_stage_until_it_is_resumed() -> None:
    paused = moved(endpoint(1, trial=2), moves.pause)
    assert paused.rollout is not None
    assert paused.rollout.paused is not None
    assert paused.canary == endpoint(1, trial=2).canary
    resumed = moved(paused, moves.resume)
    assert resumed.rollout == endpoint(1, trial=2).rollout


def test_resuming_after_traffic_was_set_by_hand_begins_the_stage_anew() -> None:
    paused = moved(endpoint(1, trial=2), moves.pause)
    by_hand = moved(paused, moves.set_canary(2, 0.9, None))
    later = Change("fraud", "fraud", NOW + timedelta(hours=1), OPERATOR, "go on")
    resumed = moved(by_hand, moves.resume, later)
    assert resumed.canary == Canary(version=version(2), weight=0.1)
    assert resumed.rollout is not None
    assert (resumed.rollout.since, resumed.rollout.revision) == (later.at, resumed.revision)


def test_without_a_rollout_there_is_nothing_to_pause() -> None:
    with pytest.raises(Refused, match="no rollout under way"):
        apply_move(endpoint(1), moves.pause, CHANGE)


CHANGES: list[Callable[[], Rule]] = [
    lambda: moves.promote(1),
    lambda: moves.roll_back(None),
    lambda: moves.pause,
    lambda: moves.resume,
    lambda: moves.set_canary(1, 0.1, None),
    lambda: moves.set_shadow(1, 1.0),
    lambda: moves.set_answering(None),
]


@pytest.mark.parametrize("make", CHANGES)
def test_a_frozen_endpoint_refuses_every_change(make: Callable[[], Rule]) -> None:
    frozen = moved(endpoint(2, 1, trial=3), moves.freeze)
    with pytest.raises(Refused, match="mlops deploy unfreeze fraud"):
        apply_move(frozen, make(), CHANGE)


def test_unfreezing_leaves_what_was() -> None:
    frozen = moved(endpoint(2, 1, trial=3), moves.freeze)
    thawed = moved(frozen, moves.unfreeze)
    assert thawed.rollout == endpoint(2, 1, trial=3).rollout
    assert thawed.frozen is None


@pytest.mark.parametrize("rule", [moves.set_canary(2, 0.1, None), moves.set_shadow(2, 1.0)])
def test_while_a_rollout_sets_the_traffic_nobody_else_does(rule: Rule) -> None:
    with pytest.raises(Refused, match="mlops deploy pause fraud"):
        apply_move(endpoint(1, trial=2), rule, CHANGE)


def test_a_canary_is_set_grown_and_ended_by_hand() -> None:
    one = moved(endpoint(2, 1), moves.set_canary(1, 0.1, "customer_id"))
    assert one.canary == Canary(version=version(1), weight=0.1, key="customer_id")
    more = moved(one, moves.set_canary(1, 0.5, "customer_id"))
    assert more.canary is not None
    assert more.canary.weight == 0.5
    assert moved(more, moves.set_canary(1, 0, None)).canary is None


def test_the_stable_version_is_no_canary_of_its_own() -> None:
    with pytest.raises(Refused, match="it answers already"):
        apply_move(endpoint(2, 1), moves.set_canary(2, 0.1, None), CHANGE)


def test_a_canary_does_not_disturb_an_experiment() -> None:
    arm = Arm(name="a", version=version(1), weight=0.5)
    running = endpoint(2, 1).model_copy(update={"experiment": Experiment(name="may", arms=(arm,))})
    with pytest.raises(Refused, match="experiment 'may'"):
        apply_move(running, moves.set_canary(1, 0.1, None), CHANGE)


def test_a_shadow_is_set_and_ended_by_hand() -> None:
    one = moved(endpoint(2, 1), moves.set_shadow(1, 0.5))
    assert (one.shadow, one.shadow_share) == (version(1), 0.5)
    none = moved(one, moves.set_shadow(None, 1.0))
    assert (none.shadow, none.shadow_share) == (None, 1.0)


def test_deadline_and_fallback_are_set_and_cleared() -> None:
    answering = Answering(timeout_ms=40, fallback_score=0.5)
    one = moved(endpoint(1), moves.set_answering(answering))
    assert one.answering == answering
    assert moved(one, moves.set_answering(None)).answering is None


@pytest.mark.parametrize(
    ("deployment", "rule"),
    [
        (endpoint(2, 1), moves.promote(2)),
        (endpoint(2, 1), moves.roll_back(2)),
        (endpoint(1, trial=2, by=CANARY), moves.resume),
        (endpoint(1), moves.unfreeze),
        (endpoint(2, 1), moves.set_canary(1, 0, None)),
        (endpoint(1), moves.set_answering(None)),
    ],
)
def test_what_is_so_already_is_no_revision(deployment: Deployment, rule: Rule) -> None:
    assert apply_move(deployment, rule, CHANGE) is None


def test_where_nothing_is_deployed_there_is_nothing_to_change() -> None:
    with pytest.raises(NotFound, match="mlops models approve"):
        apply_move(None, moves.freeze, CHANGE)
