"""What is served follows from the approvals that stand, and from nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlops.answering import Answering
from mlops.deployment import Arm, Canary, DeployedVersion, Deployment, Experiment
from mlops.rollout import KEPT, Change, describe_change, roll_out
from tests.approvals import APPROVER, NOW

CHANGE = Change("fraud", "fraud", NOW, APPROVER, "because")
APPROVED = st.lists(st.integers(1, 40), unique=True, max_size=15)


def _versions(*numbers: int) -> list[DeployedVersion]:
    return [
        DeployedVersion(
            version=number,
            package_arn=f"arn:{number}",
            model_prefix=f"s3://b/{number}/",
            manifest_sha256=f"{number:064x}",
        )
        for number in numbers
    ]


def _deployed(*numbers: int) -> Deployment:
    deployment = roll_out(None, _versions(*numbers), CHANGE)
    assert deployment is not None
    return deployment


def _numbers(deployment: Deployment) -> list[int]:
    stable = [deployment.stable.version] if deployment.stable else []
    return [*stable, *(version.version for version in deployment.history)]


def test_the_first_approval_makes_the_first_deployment() -> None:
    deployment = _deployed(1)
    assert (_numbers(deployment), deployment.revision) == ([1], 1)
    assert (deployment.changed_by, deployment.changed_at) == (APPROVER, NOW)


def test_a_later_approval_becomes_stable_and_the_one_before_it_history() -> None:
    after = roll_out(_deployed(1), _versions(2, 1), CHANGE)
    assert after is not None
    assert (_numbers(after), after.revision) == ([2, 1], 2)


def test_taking_the_stable_one_back_puts_the_one_before_it_back() -> None:
    after = roll_out(_deployed(3, 2, 1), _versions(2, 1), CHANGE)
    assert after is not None
    assert _numbers(after) == [2, 1]


def test_taking_another_one_back_does_not_change_what_is_served() -> None:
    before = _deployed(3, 2, 1)
    after = roll_out(before, _versions(3, 1), CHANGE)
    assert after is not None
    assert after.stable == before.stable
    assert _numbers(after) == [3, 1]


def test_without_any_approval_nothing_is_served() -> None:
    assert roll_out(None, [], CHANGE) is None
    after = roll_out(_deployed(1), [], CHANGE)
    assert after is not None
    assert after.stable is None


def test_a_canary_or_shadow_goes_with_its_approval() -> None:
    two, one = _versions(2, 1)
    before = _deployed(1).model_copy(
        update={"canary": Canary(version=two, weight=0.1), "shadow": two}
    )
    after = roll_out(before, [one], CHANGE)
    assert after is not None
    assert (after.canary, after.shadow) == (None, None)


def test_an_experiment_ends_with_the_approval_of_one_of_its_arms() -> None:
    three, two, one = _versions(3, 2, 1)
    arms = tuple(Arm(name=f"a{v.version}", version=v, weight=0.1) for v in (three, two))
    before = _deployed(3, 2, 1).model_copy(update={"experiment": Experiment(name="x", arms=arms)})
    assert roll_out(before, [three, two, one], CHANGE) is None
    after = roll_out(before, [three, one], CHANGE)
    assert after is not None
    assert after.experiment is None


def test_a_new_approval_leaves_deadline_fallback_and_the_shadows_share() -> None:
    kept = {"answering": Answering(timeout_ms=20), "shadow_share": 0.5}
    after = roll_out(_deployed(1).model_copy(update=kept), _versions(2, 1), CHANGE)
    assert after is not None
    assert (after.answering, after.shadow_share) == (kept["answering"], 0.5)


@given(APPROVED)
def test_the_same_approvals_again_change_nothing(numbers: list[int]) -> None:
    first = roll_out(None, _versions(*numbers), CHANGE)
    assert roll_out(first, _versions(*numbers), CHANGE) is None


@given(APPROVED, APPROVED, APPROVED)
def test_what_was_deployed_before_does_not_matter(
    one: list[int], other: list[int], now: list[int]
) -> None:
    ends = []
    for before in (one, other):
        current = roll_out(None, _versions(*before), CHANGE)
        after = roll_out(current, _versions(*now), CHANGE) or current
        ends.append(_numbers(after) if after else [])
    assert ends[0] == ends[1] == now[: KEPT + 1]


@given(st.lists(APPROVED, min_size=1, max_size=5))
def test_revisions_count_the_changes(steps: list[list[int]]) -> None:
    current, changes = None, 0
    for numbers in steps:
        after = roll_out(current, _versions(*numbers), CHANGE)
        changes += after is not None
        current = after or current
    assert (current.revision if current else 0) == changes


def test_a_change_is_told_in_one_sentence() -> None:
    one, two = _deployed(1), _deployed(2, 1)
    nothing = one.model_copy(update={"stable": None})
    assert describe_change(None, one) == "Endpoint 'fraud' serves version 1, its first."
    assert "serves version 2; before it was version 1" in describe_change(one, two)
    assert "still serves version 1" in describe_change(one, one)
    assert "serves no version any more" in describe_change(one, nothing)
