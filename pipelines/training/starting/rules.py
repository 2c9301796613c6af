"""The rules by which a model's workflow starts by itself: as wanted, and as they are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from mlops.aws import Aws, translated
from mlops.bus import ARRIVED, DATA, DRIFTED, MODELS
from mlops.errors import NotFound, Unavailable
from mlops.names import Names, Role
from pipelines.training.starts import EACH_TIME, ONCE_A_DAY, Starts
from pipelines.training.workflows import START

_RETRY = {"MaximumRetryAttempts": 10, "MaximumEventAgeInSeconds": 3600}


class Why(StrEnum):
    """What starts a run by itself; the name of its rule ends so."""

    SCHEDULE = "schedule"
    DATA = "data"
    DRIFT = "drift"


class Rule(BaseModel):
    """A rule and its one target."""

    model_config = ConfigDict(frozen=True)

    why: Why
    when: str
    """The schedule's expression, or the pattern of the events as JSON."""
    template: str
    """What the workflow `start` is told, with <id> and <time> of the event in it."""
    paused: bool = False

    def same_as(self, other: Rule) -> bool:
        """Whether both say the same, paused or not."""
        return (self.when, self.template) == (other.when, other.template)

    @property
    def words(self) -> str:
        """When, for people."""
        if self.why is Why.SCHEDULE:
            return self.when + (", UTC" if self.when.startswith("cron") else "")
        detail = json.loads(self.when)["detail"]
        if self.why is Why.DATA:
            return f"rows of {', '.join(detail['table'])} came in, once a day"
        return "new drift was found" if "again" in detail else "drift was found, once a day"

    @property
    def settings(self) -> Mapping[str, Any]:
        """What its runs are told differently from the deployed settings."""
        text = self.template.replace("<id>", '""').replace("<time>", '""')
        found: Mapping[str, Any] = json.loads(text).get("settings", {})
        return found


def wanted_rules(workflow: str, starts: Starts, settings: Mapping[str, Any]) -> list[Rule]:
    """The rules of what a model's settings declare, in the order of `Why`.

    settings: what the runs are told differently from the deployed settings.
    """
    whens = {Why.SCHEDULE: starts.schedule}
    if starts.new_data:
        whens[Why.DATA] = _pattern(DATA, ARRIVED, {"table": list(starts.new_data)})
    if starts.drift:
        found: dict[str, list[Any]] = {"model": [workflow]}
        new = found if starts.drift_again else found | {"again": [False]}
        whens[Why.DRIFT] = _pattern(MODELS, DRIFTED, new)
    return [
        Rule(why=why, when=when, template=_template(workflow, why, settings))
        for why, when in whens.items()
        if when is not None
    ]


def _pattern(source: str, kind: str, detail: Mapping[str, Any]) -> str:
    return json.dumps({"source": [source], "detail-type": [kind], "detail": detail})


def _template(workflow: str, why: Why, settings: Mapping[str, Any]) -> str:
    """JSON, but for two places that EventBridge fills, quotes included."""
    often = EACH_TIME if why is Why.SCHEDULE else ONCE_A_DAY
    said = {"workflow": workflow, "why": why.value, "often": often, "settings": settings}
    text = json.dumps(said, sort_keys=True)
    return f'{text[:-1]}, "id": <id>, "time": <time>}}'


class Rules(Protocol):
    """Where the rules of one environment live."""

    def found(self, workflow: str) -> list[Rule]:
        """Those of a workflow, in the order of `Why`."""

    def put(self, workflow: str, rule: Rule) -> None:
        """Make it so, paused as it says."""

    def pause(self, workflow: str, why: Why, *, paused: bool) -> None:
        """Let a rule that is there do nothing, or its work again."""

    def remove(self, workflow: str, why: Why) -> None:
        """Remove a rule; one that is not there is no error."""


