"""What is served follows from the approvals that stand, and from nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from mlops.answering import Answering
from mlops.deployment import Arm, Canary, DeployedVersion, Deployment, Experiment, Hold
from mlops.rollout import Approval, Change, describe_change, roll_out
from mlops.strategy import ALL_AT_ONCE, Strategy
from tests.approvals import APPROVER, NOW

CHANGE = Change("fraud", "fraud", NOW, APPROVER, "because")
GRADUAL = Strategy(shadow_seconds=60, steps=(0.1, 0.5), bake_seconds=600)


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


def _approved(*numbers: int, strategy: Strategy = ALL_AT_ONCE) -> list[Approval]:
    """Each approved by the entry of its own number, as if versions were decided in order."""
    return [
        Approval(version.model_copy(update={"approval": version.version}), strategy)
        for version in _versions(*numbers)
    ]


def _deployed(*numbers: int) -> Deployment:
    deployment = roll_out(None, _approved(*numbers), CHANGE)
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
    after = roll_out(_deployed(1), _approved(2, 1), CHANGE)
    assert after is not None
    assert (_numbers(after), after.revision) == ([2, 1], 2)


def test_taking_the_stable_one_back_puts_the_one_before_it_back() -> None:
    after = roll_out(_deployed(3, 2, 1), _approved(2, 1), CHANGE)
    assert after is not None
    assert _numbers(after) == [2, 1]


def test_taking_another_one_back_does_not_change_what_is_served() -> None:
    before = _deployed(3, 2, 1)
    after = roll_out(before, _approved(3, 1), CHANGE)
    assert after is not None
    assert after.stable == before.stable
    assert _numbers(after) == [3, 1]


def test_without_any_approval_nothing_is_served() -> None:
    assert roll_out(None, [], CHANGE) is None
    after = roll_out(_deployed(1), [], CHANGE)
    assert after is not None
    assert after.stable is None


def test_a_canary_or_shadow_goes_with_its_approval() -> None:
    (two,) = _versions(2)
    before = _deployed(1).model_copy(
        update={"canary": Canary(version=two, weight=0.1), "shadow": two}
    )
    after = roll_out(before, _approved(1), CHANGE)
    assert after is not None
    assert (after.canary, after.shadow) == (None, None)


def test_an_experiment_ends_with_the_approval_of_one_of_its_arms() -> None:
    three, two = _versions(3, 2)
    arms = tuple(Arm(name=f"a{v.version}", version=v, weight=0.1) for v in (three, two))
    before = _deployed(3, 2, 1).model_copy(update={"experiment": Experiment(name="x", arms=arms)})
    assert roll_out(before, _approved(3, 2, 1), CHANGE) is None
    after = roll_out(before, _approved(3, 1), CHANGE)
    assert after is not None
    assert after.experiment is None


def test_a_new_approval_leaves_deadline_fallback_and_the_shadows_share() -> None:
    kept = {"answering": Answering(timeout_ms=20), "shadow_share": 0.5}
    after = roll_out(_deployed(1).model_copy(update=kept), _approved(2, 1), CHANGE)
    assert after is not None
    assert (after.answering, after.shadow_share) == (kept["answering"], 0.5)


@st.composite
def decisions(draw: st.DrawFn) -> list[tuple[int, bool]]:
    """Decisions in the record's order: a version, and whether it was approved."""
    return draw(st.lists(st.tuples(st.integers(1, 5), st.booleans()), max_size=12))


def _standing(decided: Sequence[tuple[int, bool]], strategy: Strategy) -> list[Approval]:
    """What stands of the record; approving again what stands is no entry."""
    stands: dict[int, int] = {}
    for entry, (version, yes) in enumerate(decided, start=1):
        if not yes:
            stands.pop(version, None)
        else:
            stands.setdefault(version, entry)
    return [
        Approval(version.model_copy(update={"approval": stands[version.version]}), strategy)
        for version in _versions(*stands)
    ]


def _ended(decided: list[tuple[int, bool]], seen: Iterable[int]) -> Deployment | None:
    """After the platform looked at the record when it had so many entries, and at its end."""
    current = None
    for length in (*seen, len(decided)):
        stands = _standing(decided[:length], ALL_AT_ONCE)
        current = roll_out(current, stands, CHANGE) or current
    return current


