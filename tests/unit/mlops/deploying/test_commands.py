"""`mlops deploy` explains itself, and does what it says over a desk in memory."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result

from mlops.aws import Aws
from mlops.clock import FixedClock
from mlops.deploying import cli
from mlops.deploying.desk import DeployDesk
from mlops.deploying.endpoints import Endpoints
from mlops.deploying.sagemaker import Fleet, SageMakerTarget
from mlops.deploying.targets import ServiceTarget, Target
from mlops.deployment import Deployment
from mlops.errors import Refused, Unavailable
from mlops.notices import MemoryNotices
from mlops.objects import MemoryDocuments
from tests.approvals import NAMES, NOW
from tests.deploying import OPERATOR, endpoint, numbers

CHANGING = sorted(set(cli.deploy.commands) - {"status", "history"})


@dataclass
class Identity:
    """Who STS says that one is."""

    identity: str = OPERATOR


@dataclass
class Place:
    """One endpoint and who operates it."""

    who: Identity = field(default_factory=Identity)
    documents: MemoryDocuments = field(default_factory=MemoryDocuments)
    notices: MemoryNotices = field(default_factory=MemoryNotices)
    target: Target | None = None

    def desk(self) -> DeployDesk:
        aws, target = cast(Aws, self.who), self.target or ServiceTarget(self.documents)
        return DeployDesk(aws, self.documents, self.notices, FixedClock(NOW), target)

    @property
    def deployment(self) -> Deployment:
        return Endpoints(self.documents).load("fraud")


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    place = Place()
    Endpoints(place.documents).change("fraud", "approve", lambda _: endpoint(3, 2, 1))
    monkeypatch.setattr(cli, "_desk", place.desk)
    return place


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.deploy, arguments)


def answer(*arguments: str) -> Any:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


@pytest.mark.parametrize("command", sorted(cli.deploy.commands))
def test_every_command_has_help_with_an_example(command: str) -> None:
    told = run(command, "--help")
    assert told.exit_code == 0
    assert f"mlops deploy {command}" in told.output
    assert "--json" in told.output


@pytest.mark.parametrize("command", CHANGING)
def test_what_changes_things_asks_for_a_reason_and_can_be_tried(command: str) -> None:
    told = run(command, "--help").output
    assert "--reason" in told
    assert "--dry-run" in told


def test_a_rollback_says_what_it_changed(place: Place) -> None:
    told = run("rollback", "fraud", "--reason", "alerts doubled").output
    assert "serves version 2; before it was version 3" in told
    assert "stable: version 3 → version 2" in told
    assert (numbers(place.deployment), place.deployment.changed_by) == ([2, 1], OPERATOR)


def test_who_subscribed_is_told_of_it(place: Place) -> None:
    run("rollback", "fraud", "--reason", "alerts doubled")
    ((subject, facts),) = place.notices.told
    assert "serves version 2" in subject
    assert (facts["action"], facts["who"], facts["reason"]) == (
        "rollback",
        OPERATOR,
        "alerts doubled",
    )
    assert (facts["from"], facts["to"]) == ({"stable": "version 3"}, {"stable": "version 2"})


def test_nobody_being_told_undoes_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def publish(subject: str, facts: object) -> None:
        raise Unavailable("SNS does not answer")

    monkeypatch.setattr(place.notices, "publish", publish)
    assert answer("rollback", "fraud", "--reason", "x")["changed"]
    assert numbers(place.deployment) == [2, 1]


def test_a_trial_run_changes_nothing(place: Place) -> None:
    told = answer("rollback", "fraud", "--reason", "x", "--dry-run")
    assert (told["stable"], told["dry_run"]) == (2, True)
    assert numbers(place.deployment) == [3, 2, 1]
    assert place.notices.told == []


def test_a_second_time_changes_nothing(place: Place) -> None:
    run("freeze", "fraud", "--reason", "closing")
    assert not answer("freeze", "fraud", "--reason", "closing")["changed"]
    assert place.deployment.revision == 2


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_what_the_target_cannot_do_changes_nothing(place: Place, more: tuple[str, ...]) -> None:
    place.target = SageMakerTarget(cast(Aws, place.who), NAMES, Fleet("ml.c6i.large", 2, {}))
    before = place.deployment
    done = run("shadow", "fraud", "2", "--reason", "look", *more)
    assert isinstance(done.exception, Refused)
    assert "is a SageMaker endpoint" in str(done.exception)
    assert place.deployment == before


def test_the_accounts_root_changes_nothing(place: Place) -> None:
    place.who.identity = "arn:aws:iam::000000000000:root"
    assert isinstance(run("freeze", "fraud", "--reason", "x").exception, Refused)


def test_the_status_tells_everything(place: Place) -> None:
    run("canary", "fraud", "2", "--weight", "0.05", "--key", "customer_id", "--reason", "RISK-12")
    run("shadow", "fraud", "1", "--share", "0.5", "--reason", "RISK-12")
    run("answering", "fraud", "--timeout-ms", "40", "--fallback-score", "0.5", "--reason", "x")
    run("freeze", "fraud", "--reason", "closing")
    found = answer("status", "fraud")
    assert (found["stable"], found["falls_back_to"]) == (3, [2, 1])
    assert found["canary"] == {"version": 2, "weight": 0.05, "key": "customer_id"}
    assert found["shadow"] == {"version": 1, "share": 0.5}
    assert found["answering"] == {"timeout_ms": 40.0, "fallback_score": 0.5}
    assert (found["frozen"]["by"], found["frozen"]["reason"]) == (OPERATOR, "closing")
    assert [one["endpoint"] for one in answer("status")] == ["fraud"]
    table = run("status").output
    assert "fraud" in table


def test_the_history_tells_every_change_and_ends_with_1_where_it_does_not_hold(
    place: Place,
) -> None:
    run("freeze", "fraud", "--reason", "closing")
    found = answer("history", "fraud")
    assert [entry["action"] for entry in found["entries"]] == ["approve", "freeze"]
    assert found["verified"]
    key = "rollouts/fraud/00000002.json"
    place.documents.stored[key] = place.documents.stored[key].replace(b"closing", b"nothing")
    told = run("history", "fraud")
    assert "revision 2 was changed" in str(told.exception)


@pytest.mark.parametrize(
    "arguments",
    [
        ("canary", "fraud", "2", "--weight", "1"),
        ("canary", "fraud", "2", "--weight", "-0.1"),
        ("canary", "fraud", "0", "--weight", "0.1"),
        ("shadow", "fraud"),
        ("shadow", "fraud", "2", "--off"),
        ("answering", "fraud"),
        ("answering", "fraud", "--clear", "--timeout-ms", "40"),
        ("promote", "fraud", "--version", "0"),
    ],
)
def test_nonsense_is_a_usage_error(arguments: tuple[str, ...], place: Place) -> None:
    assert run(*arguments, "--reason", "x").exit_code == 2