class EventBridgeRules:
    """Rules on EventBridge's default bus, which start the workflow `start`."""

    def __init__(self, aws: Aws, names: Names) -> None:
        self._events = aws.client("events")
        self._names = names

    def found(self, workflow: str) -> list[Rule]:
        read = (self._read(workflow, why) for why in Why)
        return [rule for rule in read if rule is not None]

    def _read(self, workflow: str, why: Why) -> Rule | None:
        name = self._names.start_rule(workflow, why)
        try:
            with translated(f"Reading rule {name}"):
                rule = self._events.describe_rule(Name=name)
                targets = self._events.list_targets_by_rule(Rule=name)["Targets"]
        except NotFound:
            return None
        template = targets[0]["InputTransformer"]["InputTemplate"] if targets else "{}"
        when = rule.get("ScheduleExpression") or rule["EventPattern"]
        return Rule(why=why, when=when, template=template, paused=rule["State"] != "ENABLED")

    def put(self, workflow: str, rule: Rule) -> None:
        name = self._names.start_rule(workflow, rule.why)
        kind = "ScheduleExpression" if rule.why is Why.SCHEDULE else "EventPattern"
        with translated(f"Writing rule {name}"):
            self._events.put_rule(
                Name=name,
                Description=f"Starts the workflow '{workflow}' ({rule.why})",
                State="DISABLED" if rule.paused else "ENABLED",
                **{kind: rule.when},
            )
            answer = self._events.put_targets(Rule=name, Targets=[self._target(rule)])
        if answer["FailedEntryCount"]:
            told = answer["FailedEntries"][0].get("ErrorMessage", "")
            raise Unavailable(f"Rule {name} has no target: {told} Set it again.")

    def _target(self, rule: Rule) -> dict[str, Any]:
        return {
            "Id": START,
            "Arn": self._names.state_machine_arn(START),
            "RoleArn": self._names.role_arn(Role.SCHEDULER),
            "InputTransformer": {
                "InputPathsMap": {"id": "$.id", "time": "$.time"},
                "InputTemplate": rule.template,
            },
            "RetryPolicy": _RETRY,
        }

    def pause(self, workflow: str, why: Why, *, paused: bool) -> None:
        name = self._names.start_rule(workflow, why)
        change = self._events.disable_rule if paused else self._events.enable_rule
        with translated(f"Changing rule {name}"):
            change(Name=name)

    def remove(self, workflow: str, why: Why) -> None:
        name = self._names.start_rule(workflow, why)
        try:
            with translated(f"Removing rule {name}"):
                self._events.remove_targets(Rule=name, Ids=[START])
                self._events.delete_rule(Name=name)
        except NotFound:
            return


@dataclass
class MemoryRules:
    """A working fake."""

    stored: dict[tuple[str, Why], Rule] = field(default_factory=dict)

    def found(self, workflow: str) -> list[Rule]:
        return [self.stored[workflow, why] for why in Why if (workflow, why) in self.stored]

    def put(self, workflow: str, rule: Rule) -> None:
        self.stored[workflow, rule.why] = rule

    def pause(self, workflow: str, why: Why, *, paused: bool) -> None:
        self.stored[workflow, why] = self.stored[workflow, why].model_copy(
            update={"paused": paused}
        )

    def remove(self, workflow: str, why: Why) -> None:
        self.stored.pop((workflow, why), None)


class Step(BaseModel):
    """What is done to one rule, or would be."""

    model_config = ConfigDict(frozen=True)

    rule: Rule
    action: str
    """'create', 'change', 'remove' or 'keep'."""


def plan_rules(wanted: Sequence[Rule], found: Iterable[Rule]) -> list[Step]:
    """How to get from the rules that are to those that are wanted; what is paused stays paused."""
    there = {rule.why: rule for rule in found}
    steps = []
    for rule in wanted:
        old = there.pop(rule.why, None)
        action = "create" if old is None else "keep" if old.same_as(rule) else "change"
        paused = old is not None and old.paused
        steps.append(Step(rule=rule.model_copy(update={"paused": paused}), action=action))
    return [*steps, *(Step(rule=old, action="remove") for old in there.values())]


def carry_out(rules: Rules, workflow: str, steps: Iterable[Step]) -> None:
    """Do what was planned; safe to repeat when it was interrupted."""
    for step in steps:
        if step.action == "remove":
            rules.remove(workflow, step.rule.why)
        elif step.action != "keep":
            rules.put(workflow, step.rule)
