"""What starts a run by itself: declared in settings, planned as rules, put in force as declared."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import ClassVar

import pytest
from pydantic import ValidationError

from mlops.bus import ARRIVED, DATA, MemoryBus, tell_arrivals
from mlops.errors import InputError, NotFound, Refused, Unavailable
from pipelines.credit.settings import DEFAULTS, CreditSettings
from pipelines.training.deploy import Deployed
from pipelines.training.starting.desk import StartDesk
from pipelines.training.starting.rules import MemoryRules, Rule, Why, plan_rules, wanted_rules
from pipelines.training.starts import Starts
from pipelines.training.workflows import input_settings

ALL = Starts(schedule="rate(7 days)", new_data=("loans", "zipcodes"), drift=True)
DEPLOYED = Deployed(
    workflow="any",
    state_machine_arn="arn",
    code_sha256="c",
    deployed_at=datetime(2025, 1, 1, tzinfo=UTC),
    submitted_by="me",
)


class Deployments:
    """Some workflows are deployed."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def deployed(self, workflow: str) -> Deployed | None:
        return DEPLOYED if workflow in self._names else None


class Declaring(CreditSettings):
    """As 'credit', with all three."""

    starts: ClassVar[Starts] = ALL


def declared(_: str) -> Declaring:
    return Declaring.model_validate(DEFAULTS.model_dump())


def desk_with(*deployed: str) -> StartDesk:
    return StartDesk(MemoryRules(), Deployments(*deployed), declared)


@pytest.fixture
def desk() -> StartDesk:
    return desk_with("start", "credit")


@pytest.mark.parametrize(
    "expression",
    ["rate(1 day)", "rate(12 hours)", "cron(0 18 ? * SUN *)", "cron(30 0 1 * ? *)"],
)
def test_a_schedule_is_an_expression_of_eventbridge(expression: str) -> None:
    assert Starts(schedule=expression).schedule == expression


@pytest.mark.parametrize(
    "expression",
    [
        *("daily", "rate(0 days)", "rate(1 days)", "rate(2 day)", "at(2025-01-01T00:00:00)"),
        *("cron(0 18 * * *)", "cron(0 18 * * SUN *)", "cron(0 18 ? * ? *)"),
    ],
)
def test_what_eventbridge_would_refuse_is_refused_in_the_settings(expression: str) -> None:
    with pytest.raises(ValidationError, match="schedule"):
        Starts(schedule=expression)


@pytest.mark.parametrize("tables", [("Loans",), ("loans", "loans"), ("",)])
def test_new_data_names_tables_once_each(tables: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match="new_data"):
        Starts(new_data=tables)


def test_a_rule_tells_which_run_to_start_why_how_often_and_after_which_event() -> None:
    rules = {rule.why: rule for rule in wanted_rules("credit", ALL, {"train_days": 14})}

    filled = rules[Why.DATA].template.replace("<id>", '"e-1"').replace("<time>", '"2025-01-01T"')

    assert json.loads(filled) == {
        "workflow": "credit",
        "why": "data",
        "often": "once_a_day",
        "settings": {"train_days": 14},
        "id": "e-1",
        "time": "2025-01-01T",
    }
    assert '"often": "each_time"' in rules[Why.SCHEDULE].template
    assert rules[Why.DATA].settings == {"train_days": 14}


def test_a_rule_on_data_waits_for_the_tables_alone() -> None:
    rules = {rule.why: rule for rule in wanted_rules("credit", ALL, {})}
    assert json.loads(rules[Why.DATA].when) == {
        "source": ["mlops.data"],
        "detail-type": ["Data Arrived"],
        "detail": {"table": ["loans", "zipcodes"]},
    }


def test_a_rule_on_drift_waits_for_what_is_new_unless_the_model_wants_it_again() -> None:
    def waits_for(starts: Starts) -> dict[str, list[object]]:
        [rule] = wanted_rules("credit", starts, {})
        found: dict[str, list[object]] = json.loads(rule.when)["detail"]
        return found

    assert waits_for(Starts(drift=True)) == {"model": ["credit"], "again": [False]}
    assert waits_for(Starts(drift=True, drift_again=True)) == {"model": ["credit"]}
    with pytest.raises(ValidationError, match="drift_again"):
        Starts(drift_again=True)


def test_who_declares_nothing_has_no_rules() -> None:
    assert wanted_rules("credit", Starts(), {}) == []


def test_what_changed_is_changed_and_what_is_no_longer_declared_removed() -> None:
    before = wanted_rules("credit", Starts(schedule="rate(1 day)", drift=True), {})
    wanted = wanted_rules("credit", Starts(schedule="rate(7 days)", new_data=("loans",)), {})

    steps = plan_rules(wanted, before)

    assert [(step.rule.why, step.action) for step in steps] == [
        (Why.SCHEDULE, "change"),
        (Why.DATA, "create"),
        (Why.DRIFT, "remove"),
    ]


