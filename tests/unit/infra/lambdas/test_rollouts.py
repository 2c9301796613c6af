"""The schedule takes rollouts further, and what it is told of twice it does once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from infra.lambdas.deploy_model import ModelDeployer
from infra.lambdas.notify_slack import notify
from infra.lambdas.rollouts import RolloutDriver
from mlops.clock import FixedClock
from mlops.deploying import moves
from mlops.deploying.endpoints import Endpoints
from mlops.deploying.figures import Observation, Tally, observation_key
from mlops.deploying.history import read_history
from mlops.deploying.moves import apply_move
from mlops.deploying.targets import ServiceTarget
from mlops.deployment import Deployment
from mlops.errors import MlopsError, Refused
from mlops.notices import MemoryNotices
from mlops.objects import Document, MemoryDocuments
from mlops.slack import Slack
from tests.approvals import NOW, Office
from tests.deploying import CANARY, CHANGE, endpoint
from tests.slack_channel import channel

PLATFORM = "arn:aws:iam::000000000000:role/mlops-local-model-deployer"


def nothing(_: str) -> None:
    """No record to follow."""


@dataclass
class Place:
    """Endpoints, what proxies saw of them, and a clock."""

    documents: MemoryDocuments = field(default_factory=MemoryDocuments)
    notices: MemoryNotices = field(default_factory=MemoryNotices)

    def put(self, deployment: Deployment) -> None:
        Endpoints(self.documents).change(deployment.endpoint, "decide", lambda _: deployment)

    def observe(self, process: str, *tallies: Tally, revision: int = 1) -> None:
        seen = Observation(endpoint="fraud", process=process, revision=revision, tallies=tallies)
        self.documents.put(observation_key("fraud", process), seen.model_dump_json().encode())

    def drive(self, *, after: float = 0) -> dict[str, Any]:
        clock = FixedClock(NOW + timedelta(seconds=after))
        target = ServiceTarget(self.documents)
        return RolloutDriver(self.documents, self.notices, clock, target, PLATFORM).drive(nothing)

    @property
    def deployment(self) -> Deployment:
        return Endpoints(self.documents).load("fraud")


def tally(version: int, use: str, *, answers: int = 1000, failed: int = 0) -> Tally:
    return Tally(revision=1, version=version, use=use, answers=answers, failures={"slow": failed})


@pytest.fixture
def place() -> Place:
    place = Place()
    place.put(endpoint(1, trial=2, by=CANARY))
    return place


def observe(place: Place, *tallies: Tally) -> None:
    """Counts of the stage that the example begins in."""
    rollout = place.deployment.rollout
    assert rollout is not None
    current = [tally.model_copy(update={"revision": rollout.revision}) for tally in tallies]
    place.observe("a", *current, revision=rollout.revision)


WELL = (tally(2, "canary"), tally(1, "stable"))


def test_each_step_is_taken_once_however_often_the_schedule_comes(place: Place) -> None:
    observe(place, *WELL)
    assert place.drive(after=599)["changed"] == []
    for _ in range(3):
        place.drive(after=600)
    assert place.deployment.canary is not None
    assert place.deployment.canary.weight == 0.5
    assert len(place.notices.told) == 1


def test_an_ill_canary_is_taken_back_and_told_with_its_figures(place: Place) -> None:
    observe(place, tally(2, "canary", failed=400))
    place.drive()
    assert place.deployment.rollout is None
    ((subject, facts),) = place.notices.told
    assert "version 2 is taken back: 40.0% of 1000 answers failed (slow 400)" in subject
    assert facts["figures"]["trial"]["failed_share"] == 0.4
    assert facts["action"] == "take back"
    assert list(place.documents.keys("observed/")) == []
    assert read_history(place.documents, "fraud").entries[-1].action == "take back"


@pytest.mark.parametrize(
    ("seen", "after", "subject", "fact"),
    [
        (WELL, 600, "Endpoint 'fraud' still serves version 1, and version 2 0.5", "figures: "),
        (
            (tally(2, "canary", failed=400),),
            0,
            "version 2 is taken back: 40.0%",
            "reason: version 2",
        ),
    ],
    ids=["further", "taken back"],
)
def test_slack_is_told_of_each_step_of_a_rollout(
    place: Place, seen: tuple[Tally, ...], after: float, subject: str, fact: str
) -> None:
    observe(place, *seen)
    place.drive(after=after)
    ((told, facts),) = place.notices.told
    event = {"Records": [{"Sns": {"Subject": told, "Message": json.dumps(facts, default=str)}}]}

    with channel() as slack:
        notify(Slack(slack.webhook), event)

    (message,) = slack.told
    assert subject in message["text"]
    assert fact in message["blocks"][0]["text"]["text"]


def test_a_change_between_look_and_step_is_looked_at_anew(place: Place) -> None:
    observe(place, *WELL)

    @dataclass
    class Raced(MemoryDocuments):
        def keys(self, prefix: str) -> Any:
            if prefix == "observed/fraud/":
                Endpoints(place.documents).change(
                    "fraud", "pause", lambda now: apply_move(now, moves.pause, CHANGE)
                )
            return super().keys(prefix)

    place.documents = Raced(place.documents.stored)
    assert place.drive(after=600)["changed"] == []
    rollout = place.deployment.rollout
    assert rollout is not None
    assert (rollout.stage, rollout.paused is None) == (0, False)


def test_an_endpoint_that_cannot_be_looked_after_keeps_no_other_from_it(place: Place) -> None:
    observe(place, *WELL)
    place.put(endpoint(1).model_copy(update={"endpoint": "broken"}))

    def follow(name: str) -> Mapping[str, Any] | None:
        if name == "broken":
            raise Refused("its record is broken")
        return None

    clock = FixedClock(NOW + timedelta(seconds=600))
    target = ServiceTarget(place.documents)
    driver = RolloutDriver(place.documents, place.notices, clock, target, PLATFORM)
    with pytest.raises(MlopsError, match=r"1 endpoints not looked after\. broken: its record"):
        driver.drive(follow)
    assert place.deployment.canary is not None
    assert place.deployment.canary.weight == 0.5


def test_a_revision_that_nobody_finished_is_finished(place: Place) -> None:
    class Dying(MemoryDocuments):
        def put(self, key: str, body: bytes, *, etag: str | None = None) -> Document:
            if etag is not None:
                raise KeyboardInterrupt
            return super().put(key, body, etag=etag)

    with pytest.raises(KeyboardInterrupt):
        Endpoints(Dying(place.documents.stored)).change(
            "fraud", "freeze", lambda now: apply_move(now, moves.freeze, CHANGE)
        )
    assert place.deployment.frozen is None
    place.drive()
    assert place.deployment.frozen is not None


# -- catching up with the record


@dataclass
class Company(Office):
    """An office whose endpoints are looked after by schedule alone."""

    notices: MemoryNotices = field(default_factory=MemoryNotices)

    def drive(self) -> dict[str, Any]:
        clock = FixedClock(NOW)
        deployer = ModelDeployer(self.registry, self.records, self.documents, self.notices, clock)
        target = ServiceTarget(self.documents)
        driver = RolloutDriver(self.documents, self.notices, clock, target, PLATFORM)
        return driver.drive(deployer.catch_up)

    def deploy(self, version: int) -> dict[str, Any]:
        clock = FixedClock(NOW)
        deployer = ModelDeployer(self.registry, self.records, self.documents, self.notices, clock)
        return deployer.deploy("fraud", version)

    @property
    def deployment(self) -> Deployment:
        return Endpoints(self.documents).load("fraud")


@pytest.fixture
def company() -> Company:
    company = Company()
    company.register_with(1)
    company.register_with(2, rollout=CANARY)
    company.decide("approve", 1)
    company.deploy(1)
    return company


def test_an_approval_begins_what_the_versions_manifest_says(company: Company) -> None:
    company.decide("approve", 2)
    company.deploy(2)
    assert company.deployment.rollout is not None
    assert company.deployment.rollout.strategy == CANARY
    assert company.deployment.canary is not None
    assert company.deployment.canary.weight == 0.1


def test_an_event_that_was_lost_is_caught_up_with(company: Company) -> None:
    company.decide("approve", 2)
    (done,) = company.drive()["changed"]
    assert done["decision"] == "approve version 2"
    assert company.drive()["changed"] == []


def test_approvals_that_waited_for_a_frozen_endpoint_begin_after_it(company: Company) -> None:
    endpoints = Endpoints(company.documents)
    endpoints.change("fraud", "freeze", lambda now: apply_move(now, moves.freeze, CHANGE))
    company.decide("approve", 2)
    assert company.deploy(2)["action"] == "unchanged"
    endpoints.change("fraud", "unfreeze", lambda now: apply_move(now, moves.unfreeze, CHANGE))
    company.drive()
    assert company.deployment.rollout is not None


def test_what_serves_stands_however_many_approvals_came_after_it(company: Company) -> None:
    for version in range(2, 20):
        company.register_with(version, rollout=CANARY)
        company.decide("approve", version)
        company.deploy(version)
    for _ in range(3):
        company.drive()
    found = company.deployment
    assert found.stable is not None
    assert found.rollout is not None
    assert (found.stable.version, found.rollout.version.version) == (1, 19)
    assert company.drive()["changed"] == []


def test_an_endpoint_that_nobody_decided_on_is_left_as_it_is(company: Company) -> None:
    other = endpoint(7).model_copy(update={"endpoint": "other", "model": "other"})
    Endpoints(company.documents).change("other", "decide", lambda _: other)
    company.drive()
    assert Endpoints(company.documents).load("other") == other


def test_a_version_whose_manifest_was_exchanged_is_not_deployed(company: Company) -> None:
    company.decide("approve", 2)
    key = "models/fraud/run-2/manifest.json"
    company.documents.stored[key] = company.documents.stored[key].replace(b"0.85", b"0.99")
    with pytest.raises(Refused, match="changed after registration"):
        company.deploy(2)
    assert company.deployment.rollout is None
