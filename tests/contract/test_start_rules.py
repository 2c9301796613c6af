"""Rules that start workflows: what is put is found, in EventBridge as in the fake."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import pytest

from mlops.aws import Aws
from mlops.names import Names
from pipelines.training.starting.rules import (
    EventBridgeRules,
    MemoryRules,
    Rules,
    Why,
    wanted_rules,
)
from pipelines.training.starts import Starts
from tests.local_aws import unique

if TYPE_CHECKING:
    from tests.conftest import Clients

STARTS = Starts(schedule="cron(0 18 ? * SUN *)", new_data=("loans",), drift=True)
WANTED = wanted_rules("credit", STARTS, {"train_days": 14})
NAMES = Names(project="starts", env="dev", account="000000000000", region="ap-northeast-2")


def on_eventbridge(aws: Clients) -> Rules:
    class Given:
        client = staticmethod(aws)

    return EventBridgeRules(cast("Aws", Given()), NAMES)


@pytest.fixture(params=[lambda _: MemoryRules(), on_eventbridge], ids=["fake", "eventbridge"])
def rules(request: pytest.FixtureRequest, aws: Clients) -> Rules:
    made: Callable[[Clients], Rules] = request.param
    return made(aws)


@pytest.fixture
def model() -> str:
    return unique("m").replace("-", "")[:15]


def test_where_nothing_was_put_nothing_is_found(rules: Rules, model: str) -> None:
    assert rules.found(model) == []
    rules.remove(model, Why.DATA)


def test_what_is_put_is_found_as_it_was_put(rules: Rules, model: str) -> None:
    for rule in reversed(WANTED):
        rules.put(model, rule)
    assert rules.found(model) == WANTED


def test_what_is_put_again_is_replaced(rules: Rules, model: str) -> None:
    [first, *_] = WANTED
    [second, *_] = wanted_rules("credit", Starts(schedule="rate(1 day)"), {})
    rules.put(model, first)
    rules.put(model, second)
    assert rules.found(model) == [second]


def test_a_rule_is_paused_and_resumed_and_written_as_it_is(rules: Rules, model: str) -> None:
    [rule, *_] = WANTED
    rules.put(model, rule)
    rules.pause(model, rule.why, paused=True)
    [paused] = rules.found(model)
    assert paused == rule.model_copy(update={"paused": True})
    rules.put(model, paused)
    assert rules.found(model) == [paused]
    rules.pause(model, rule.why, paused=False)
    assert rules.found(model) == [rule]


def test_what_is_removed_is_gone_and_the_others_stay(rules: Rules, model: str) -> None:
    for rule in WANTED:
        rules.put(model, rule)
    rules.remove(model, Why.DATA)
    assert [rule.why for rule in rules.found(model)] == [Why.SCHEDULE, Why.DRIFT]
