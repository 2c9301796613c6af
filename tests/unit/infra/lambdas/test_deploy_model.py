"""An approval event becomes a deployment: once, in any order, and only through the record."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.lambdas.deploy_model import (
    ModelDeployer,
    RegistryChange,
    as_answer,
    react,
    read_event,
)
from mlops.clock import FixedClock
from mlops.deploying.history import read_history
from mlops.deployment import Deployment, load_deployment
from mlops.errors import Conflict, InputError, NotFound, Refused
from mlops.notices import MemoryNotices
from mlops.objects import Document, MemoryDocuments
from mlops.registry.versions import Status
from tests.approvals import APPROVER, NAMES, NOW, Office


@dataclass
class Platform(Office):
    """An office whose decisions can be deployed."""

    notices: MemoryNotices = field(default_factory=MemoryNotices)

    def deploy(self, version: int) -> dict[str, Any]:
        return self.deployer.deploy("fraud", version)

    def react(self, version: int | None, *, decides: bool = True) -> Mapping[str, Any]:
        return react(self.deployer, RegistryChange("fraud", version, decides))

    @property
    def deployer(self) -> ModelDeployer:
        return ModelDeployer(
            self.registry, self.records, self.documents, self.notices, FixedClock(NOW)
        )

    @property
    def deployment(self) -> Deployment:
        return load_deployment(self.documents, "fraud")[0]

    @property
    def served(self) -> list[int]:
        """The stable version and what is behind it."""
        stable = [self.deployment.stable] if self.deployment.stable else []
        return [v.version for v in (*stable, *self.deployment.history)]


@pytest.fixture
def platform() -> Platform:
    platform = Platform()
    for version in (1, 2, 3):
        platform.register(version)
    return platform


def _event(**detail: Any) -> dict[str, Any]:
    return {
        "source": "aws.sagemaker",
        "detail-type": "SageMaker Model Package State Change",
        "detail": {
            "ModelPackageGroupName": NAMES.model_group("fraud"),
            "ModelPackageVersion": 3,
            "ModelApprovalStatus": "Approved",
            "UpdatedModelPackageFields": ["ModelApprovalStatus", "ApprovalDescription"],
            **detail,
        },
    }


def test_an_event_names_the_model_and_its_version() -> None:
    assert read_event(_event(), NAMES) == RegistryChange("fraud", 3, decides=True)


@pytest.mark.parametrize(
    "detail",
    [
        {"UpdatedModelPackageFields": ["CustomerMetadataProperties"]},
        {"UpdatedModelPackageFields": []},
        {"UpdatedModelPackageFields": None},
        {"ModelPackageGroupName": "another-team-fraud"},
    ],
)
def test_what_is_no_decision_on_a_model_of_ours_is_passed_over(detail: dict[str, Any]) -> None:
    assert read_event(_event(**detail), NAMES) is None


@pytest.mark.parametrize("event", [{}, {"source": "aws.s3", "detail": {}}, {"Records": []}])
def test_an_event_of_another_kind_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"aws\.sagemaker"):
        read_event(event, NAMES)


def test_an_approved_version_becomes_stable_with_its_files(platform: Platform) -> None:
    entry = platform.decide("approve", 1).entry
    done = platform.deploy(1)
    stable = platform.deployment.stable
    assert stable is not None
    assert (stable.model_prefix, stable.manifest_sha256) == (
        entry.model_prefix,
        entry.manifest_sha256,
    )
    assert (done["action"], done["stable"], done["revision"]) == ("deployed", 1, 1)


def test_the_deployment_says_who_approved_and_why(platform: Platform) -> None:
    platform.decide("approve", 1, reason="beats the rules")
    platform.deploy(1)
    assert (platform.deployment.changed_by, platform.deployment.reason) == (
        APPROVER,
        "beats the rules",
    )


def test_what_was_done_is_told(platform: Platform) -> None:
    platform.decide("approve", 1)
    platform.deploy(1)
    platform.decide("approve", 2)
    platform.deploy(2)
    subject, facts = platform.notices.told[-1]
    assert subject == "Endpoint 'fraud' serves version 2; before it was version 1."
    assert (facts["stable"], facts["before"], facts["who"]) == (2, 1, APPROVER)


def test_what_was_done_is_answered_as_json(platform: Platform) -> None:
    platform.decide("approve", 1)
    done = platform.deploy(1)
    assert json.loads(json.dumps(as_answer(done)))["at"] == str(done["at"])


def test_a_duplicated_event_deploys_and_tells_once(platform: Platform) -> None:
    platform.decide("approve", 1)
    assert platform.deploy(1)["action"] == "deployed"
    assert platform.deploy(1)["action"] == "unchanged"
    assert platform.deployment.revision == 1
    assert len(platform.notices.told) == 1


def test_rejecting_the_stable_version_puts_the_one_before_it_back(platform: Platform) -> None:
    for version in (1, 2, 3):
        platform.decide("approve", version)
        platform.deploy(version)
    platform.decide("reject", 2)
    platform.deploy(2)
    assert platform.served == [3, 1]
    platform.decide("reject", 3)
    platform.deploy(3)
    assert platform.served == [1]


def test_rejecting_the_only_version_leaves_nothing_to_serve(platform: Platform) -> None:
    platform.decide("approve", 1)
    platform.deploy(1)
    platform.decide("reject", 1)
    assert platform.deploy(1)["stable"] is None
    assert platform.served == []


def test_rejecting_what_was_never_approved_deploys_nothing(platform: Platform) -> None:
    platform.decide("reject", 1)
    assert platform.deploy(1)["action"] == "unchanged"
    with pytest.raises(NotFound):
        _ = platform.deployment


def test_a_version_that_only_waits_is_passed_over(platform: Platform) -> None:
    assert platform.deploy(1)["action"] == "ignored"


def test_an_approval_around_the_record_is_refused(platform: Platform) -> None:
    platform.decide("approve", 1)
    platform.deploy(1)
    platform.registry.set_status(platform.registry.get("fraud", 2), Status.APPROVED, note="hm")
    with pytest.raises(Refused, match="around the approval record"):
        platform.deploy(2)
    assert platform.served == [1]


def test_an_approval_around_the_record_never_gets_in_with_another_one(platform: Platform) -> None:
    platform.registry.set_status(platform.registry.get("fraud", 2), Status.APPROVED, note="hm")
    platform.decide("approve", 1)
    platform.deploy(1)
    assert platform.served == [1]


def test_a_decision_taken_back_around_the_record_is_refused(platform: Platform) -> None:
    platform.decide("approve", 1)
    platform.deploy(1)
    platform.registry.set_status(platform.registry.get("fraud", 1), Status.REJECTED, note="hm")
    with pytest.raises(Refused, match="mlops models approve fraud 1"):
        platform.deploy(1)
    assert platform.served == [1]


def test_files_that_were_exchanged_after_the_approval_are_refused(platform: Platform) -> None:
    platform.decide("approve", 1)
    approved = platform.registry.get("fraud", 1)
    platform.registry.add(approved.model_copy(update={"manifest_sha256": "b" * 64}))
    with pytest.raises(Refused, match="other files"):
        platform.deploy(1)


def test_nothing_is_deployed_from_a_broken_record(platform: Platform) -> None:
    entry = platform.decide("approve", 1).entry
    platform.records.stored["fraud", 1] = entry.model_copy(update={"version": 2})
    with pytest.raises(Refused, match="record of 'fraud' is broken"):
        platform.deploy(1)


def test_a_recorded_approval_that_the_registry_lacks_is_not_deployed(platform: Platform) -> None:
    waiting = platform.registry.get("fraud", 2)
    platform.decide("approve", 2)
    platform.registry.add(waiting)
    platform.decide("approve", 1)
    platform.deploy(1)
    assert platform.served == [1]


def test_a_bypass_is_told_at_once_and_once_and_deploys_nothing(platform: Platform) -> None:
    platform.decide("approve", 1)
    platform.react(1)
    platform.registry.set_status(platform.registry.get("fraud", 2), Status.APPROVED, note="hm")
    answers = [platform.react(2) for _ in range(3)]
    assert {answer["action"] for answer in answers} == {"bypassed"}
    assert [facts.get("event") for _, facts in platform.notices.told] == [None, "bypassed"]
    assert platform.served == [1]


def test_a_rejection_takes_effect_though_its_files_were_exchanged(platform: Platform) -> None:
    for version in (1, 2):
        platform.decide("approve", version)
        platform.react(version)
    held = platform.registry.get("fraud", 2)
    platform.registry.add(held.model_copy(update={"model_prefix": "s3://elsewhere/"}))
    assert platform.react(2, decides=False)["action"] == "ignored"
    assert platform.served == [2, 1]
    assert platform.notices.told[-1][1]["event"] == "bypassed"
    platform.decide("reject", 2)
    assert platform.react(2)["action"] == "deployed"
    assert platform.served == [1]


def test_a_decision_that_the_registry_does_not_have_yet_is_tried_again(platform: Platform) -> None:
    waiting = platform.registry.get("fraud", 2)
    platform.decide("approve", 2)
    platform.registry.add(waiting)
    with pytest.raises(Refused, match="mlops models approve fraud 2"):
        platform.react(2)
    assert platform.react(2, decides=False) == {"action": "ignored", "model": "fraud"}
    assert not platform.notices.told


@dataclass
class _RacedDocuments(MemoryDocuments):
    """Another invocation writes first, before one of the two writes of a change."""

    race: Callable[[], object] | None = None
    at: str = "deployments/"

    def create(self, key: str, body: bytes) -> Document:
        if self.race is not None and key.startswith(self.at):
            race, self.race = self.race, None
            race()
        return super().create(key, body)


@pytest.mark.parametrize(("at", "revision"), [("rollouts/", 1), ("deployments/", 2)])
def test_two_invocations_at_once_end_in_the_later_decision(at: str, revision: int) -> None:
    documents = _RacedDocuments(at=at)
    platform = Platform(documents=documents)
    for version in (1, 2):
        platform.register(version)
    platform.decide("approve", 1)

    def overtake() -> None:
        platform.decide("approve", 2)
        platform.deploy(2)

    documents.race = overtake
    platform.deploy(1)
    assert platform.served == [2, 1]
    assert platform.deployment.revision == revision
    assert read_history(documents, "fraud").holds


def test_an_invocation_that_dies_between_its_writes_is_completed_by_the_next() -> None:
    documents = _RacedDocuments()
    platform = Platform(documents=documents)
    platform.register(1)
    platform.decide("approve", 1)

    def die() -> None:
        raise KeyboardInterrupt

    documents.race = die
    with pytest.raises(KeyboardInterrupt):
        platform.deploy(1)
    platform.deploy(1)
    assert (platform.served, platform.deployment.revision) == ([1], 1)
    assert read_history(documents, "fraud").holds


def test_a_document_that_never_stands_still_is_given_up_with_a_conflict() -> None:
    class Restless(MemoryDocuments):
        def create(self, key: str, body: bytes) -> Document:
            if key.startswith("rollouts/"):
                raise Conflict(f"{key} exists already")
            return super().create(key, body)

    platform = Platform(documents=Restless())
    platform.register(1)
    platform.decide("approve", 1)
    with pytest.raises(Conflict, match="Endpoint 'fraud'"):
        platform.deploy(1)


DECISIONS = st.lists(
    st.tuples(st.sampled_from(["approve", "reject"]), st.integers(1, 4)), max_size=8
)


@given(DECISIONS, st.randoms(use_true_random=False))
def test_events_in_any_order_and_number_end_in_the_same_deployment(
    decisions: list[tuple[Any, int]], chance: random.Random
) -> None:
    platform = Platform()
    for version in range(1, 5):
        platform.register(version)
    events: list[int] = []
    for action, version in decisions:
        platform.decide(action, version)
        events.append(version)
        for early in chance.sample(events, chance.randint(0, len(events))):
            platform.deploy(early)
    for late in chance.sample(events, len(events)):
        platform.deploy(late)
    standing = _standing(decisions)
    if standing or platform.notices.told:
        assert platform.served == standing
        assert platform.deployment.revision == len(platform.notices.told)


def _standing(decisions: list[tuple[Any, int]]) -> list[int]:
    """The approved versions, the newest approval first; approving again moves nothing."""
    standing: list[int] = []
    for action, version in decisions:
        if action == "reject" and version in standing:
            standing.remove(version)
        elif action == "approve" and version not in standing:
            standing.insert(0, version)
    return standing
