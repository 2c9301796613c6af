"""One replica that goes is not noticed, and one that comes back is used again."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from serving.deadline import Deadline
from serving.errors import InferenceUnavailable
from serving.proxy.inference import NoAnswer, Scores, VersionGone
from serving.proxy.replicas import ReplicaLimits, ReplicatedInference, build_replicas

ROWS = {"X": np.zeros((1, 2), dtype=np.float32)}
MANIFEST: Any = None


@dataclass
class FakeReplica:
    """Answers with a score of its own, or as `how` says."""

    score_of: float
    how: Exception | None = None
    hangs: bool = False
    holds: frozenset[int] = frozenset({1})
    asked: int = 0
    left: list[float] = field(default_factory=list)
    """Seconds that it was given."""
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def score(self, *_: Any, deadline: Deadline | None = None, **__: Any) -> Scores:
        self.asked += 1
        if deadline is not None:
            self.left.append(deadline.remaining())
        await self._be()
        return np.array([self.score_of])

    async def versions(self, _: str) -> frozenset[int]:
        await self._be()
        return self.holds

    async def failure(self, endpoint: str, version: int) -> str:
        return ""

    async def ping(self) -> None:
        await self._be()

    async def close(self) -> None:
        self.release.set()

    async def _be(self) -> None:
        if self.hangs:
            await self.release.wait()
        if self.how is not None:
            raise self.how


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def replicated(
    *fakes: FakeReplica, clock: Clock | None = None, **limits: Any
) -> ReplicatedInference:
    chosen = ReplicaLimits(**limits)
    replicas = build_replicas([(f"r{n}", fake) for n, fake in enumerate(fakes)], chosen)
    for replica in replicas:
        replica.breaker.now = clock or Clock()
    return ReplicatedInference(replicas, chosen)


async def ask(inference: ReplicatedInference, timeout_ms: float | None = None) -> float:
    loop = asyncio.get_running_loop()
    deadline = None if timeout_ms is None else Deadline.after(timeout_ms, since=loop.time())
    scores = await inference.score("fraud", 1, MANIFEST, ROWS, request_id="", deadline=deadline)
    return float(scores[0])


async def test_requests_are_spread_over_the_replicas() -> None:
    inference = replicated(FakeReplica(0.0), FakeReplica(1.0))
    found = Counter([await ask(inference) for _ in range(10)])
    assert found == {0.0: 5, 1.0: 5}


async def test_the_least_busy_is_asked() -> None:
    busy, free = FakeReplica(0.0, hangs=True), FakeReplica(1.0)
    inference = replicated(busy, free)
    waiting = [asyncio.create_task(ask(inference)) for _ in range(2)]
    await asyncio.sleep(0)
    assert [await ask(inference) for _ in range(5)] == [1.0] * 5
    await inference.close()
    await asyncio.gather(*waiting)


@pytest.mark.parametrize(
    "how", [NoAnswer("gone"), VersionGone("loading"), InferenceUnavailable("answered 503")]
)
async def test_what_one_replica_does_not_answer_the_other_does(how: Exception) -> None:
    bad, good = FakeReplica(0.0, how), FakeReplica(1.0)
    inference = replicated(bad, good)
    assert [await ask(inference) for _ in range(20)] == [1.0] * 20
    assert bad.asked >= 1


async def test_a_request_is_tried_twice_at_most() -> None:
    fakes = [FakeReplica(0.0, NoAnswer("gone")) for _ in range(4)]
    with pytest.raises(NoAnswer):
        await ask(replicated(*fakes))
    assert sum(fake.asked for fake in fakes) == 2


async def test_a_replica_that_is_gone_is_not_asked_by_everyone() -> None:
    bad, good = FakeReplica(0.0, NoAnswer("gone")), FakeReplica(1.0)
    inference = replicated(bad, good, failures=3)
    for _ in range(50):
        await ask(inference)
    assert bad.asked == 3


async def test_a_replica_that_came_back_is_used_after_the_pause() -> None:
    clock = Clock()
    bad, good = FakeReplica(0.0, NoAnswer("gone")), FakeReplica(1.0)
    inference = replicated(bad, good, clock=clock, failures=1, pause_seconds=0.5)
    await ask(inference)
    await ask(inference)
    bad.how, clock.seconds = None, 0.6
    assert {await ask(inference) for _ in range(4)} == {0.0, 1.0}


async def test_refusals_do_not_make_a_replica_count_as_gone() -> None:
    full = FakeReplica(0.0, InferenceUnavailable("answered 503"))
    inference = replicated(full, FakeReplica(1.0), failures=3)
    for _ in range(20):
        await ask(inference)
    assert full.asked == 10


async def test_each_replica_is_told_how_long_it_has() -> None:
    bad, good = FakeReplica(0.0, NoAnswer("gone")), FakeReplica(1.0)
    inference = replicated(bad, good)
    while not bad.asked:
        await ask(inference, timeout_ms=60_000)
    assert 20 < bad.left[-1] <= 30
    assert 30 < good.left[-1] <= 60


async def test_all_gone_is_told_at_once() -> None:
    gone = FakeReplica(0.0, NoAnswer("gone"))
    inference = replicated(gone, failures=1)
    with pytest.raises(NoAnswer):
        await ask(inference)
    with pytest.raises(InferenceUnavailable, match="No inference endpoint answers"):
        await ask(inference)
    assert gone.asked == 1


async def test_a_replica_that_hangs_leaves_time_for_the_other() -> None:
    hanging, good = FakeReplica(0.0, hangs=True), FakeReplica(1.0)
    inference = replicated(hanging, good)
    async with asyncio.timeout(10):
        assert [await ask(inference, timeout_ms=40) for _ in range(3)] == [1.0] * 3
    assert hanging.asked >= 1


async def test_lasting_silence_makes_a_replica_count_as_gone() -> None:
    hanging, good = FakeReplica(0.0, hangs=True), FakeReplica(1.0)
    inference = replicated(hanging, good, failures=2, patience_seconds=0.0)
    for _ in range(20):
        await ask(inference, timeout_ms=20)
    assert hanging.asked == 2


async def test_callers_without_patience_do_not_make_a_replica_count_as_gone() -> None:
    slow = FakeReplica(0.0, hangs=True)
    inference = replicated(slow, FakeReplica(1.0), failures=1, patience_seconds=60)
    for _ in range(10):
        await ask(inference, timeout_ms=2)
    assert slow.asked == 5


async def test_a_version_is_held_where_every_replica_that_answers_holds_it() -> None:
    one = FakeReplica(0.0, holds=frozenset({1, 2}))
    two = FakeReplica(0.0, holds=frozenset({2, 3}))
    gone = FakeReplica(0.0, NoAnswer("gone"))
    assert await replicated(one, two, gone).versions("fraud") == {2}


async def test_silence_about_versions_is_not_waited_for() -> None:
    hanging = FakeReplica(0.0, hangs=True)
    inference = replicated(hanging, FakeReplica(0.0), look_seconds=0.01)
    assert await inference.versions("fraud") == {1}
    with pytest.raises(NoAnswer, match="r0 is silent"):
        await replicated(hanging, look_seconds=0.01).ping()
