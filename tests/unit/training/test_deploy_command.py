"""`mlops workflows deploy`: one, some, or all of a checkout, and nothing where one is refused."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mlops.errors import Refused
from pipelines.training import cli
from pipelines.training.compiler import Bundle, Compiled
from pipelines.training.starting.cli import schedule

ALL = ["credit", "drift", "fraud", "start", "upsync"]


class Desk:
    """Compiles anything but what is refused, and notes what is done, in its order."""

    def __init__(self, *, refused: str = "", current: str = "") -> None:
        self.done: list[tuple[str, str]] = []
        self.aws = SimpleNamespace(identity="arn:aws:iam::1:role/jenkins")
        self.deployment = self
        self._refused, self._current = refused, current

    def compile(self, workflow: str, **_: str) -> Compiled:
        if workflow == self._refused:
            raise Refused(f"{workflow} cannot be deployed")
        return Compiled({"workflow": workflow, "definition": {"States": {}}}, Bundle(b"code"))

    def is_current(self, compiled: Compiled) -> bool:
        return compiled.name == self._current

    def upload(self, compiled: Compiled) -> None:
        self.done.append(("upload", compiled.name))

    def wait(self, compiled: Compiled, **_: float) -> str:
        self.done.append(("wait", compiled.name))
        return "recorded"


def deploy(monkeypatch: pytest.MonkeyPatch, desk: Desk, *arguments: str) -> Result:
    monkeypatch.setattr(cli, "_desk", lambda: desk)
    return CliRunner().invoke(cli.workflows, ["deploy", *arguments])


def found(result: Result) -> Any:
    return json.loads(result.output)


def test_all_are_uploaded_before_the_first_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    assert deploy(monkeypatch, desk, "--all").exit_code == 0
    assert desk.done == [("upload", name) for name in ALL] + [("wait", name) for name in ALL]


def test_nothing_is_uploaded_where_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(refused="upsync")
    assert isinstance(deploy(monkeypatch, desk, "--all").exception, Refused)
    assert desk.done == []


def test_what_is_deployed_already_is_not_uploaded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(current="fraud")
    answer = deploy(monkeypatch, desk, "--all", "--no-wait", "--json")
    assert [one["action"] for one in found(answer)] == [
        *("uploaded", "uploaded", "unchanged", "uploaded", "uploaded"),
    ]
    assert ("upload", "fraud") not in desk.done


def test_one_that_is_named_is_told_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(deploy(monkeypatch, Desk(), "fraud", "--json"))["action"] == "deployed"
    both = found(deploy(monkeypatch, Desk(), "fraud", "start", "--json"))
    assert [one["workflow"] for one in both] == ["fraud", "start"]


@pytest.mark.parametrize("arguments", [(), ("fraud", "--all")])
def test_workflows_are_named_or_all(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = deploy(monkeypatch, Desk(), *arguments)
    assert answer.exit_code == 2
    assert "name one of credit, drift, fraud, start, upsync, or say --all" in answer.output


@pytest.mark.parametrize("arguments", [(), ("fraud", "--all"), ("--all", "--set", "train_days=9")])
def test_a_schedule_is_set_of_one_model_or_of_all_as_declared(arguments: tuple[str, ...]) -> None:
    answer = CliRunner().invoke(schedule, ["set", *arguments])
    assert answer.exit_code == 2
    assert "--all" in answer.output
