"""What SageMaker can express of a rollout, and what brings its endpoint to the document."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.deploying.blue_green import (
    ALARMS,
    Act,
    Hosted,
    alarms_of,
    deployment_config,
    next_act,
    routing,
    unsupported,
)
from mlops.deployment import Deployment
from mlops.strategy import Bounds, Strategy
from tests.approvals import NOW
from tests.deploying import endpoint

ONE, TWO = "fraud-v1-a1", "fraud-v2-a2"


@pytest.mark.parametrize(
    ("strategy", "kind", "size"),
    [
        (Strategy(), "ALL_AT_ONCE", None),
        (Strategy(steps=(0.1,), bake_seconds=60), "CANARY", 10),
        (Strategy(steps=(0.5,), bake_seconds=60), "CANARY", 50),
        (Strategy(steps=(0.25, 0.5, 0.75), bake_seconds=60), "LINEAR", 25),
        (Strategy(steps=(0.34, 0.68), bake_seconds=60), "LINEAR", 34),
    ],
)
def test_steps_become_sagemakers_own(strategy: Strategy, kind: str, size: int | None) -> None:
    found = routing(strategy)
    assert unsupported(strategy) == ""
    assert found["Type"] == kind
    sizes = [found[name]["Value"] for name in ("CanarySize", "LinearStepSize") if name in found]
    assert sizes == ([size] if size else [])
    assert found["WaitIntervalInSeconds"] == (60 if size else 0)


@pytest.mark.parametrize(
    ("strategy", "named"),
    [
        (Strategy(shadow_seconds=60), "shadow_seconds"),
        (Strategy(steps=(0.1,), key="customer_id"), "key 'customer_id'"),
        (Strategy(steps=(0.1,), bake_seconds=3601), "bake_seconds 3601"),
        (Strategy(steps=(0.6,)), "steps (0.6)"),
        (Strategy(steps=(0.005,)), "whole percents"),
        (Strategy(steps=(0.05, 0.25, 0.5)), "steps (0.05, 0.25, 0.5)"),
        (Strategy(steps=(0.1, 0.2)), "steps (0.1, 0.2)"),
    ],
)
def test_what_it_cannot_do_is_named(strategy: Strategy, named: str) -> None:
    assert named in unsupported(strategy)


def test_all_that_it_cannot_do_is_named_at_once() -> None:
    told = unsupported(Strategy(steps=(0.6,), key="customer_id", bake_seconds=3601))
    assert [one.split(" ")[0] for one in told.split("; ")] == [
        "key",
        "leave",
        "bake_seconds",
        "steps",
    ]


@given(
    st.lists(st.integers(1, 99), max_size=9, unique=True).map(sorted),
    st.integers(0, 3600),
)
def test_what_is_supported_reaches_the_same_shares(percents: list[int], bake: int) -> None:
    strategy = Strategy(steps=tuple(one / 100 for one in percents), bake_seconds=bake)
    if unsupported(strategy):
        return
    found = routing(strategy)
    sized = found.get("CanarySize") or found.get("LinearStepSize") or {"Value": 100}
    first = sized["Value"]
    linear = found["Type"] == "LINEAR"
    shares = [*range(first, 100, first)] if linear else [first] if first < 100 else []
    assert shares == percents


def test_alarms_take_back_a_rollout_and_nothing_else() -> None:
    strategy = Strategy(steps=(0.1,), bounds=Bounds(failed_share=0.02, latency_ms=40))
    rollout = endpoint(1, trial=2, by=strategy).rollout
    assert rollout is not None
    alarms = alarms_of(rollout, "mlops-prod-fraud", "serving")
    names = [alarm["AlarmName"] for alarm in alarms]
    assert names == [f"mlops-prod-fraud-{name}" for name in ALARMS]
    assert [alarm["Threshold"] for alarm in alarms] == [0.02, 40_000, 0]
    taken_back = deployment_config(strategy, names)["AutoRollbackConfiguration"]
    assert [alarm["AlarmName"] for alarm in taken_back["Alarms"]] == names
    assert "AutoRollbackConfiguration" not in deployment_config(None, names)


def hosted(status: str = "InService", serves: str = ONE, pending: str | None = None) -> Hosted:
    return Hosted(status, serves, pending, NOW)


TRIAL = endpoint(1, trial=2)
STABLE = endpoint(2, 1)


@pytest.mark.parametrize(
    ("deployment", "seen", "wanted", "tried", "act"),
    [
        (TRIAL, None, TWO, False, "create"),
        (TRIAL, hosted("Creating"), TWO, False, "wait"),
        (TRIAL, hosted(), TWO, False, "update"),
        (TRIAL, hosted("Updating", pending=TWO), TWO, True, "wait"),
        (TRIAL, hosted("RollingBack", pending=TWO), TWO, True, "wait"),
        (TRIAL, hosted(), TWO, True, "back"),
        (TRIAL, hosted(serves=TWO), TWO, True, "over"),
        (STABLE, hosted(serves=TWO), TWO, True, "nothing"),
        (STABLE, hosted("Updating", serves=TWO, pending=ONE), TWO, False, "abort"),
        (STABLE, hosted(), TWO, False, "update"),
        (STABLE, hosted(), TWO, True, "stuck"),
        (STABLE, hosted("Failed"), TWO, False, "stuck"),
        (STABLE, hosted(), None, False, "remove"),
        (STABLE, None, None, False, "nothing"),
    ],
)
def test_one_act_brings_it_nearer(
    deployment: Deployment, seen: Hosted | None, wanted: Any, tried: bool, act: Act
) -> None:
    assert next_act(deployment, seen, wanted, tried=tried) == act
