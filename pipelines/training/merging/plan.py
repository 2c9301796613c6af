"""What deploying a checkout's workflow would change, and what would start it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from pipelines.training.compiler import Compiled
from pipelines.training.deploy import difference
from pipelines.training.merging.due import SHOWN, Due
from pipelines.training.starting.rules import Step

Action = Literal["create", "change", "code", "keep", "refused", "gone"]
_SIGNS = {"create": "+", "change": "~", "remove": "-", "keep": "="}


class WorkflowPlan(BaseModel):
    """One workflow, as it is deployed and as it would be."""

    model_config = ConfigDict(frozen=True)

    workflow: str
    action: Action
    """'code' where the states are the same and the code that their jobs run is another; 'gone'
    where it is deployed, and the checkout has no such workflow."""
    problem: str = ""
    """Why it cannot be deployed, where it is refused."""
    states: int = 0
    jobs: tuple[str, ...] = ()
    """Those of its states that run something."""
    code_sha256: str | None = None
    deployed_sha256: str | None = None
    diff: str = ""
    """Of the states, with the code's hash left out; all of them where nothing is deployed."""
    rules: tuple[Step, ...] = ()
    """What would be done to the rules that start it by themselves."""
    due: Due | None = None
    """None for a workflow that trains no model."""


def plan_definition(
    compiled: Compiled, deployed: Mapping[str, Any] | None, deployed_sha256: str | None
) -> WorkflowPlan:
    """What the deployment of a compiled workflow would change.

    deployed: the state machine that is, with the code that its jobs run; None for none.
    """
    before = None if deployed is None else _without(deployed, deployed_sha256)
    diff = difference(before, _without(compiled.definition, compiled.code_sha256))
    if deployed is None:
        action: Action = "create"
    elif diff:
        action = "change"
    else:
        action = "keep" if deployed_sha256 == compiled.code_sha256 else "code"
    return WorkflowPlan(
        workflow=compiled.name,
        action=action,
        states=len(compiled.definition["States"]),
        jobs=tuple(_jobs(compiled.definition)),
        code_sha256=compiled.code_sha256,
        deployed_sha256=deployed_sha256,
        diff=diff,
    )


def _jobs(definition: Mapping[str, Any]) -> Iterator[str]:
    """In the end it is SageMaker or Batch that a state waits for."""
    for name, state in definition["States"].items():
        if ".sync" in state.get("Resource", ""):
            yield name


def _without(definition: Mapping[str, Any], code_sha256: str | None) -> dict[str, Any]:
    """Every change of code changes its hash in every job: that says nothing of the states."""
    text = json.dumps(definition)
    found: dict[str, Any] = json.loads(text.replace(code_sha256, "CODE") if code_sha256 else text)
    return found


def describe(plan: WorkflowPlan) -> Iterator[str]:
    """The plan in lines, for who reviews it."""
    if plan.action == "refused":
        yield f"REFUSED {plan.workflow}: {plan.problem}"
        return
    if plan.action == "gone":
        yield f"{plan.workflow}: {_gone(plan)}"
        return
    yield f"{plan.workflow}: {_change(plan)}"
    for step in plan.rules:
        yield f"  {_SIGNS[step.action]} starts by itself: {_rule(step)}"
    if plan.due is not None:
        yield f"  {plan.due.words}"
    if plan.action == "create" and plan.jobs:
        yield f"  jobs: {', '.join(plan.jobs)}"
    elif plan.action == "change":
        yield from (f"  {line}" for line in plan.diff.splitlines())


def _gone(plan: WorkflowPlan) -> str:
    told = "is deployed, and this checkout has no such workflow"
    if not plan.rules:
        return f"{told}; nothing starts it"
    whys = ", ".join(step.rule.why for step in plan.rules)
    stop = f"mlops workflows schedule remove {plan.workflow}"
    return f"{told}; it STILL STARTS by itself ({whys}). Stop it: {stop}"


def _change(plan: WorkflowPlan) -> str:
    before, after = (plan.deployed_sha256 or "none")[:SHOWN], (plan.code_sha256 or "")[:SHOWN]
    return {
        "create": f"new, {plan.states} states, code {after}",
        "change": f"its states change, code {before} → {after}",
        "code": f"the same states, code {before} → {after}",
        "keep": "unchanged",
    }[plan.action]


def _rule(step: Step) -> str:
    told = f"{step.rule.why}, {step.rule.words}"
    if step.rule.settings:
        told += f", with {json.dumps(dict(step.rule.settings))}"
    return told + (" (paused)" if step.rule.paused else "")