@given(decisions(), st.data())
def test_it_does_not_matter_how_often_and_when_the_record_is_looked_at(
    decided: list[tuple[int, bool]], data: st.DataObject
) -> None:
    some = data.draw(st.lists(st.integers(0, len(decided)), max_size=6).map(sorted))
    once, each = _ended(decided, some), _ended(decided, range(len(decided)))
    assert (_numbers(once) if once else []) == (_numbers(each) if each else [])


@given(decisions(), st.sampled_from([ALL_AT_ONCE, GRADUAL]))
def test_the_same_approvals_again_change_nothing(
    decided: list[tuple[int, bool]], strategy: Strategy
) -> None:
    current = None
    for length in range(len(decided) + 1):
        stands = _standing(decided[:length], strategy)
        current = roll_out(current, stands, CHANGE) or current
        assert roll_out(current, stands, CHANGE) is None


@given(decisions())
def test_revisions_count_the_changes(decided: list[tuple[int, bool]]) -> None:
    current, changes = None, 0
    for length in range(len(decided) + 1):
        after = roll_out(current, _standing(decided[:length], GRADUAL), CHANGE)
        changes += after is not None
        current = after or current
    assert (current.revision if current else 0) == changes


@given(decisions())
def test_only_approvals_that_stand_have_a_use(decided: list[tuple[int, bool]]) -> None:
    current = None
    for length in range(len(decided) + 1):
        stands = _standing(decided[:length], GRADUAL)
        current = roll_out(current, stands, CHANGE) or current
        if current is not None:
            numbers = {approval.version.version for approval in stands}
            assert {version.version for _, version in current.uses} <= numbers
            assert (current.stable is None) == (not numbers)


def test_a_gradual_version_begins_beside_the_stable_one() -> None:
    after = roll_out(_deployed(1), [*_approved(1), *_approved(2, strategy=GRADUAL)], CHANGE)
    assert after is not None
    assert [(use, version.version) for use, version in after.uses] == [("stable", 1), ("shadow", 2)]
    assert after.rollout is not None
    assert (after.rollout.stage, after.rollout.since, after.rollout.revision) == (0, NOW, 2)


def test_the_first_version_has_nothing_to_begin_beside() -> None:
    after = roll_out(None, _approved(1, strategy=GRADUAL), CHANGE)
    assert after is not None
    assert (_numbers(after), after.rollout) == ([1], None)


def test_an_approval_overtakes_the_version_that_is_on_trial() -> None:
    gradual = _approved(2, 3, strategy=GRADUAL)
    current = roll_out(_deployed(1), [*_approved(1), gradual[0]], CHANGE)
    after = roll_out(current, [*_approved(1), *gradual], CHANGE)
    assert after is not None
    assert after.rollout is not None
    assert (_numbers(after), after.rollout.version.version) == ([1, 2], 3)
    assert after.taken_back == ()


def test_rejecting_the_version_on_trial_ends_its_rollout() -> None:
    current = roll_out(_deployed(1), [*_approved(1), *_approved(2, strategy=GRADUAL)], CHANGE)
    after = roll_out(current, _approved(1), CHANGE)
    assert after is not None
    assert (_numbers(after), after.rollout, after.shadow) == ([1], None, None)


def test_on_a_frozen_endpoint_approvals_wait_and_rejections_do_not() -> None:
    frozen = _deployed(2, 1).model_copy(update={"frozen": Hold(by="ann", at=NOW, reason="x")})
    after = roll_out(frozen, _approved(3, 1), CHANGE)
    assert after is not None
    assert _numbers(after) == [1]
    thawed = roll_out(after.model_copy(update={"frozen": None}), _approved(3, 1), CHANGE)
    assert thawed is not None
    assert _numbers(thawed) == [3, 1]


def test_what_an_older_release_wrote_is_taken_as_it_stands() -> None:
    three, one = _versions(3, 1)
    older = _deployed(1).model_copy(update={"stable": three, "history": (one,), "decision": 0})
    after = roll_out(older, _approved(3, 2, 1, strategy=GRADUAL), CHANGE)
    assert after is not None
    assert after.stable is not None
    assert (after.stable.version, after.stable.approval, after.decision) == (3, 3, 3)


def test_a_change_is_told_in_one_sentence() -> None:
    one, two = _deployed(1), _deployed(2, 1)
    nothing = one.model_copy(update={"stable": None})
    assert describe_change(None, one) == "Endpoint 'fraud' serves version 1, its first."
    assert "serves version 2; before it was version 1" in describe_change(one, two)
    assert "still serves version 1" in describe_change(one, one)
    assert "serves no version any more" in describe_change(one, nothing)
