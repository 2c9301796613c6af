"""A rollout as a SageMaker endpoint takes it: what it can express, and what comes next. Pure.

SageMaker shifts the traffic of a blue/green deployment itself: at once, a canary and then the rest,
or in equal steps; alarms take it back. It cannot be stopped on its way, nor told whom to answer.
Source: https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-blue-green.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from mlops.deployment import Deployment, Rollout
from mlops.strategy import Bounds, Strategy

LARGEST = 50
"""Percent of the fleet that a canary or a step may be."""
SMALLEST_LINEAR = 10
LONGEST_WAIT = 3600
"""Seconds between two shifts of traffic."""
Act = Literal["nothing", "wait", "create", "update", "abort", "remove", "over", "back", "stuck"]


@dataclass(frozen=True)
class Hosted:
    """What SageMaker says of an endpoint; models by their names, times UTC."""

    status: str
    serves: str | None
    """The model that the endpoint's own configuration names."""
    pending: str | None
    """The one that an update moves to."""
    modified: datetime
    failure: str = ""

    @property
    def is_moving(self) -> bool:
        return self.status in {"Creating", "Updating", "RollingBack", "SystemUpdating", "Deleting"}


def next_act(
    deployment: Deployment, hosted: Hosted | None, wanted: str | None, *, tried: bool
) -> Act:
    """What brings the endpoint to its document.

    wanted: the model of the version on trial, else of the stable one. tried: an update to it was
    begun already, for this very revision.
    """
    if wanted is None:
        return "nothing" if hosted is None or hosted.is_moving else "remove"
    if hosted is None:
        return "create"
    if hosted.is_moving:
        leaves = hosted.status == "Updating" and hosted.pending not in (None, wanted)
        return "abort" if leaves else "wait"
    if hosted.serves == wanted:
        return "over" if deployment.rollout else "nothing"
    if tried or hosted.status == "Failed":
        return "back" if deployment.rollout else "stuck"
    return "update"


def unsupported(strategy: Strategy) -> str:
    """All that SageMaker cannot do of a strategy, and what to settle instead; '' for nothing."""
    found = []
    if strategy.shadow_seconds is not None:
        found.append("shadow_seconds: SageMaker has no shadow during a deployment; leave it out")
    if strategy.key is not None:
        found.append(f"key '{strategy.key}': SageMaker divides requests, not ids; leave it out")
    if strategy.steps and strategy.bake_seconds > LONGEST_WAIT:
        bake = f"bake_seconds {strategy.bake_seconds:.0f}"
        found.append(f"{bake}: SageMaker waits {LONGEST_WAIT} at most")
    if steps := _unsupported_steps(strategy.steps):
        found.append(steps)
    return "; ".join(found)


def _unsupported_steps(steps: Sequence[float]) -> str:
    percent = [100 * one for one in steps]
    if any(abs(one - round(one)) > 1e-6 for one in percent):
        return f"steps {_shown(steps)}: SageMaker takes whole percents"
    if not steps or (len(steps) == 1 and round(percent[0]) <= LARGEST):
        return ""
    first = round(percent[0])
    even = [first * n for n in range(1, len(steps) + 1)]
    whole = first * (len(steps) + 1) >= 100
    if [round(one) for one in percent] == even and SMALLEST_LINEAR <= first <= LARGEST and whole:
        return ""
    return (
        f"steps {_shown(steps)}: SageMaker takes one step of at most 0.5, or equal steps from 0.1 "
        "to 0.5 up to the whole, for example (0.25, 0.5, 0.75)"
    )


def _shown(steps: Sequence[float]) -> str:
    return f"({', '.join(f'{one:.4g}' for one in steps)})"


def routing(strategy: Strategy | None) -> dict[str, Any]:
    """TrafficRoutingConfiguration of a strategy that can be expressed."""
    if strategy is None or not strategy.steps:
        return {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
    size = {"Type": "CAPACITY_PERCENT", "Value": round(100 * strategy.steps[0])}
    wait = round(strategy.bake_seconds)
    if len(strategy.steps) == 1:
        return {"Type": "CANARY", "WaitIntervalInSeconds": wait, "CanarySize": size}
    return {"Type": "LINEAR", "WaitIntervalInSeconds": wait, "LinearStepSize": size}


def deployment_config(strategy: Strategy | None, alarms: Sequence[str]) -> dict[str, Any]:
    """DeploymentConfig; without a strategy all at once, which no alarm takes back."""
    shifts = len(strategy.steps) + 1 if strategy else 1
    longest = 1800 + shifts * (round(strategy.bake_seconds) if strategy else 0)
    policy = {
        "TrafficRoutingConfiguration": routing(strategy),
        "TerminationWaitInSeconds": 0,
        "MaximumExecutionTimeoutInSeconds": min(longest, 28_800),
    }
    config: dict[str, Any] = {"BlueGreenUpdatePolicy": policy}
    if strategy is not None:
        named = [{"AlarmName": name} for name in alarms]
        config["AutoRollbackConfiguration"] = {"Alarms": named}
    return config


def alarms_of(rollout: Rollout, endpoint: str, variant: str) -> list[Mapping[str, Any]]:
    """What takes a deployment back: PutMetricAlarm's parameters, the alarm of people last."""
    found = [_errors(rollout.strategy.bounds), _latency(rollout.strategy.bounds), _BY_HAND]
    dimensions = [
        {"Name": "EndpointName", "Value": endpoint},
        {"Name": "VariantName", "Value": variant},
    ]
    return [
        {**_ALARM, **alarm, "AlarmName": f"{endpoint}-{name}", "Dimensions": dimensions}
        for name, alarm in zip(ALARMS, found, strict=True)
        if alarm is not None
    ]


ALARMS = ("errors", "latency", "rollback")
BY_HAND = ALARMS[-1]
_ALARM: Mapping[str, Any] = {
    "Namespace": "AWS/SageMaker",
    "Period": 60,
    "EvaluationPeriods": 1,
    "ComparisonOperator": "GreaterThanThreshold",
    "TreatMissingData": "notBreaching",
}
_BY_HAND: Mapping[str, Any] = {
    "AlarmDescription": "Set by the platform to take a deployment back that must not go on",
    "Namespace": "MLOps",
    "MetricName": "TakenBackByHand",
    "Statistic": "Maximum",
    "Threshold": 0.0,
    # Nobody measures it: it stays what it was set to.
    "TreatMissingData": "ignore",
}


def _errors(bounds: Bounds) -> Mapping[str, Any]:
    return {
        "AlarmDescription": "More invocations fail than the model's bounds allow",
        "MetricName": "Invocation5XXErrors",
        "Statistic": "Average",
        "Threshold": bounds.failed_share,
    }


def _latency(bounds: Bounds) -> Mapping[str, Any] | None:
    """ModelLatency is in microseconds."""
    if bounds.latency_ms is None:
        return None
    return {
        "AlarmDescription": "95 % of invocations take longer than the model's budget",
        "MetricName": "ModelLatency",
        "ExtendedStatistic": "p95",
        "Threshold": bounds.latency_ms * 1000,
    }


NOT_WATCHED = ("score_shift", "latency_ratio", "min_answers")
"""Bounds that no metric of a SageMaker endpoint tells."""
