"""Several inference endpoints as one: each behind a breaker, and one retry on another.

Scoring changes nothing, so whatever one replica does not answer another may be asked. A replica
that hangs costs a caller half of its time at most, and nothing once its breaker is open.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

from mlops.breaker import Breaker
from mlops.manifest import Manifest
from serving.deadline import Deadline, TimeLimit
from serving.errors import InferenceUnavailable
from serving.proxy.inference import Inference, NoAnswer, Scores
from serving.tensors import Tensors

Looked = TypeVar("Looked")
_FAIR_SECONDS = 0.005
"""Who gives up earlier than that, with no time left in a busy proxy, says nothing of a replica."""
_REMEDY = "Try again after a second; operators find the cause in the proxy's /readyz and log."


@dataclass(eq=False)
class Replica:
    """One endpoint, and how it did lately."""

    name: str
    inference: Inference
    breaker: Breaker
    under_way: int = 0
    silent_since: float | None = None
    """When the first of the requests began that were given up since its last answer."""

    def answered(self) -> None:
        self.breaker.succeeded()
        self.silent_since = None

    def given_up(self, began: float, patience: float) -> None:
        """Some give up early: silence counts against a replica when it lasts."""
        self.silent_since = began if self.silent_since is None else self.silent_since
        if time.monotonic() - self.silent_since >= patience:
            self.breaker.failed()


@dataclass(frozen=True)
class ReplicaLimits:
    """When a replica counts as gone."""

    failures: int = 5
    """Requests in a row without an answer."""
    pause_seconds: float = 0.5
    """How long it is not asked then; one request after that tries."""
    patience_seconds: float = 0.25
    """How long it may be silent to all requests before that counts as no answer."""
    look_seconds: float = 0.5
    """How long it may take to say which versions it holds."""


def build_replicas(
    ways: Iterable[tuple[str, Inference]], limits: ReplicaLimits
) -> tuple[Replica, ...]:
    """ways: the replicas' names, for messages and metrics, and the way to each."""
    return tuple(
        Replica(
            name,
            inference,
            Breaker(f"Inference at {name}", failures=limits.failures, pause=limits.pause_seconds),
        )
        for name, inference in ways
    )


@dataclass
class ReplicatedInference:
    """The replicas behind the port of one (`Inference`): the least busy is asked."""

    replicas: Sequence[Replica]
    limits: ReplicaLimits = field(default_factory=ReplicaLimits)
    observe: Callable[[str, str], None] = lambda _replica, _outcome: None
    """Called with a replica's name and 'answered', 'refused', 'lost' or 'silent'."""
    _turn: int = 0

    async def score(
        self,
        endpoint: str,
        version: int,
        manifest: Manifest,
        rows: Tensors,
        *,
        request_id: str,
        deadline: Deadline | None = None,
    ) -> Scores:
        def ask(replica: Replica, seconds: float | None) -> Awaitable[Scores]:
            until = None if deadline is None else deadline.within(seconds)
            return replica.inference.score(
                endpoint, version, manifest, rows, request_id=request_id, deadline=until
            )

        self._turn += 1
        first = self._choose()
        if first is None:
            raise InferenceUnavailable("No inference endpoint answers.", remedy=_REMEDY)
        left = None if deadline is None else deadline.remaining()
        half = left / 2 if left is not None and self._choose(but=first) else left
        try:
            return await self._attempt(first, ask, half)
        except InferenceUnavailable:
            second = self._choose(but=first)
            if second is None:
                raise
        left = None if deadline is None else deadline.remaining()
        return await self._attempt(second, ask, left)

    async def versions(self, endpoint: str) -> frozenset[int]:
        """Those that every replica holds of which there is an answer."""
        found = await self._look(lambda replica: replica.inference.versions(endpoint))
        return frozenset.intersection(*found)

    async def failure(self, endpoint: str, version: int) -> str:
        """What the first replica says that has one."""
        found = await self._look(lambda replica: replica.inference.failure(endpoint, version))
        return next(filter(None, found), "")

    async def ping(self) -> None:
        await self._look(lambda replica: replica.inference.ping())

    async def close(self) -> None:
        for replica in self.replicas:
            await replica.inference.close()

    def _choose(self, *, but: Replica | None = None) -> Replica | None:
        """The least busy one whose breaker lets us through; the next in turn among equals."""
        count, best = len(self.replicas), None
        for step in range(count):
            replica = self.replicas[(self._turn + step) % count]
            if replica is but or replica.breaker.is_open:
                continue
            if best is None or replica.under_way < best.under_way:
                best = replica
        return best

    async def _attempt(
        self,
        replica: Replica,
        ask: Callable[[Replica, float | None], Awaitable[Scores]],
        seconds: float | None,
    ) -> Scores:
        """seconds: after which it counts as silent; None waits as long as the caller does."""
        replica.breaker.enter()
        replica.under_way += 1
        began = time.monotonic()
        try:
            with nullcontext() if seconds is None else TimeLimit(seconds):
                scores = await ask(replica, seconds)
        except (TimeoutError, asyncio.CancelledError) as exc:
            if time.monotonic() - began >= _FAIR_SECONDS:
                replica.given_up(began, self.limits.patience_seconds)
            self.observe(replica.name, "silent")
            if isinstance(exc, asyncio.CancelledError):
                raise
            raise NoAnswer("Inference does not answer in time.", remedy=_REMEDY) from exc
        except NoAnswer:
            replica.breaker.failed()
            self.observe(replica.name, "lost")
            raise
        except InferenceUnavailable:
            replica.answered()
            self.observe(replica.name, "refused")
            raise
        finally:
            replica.under_way -= 1
        replica.answered()
        self.observe(replica.name, "answered")
        return scores

    async def _look(self, ask: Callable[[Replica], Awaitable[Looked]]) -> list[Looked]:
        """What those say that answer soon. Raises InferenceUnavailable where nobody does."""
        found = await asyncio.gather(*(self._glance(replica, ask) for replica in self.replicas))
        answers = [one for one in found if not isinstance(one, InferenceUnavailable)]
        if not answers:
            raise next(one for one in found if isinstance(one, InferenceUnavailable))
        return answers

    async def _glance(
        self, replica: Replica, ask: Callable[[Replica], Awaitable[Looked]]
    ) -> Looked | InferenceUnavailable:
        try:
            async with asyncio.timeout(self.limits.look_seconds):
                return await ask(replica)
        except InferenceUnavailable as exc:
            return exc
        except TimeoutError:
            return NoAnswer(f"Inference at {replica.name} is silent.", remedy=_REMEDY)