def test_a_rule_without_a_target_is_written_again() -> None:
    """Where 'set' was interrupted."""
    [wanted] = wanted_rules("credit", Starts(schedule="rate(1 day)"), {})
    half = Rule(why=Why.SCHEDULE, when=wanted.when, template="{}")
    assert [step.action for step in plan_rules([wanted], [half])] == ["change"]


def test_setting_twice_changes_nothing_and_what_is_paused_stays_paused(desk: StartDesk) -> None:
    assert {step.action for step in desk.set("credit", {}, dry_run=False)} == {"create"}
    desk.pause("credit", dry_run=False)

    again = desk.set("credit", {}, dry_run=False)
    changed = desk.set("credit", {"train_days": "14"}, dry_run=False)

    assert {step.action for step in again} == {"keep"}
    assert {step.action for step in changed} == {"change"}
    assert [row["state"] for row in desk.overview("credit")] == ["paused"] * 3
    assert {row["settings"] for row in desk.overview("credit")} == {'{"train_days": 14}'}


def test_a_dry_run_changes_nothing(desk: StartDesk) -> None:
    desk.set("credit", {}, dry_run=True)
    assert [row["state"] for row in desk.overview("credit")] == ["declared, not set"] * 3
    desk.set("credit", {}, dry_run=False)
    desk.pause("credit", dry_run=True)
    desk.remove("credit", dry_run=True)
    assert [row["state"] for row in desk.overview("credit")] == ["in force"] * 3


def test_before_anything_is_deployed_it_is_planned() -> None:
    steps = desk_with().set("credit", {}, dry_run=True)
    assert {step.action for step in steps} == {"create"}


def test_a_time_of_day_is_shown_with_its_zone(desk: StartDesk) -> None:
    [rule] = wanted_rules("credit", Starts(schedule="cron(0 18 ? * SUN *)"), {})
    assert rule.words == "cron(0 18 ? * SUN *), UTC"
    [every] = wanted_rules("credit", Starts(schedule="rate(7 days)"), {})
    assert every.words == "rate(7 days)"


def test_what_is_paused_is_resumed_and_what_is_removed_is_gone(desk: StartDesk) -> None:
    desk.set("credit", {}, dry_run=False)
    desk.pause("credit", dry_run=False)
    assert not any(rule.paused for rule in desk.resume("credit", dry_run=False))
    desk.remove("credit", dry_run=False)
    with pytest.raises(NotFound, match="schedule set credit"):
        desk.pause("credit", dry_run=False)


def test_a_setting_that_the_model_does_not_know_is_refused_before_anything_is_set(
    desk: StartDesk,
) -> None:
    with pytest.raises(InputError, match="train_weeks"):
        desk.set("credit", {"train_weeks": "2"}, dry_run=False)
    assert desk.rules.found("credit") == []


@pytest.mark.parametrize(
    ("deployed", "told"),
    [
        ((), "mlops workflows deploy start credit"),
        (("credit",), "mlops workflows deploy start"),
    ],
)
def test_nothing_is_to_start_that_is_not_deployed(deployed: tuple[str, ...], told: str) -> None:
    with pytest.raises(NotFound, match=told):
        desk_with(*deployed).set("credit", {}, dry_run=False)


def test_what_starts_a_model_whose_folder_is_gone_is_removed() -> None:
    rules = MemoryRules()
    [rule] = wanted_rules("churn", Starts(drift=True), {})
    rules.put("churn", rule)
    assert StartDesk(rules, Deployments()).remove("churn", dry_run=False) == [rule]
    with pytest.raises(NotFound, match="no model 'churn'"):
        StartDesk(rules, Deployments()).remove("churn", dry_run=False)


@pytest.mark.parametrize("workflow", ["upsync", "start"])
def test_what_trains_no_model_has_no_schedule_here(desk: StartDesk, workflow: str) -> None:
    with pytest.raises(Refused, match="infrastructure"):
        desk.set(workflow, {}, dry_run=False)


def test_the_workflow_that_rules_start_is_not_run_by_hand() -> None:
    with pytest.raises(Refused, match="run by rules alone"):
        input_settings("start", {}, today=datetime(2025, 1, 1, tzinfo=UTC).date())


def test_arrivals_are_told_by_table() -> None:
    bus = MemoryBus()
    assert tell_arrivals(bus, [{"table": "loans", "rows": 7}])
    assert bus.told == [(DATA, ARRIVED, {"table": "loans", "rows": 7})]


def test_an_arrival_that_cannot_be_told_undoes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(*_: object) -> None:
        raise Unavailable("no bus")

    assert not tell_arrivals(SimpleNamespace(put=refuse), [{"table": "loans"}])
    assert "wait for loans do not start by themselves (no bus)" in caplog.text
