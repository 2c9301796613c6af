"""Canaries under load, on real processes: a good one takes over, a bad one is taken back.

Those that are slow or cannot be loaded are in tests/e2e/test_push.py.
The schedule's minute is cut to a fraction of a second, and the stages' minutes to seconds.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from infra.lambdas.rollouts import RolloutDriver
from infra.local.lifecycle import LocalAws
from mlops.clock import SystemClock
from mlops.deploying.endpoints import Endpoints
from mlops.deploying.history import read_history
from mlops.deploying.targets import ServiceTarget
from mlops.deployment import Deployment
from mlops.names import Role
from mlops.notices import MemoryNotices
from mlops.rollout import Approval, Change, roll_out
from mlops.strategy import ALL_AT_ONCE, Bounds, Strategy
from tests import trial_models
from tests.approvals import APPROVER
from tests.integration.serving.conftest import MLOPS, Stack, inherited, wait_for
from tests.local_aws import TRUST
from tests.serving_examples import build_manifest, publish

pytestmark = pytest.mark.xdist_group("rollouts")

PROXY_SETTINGS = {"MLOPS_PROXY_OBSERVE_SECONDS": "0.2"}
BOUNDS = Bounds(min_answers=60, latency_slack_ms=500, load_seconds=60)
CANARY = Strategy(steps=(0.3, 0.7), bake_seconds=1, key="terminal_id", bounds=BOUNDS)
LONGEST = 120
"""Seconds that a busy machine may need for what takes three."""


@dataclass
class Trials:
    """An endpoint whose approvals come from here, and what is told of it."""

    stack: Stack
    notices: MemoryNotices = field(default_factory=MemoryNotices)
    stands: list[Approval] = field(default_factory=list)

    @property
    def endpoints(self) -> Endpoints:
        return Endpoints(self.stack.documents)

    @property
    def deployment(self) -> Deployment:
        return self.endpoints.load("fraud")

    def approve(self, graph: bytes, strategy: Strategy = CANARY) -> int:
        number = len(self.stands) + 1
        manifest = build_manifest(self.stack.plan, graph, reference=trial_models.reference())
        documents = self.stack.documents
        made = publish(documents, manifest, graph, version=number, bucket=documents.bucket)
        self.stands.append(Approval(made.model_copy(update={"approval": number}), strategy))
        change = Change("fraud", "fraud", SystemClock().now(), APPROVER, "measured")
        self.endpoints.change("fraud", "decide", lambda now: roll_out(now, self.stands, change))
        return number

    async def end(self) -> Deployment:
        """Drive until nothing is on trial."""
        documents, who = self.stack.documents, "arn:platform"
        target = ServiceTarget(documents)
        driver = RolloutDriver(documents, self.notices, SystemClock(), target, who)
        deadline = time.monotonic() + LONGEST
        while (deployment := self.deployment).rollout is not None:
            assert time.monotonic() < deadline, self.deployment
            await asyncio.to_thread(driver.drive, lambda _: None)
            await asyncio.sleep(0.2)
        return deployment


@pytest.fixture(scope="module")
def trials(stack: Stack) -> Trials:
    """Version 1 stable and live."""
    trials = Trials(stack)
    trials.approve(trial_models.well(), ALL_AT_ONCE)
    wait_for(lambda: _live(stack) == 1, "version 1")
    return trials


def _live(stack: Stack) -> int | None:
    models = stack.state()["models"]
    return models["fraud"]["version"] if isinstance(models, dict) else None


@asynccontextmanager
async def asked(stack: Stack, callers: int = 3) -> AsyncIterator[list[dict[str, Any]]]:
    """Callers that ask all the time; what they were answered."""
    answers: list[dict[str, Any]] = []

    async def call(seed: int) -> None:
        chance = random.Random(seed)
        async with httpx.AsyncClient(headers=stack.headers, timeout=60) as client:
            while True:
                url = stack.proxy.url + "/v1/models/fraud:predict"
                body = {"instances": [trial_models.instance(chance)]}
                answers.append((await client.post(url, json=body)).json())

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(call(seed)) for seed in range(callers)]
        yield answers
        for task in tasks:
            task.cancel()


async def test_a_canary_that_keeps_its_bounds_takes_over_step_by_step(trials: Trials) -> None:
    async with asked(trials.stack) as answers:
        version = trials.approve(trial_models.well())
        deployment = await trials.end()
    assert deployment.stable is not None
    assert deployment.stable.version == version
    history = read_history(trials.stack.documents, "fraud")
    assert history.holds
    assert [entry.action for entry in history.entries[-3:]] == ["decide", "step", "take over"]
    assert "kept its bounds over" in deployment.reason
    assert not [answer for answer in answers if "error" in answer]


@pytest.mark.parametrize(
    ("graph", "strategy", "says"),
    [
        (trial_models.failing, CANARY, "answers failed (on_demand_failed"),
        (trial_models.odd, CANARY, "its scores differ from its reference"),
    ],
    ids=["failing", "odd"],
)
async def test_a_canary_that_leaves_its_bounds_is_taken_back_and_says_why(
    trials: Trials, graph: Any, strategy: Strategy, says: str
) -> None:
    before = trials.deployment.stable
    async with asked(trials.stack):
        version = trials.approve(graph(), strategy)
        deployment = await trials.end()
    assert (deployment.stable, deployment.canary) == (before, None)
    assert deployment.taken_back[0].version.version == version
    assert says in deployment.reason
    subject, facts = trials.notices.told[-1]
    assert (says in subject, facts["action"]) == (True, "take back")


@pytest.fixture
def operator(local_aws: LocalAws, stack: Stack) -> Iterator[dict[str, str]]:
    """The environment of somebody who operates endpoints."""
    iam = local_aws.client("iam")
    name = local_aws.names.role_name(Role.OPERATOR)
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    acting = local_aws.environment(Role.OPERATOR)
    keys = {key: value for key, value in acting.items() if key.startswith("AWS_")}
    yield stack.environment | {"MLOPS_CLOCK": "system"} | keys
    with suppress(iam.exceptions.NoSuchEntityException):
        iam.delete_role(RoleName=name)


async def test_a_rollback_is_live_within_five_seconds_and_fails_no_request(
    trials: Trials, operator: dict[str, str]
) -> None:
    version = trials.approve(trial_models.well(), ALL_AT_ONCE)
    await asyncio.to_thread(wait_for, lambda: _live(trials.stack) == version, "the new version")
    before = trials.deployment.history[0].version
    async with asked(trials.stack) as answers:
        began = time.monotonic()
        done = await asyncio.create_subprocess_exec(
            MLOPS,
            *("deploy", "rollback", "fraud", "--reason", "alerts doubled"),
            env=inherited() | operator,
            stdout=subprocess.PIPE,
        )
        told, _ = await done.communicate()
        assert f"serves version {before}" in told.decode()
        while not (answers and answers[-1].get("version") == before):
            assert time.monotonic() < began + LONGEST, answers[-1:]
            await asyncio.sleep(0.01)
        seconds = time.monotonic() - began
    sys.stdout.write(f"\nrollback: {seconds:.2f} s from the command to its first answer\n")
    assert not [answer for answer in answers if "error" in answer]
    assert {answer["version"] for answer in answers} == {before, version}
