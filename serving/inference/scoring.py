"""Running models for many callers at once: what waits together runs together.

A request that is alone runs at once. Requests for the same outputs of a model that arrive while
the event loop is busy, or while the model runs on every thread, are joined into one run: the batch
grows with the load by itself, and no request waits for others to come.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from mlops.errors import MlopsError
from serving.deadline import Deadline
from serving.errors import Overloaded
from serving.inference.metrics import InferenceMetrics
from serving.inference.model import LoadedModel
from serving.tensors import Tensor, Tensors

INLINE_SECONDS = 0.001
"""A run expected to be shorter stays on the event loop: a thread costs 40 to 80 µs more."""

Outcome = list[Tensor] | MlopsError


class _Waiting(NamedTuple):
    """A request that waits for its run."""

    tensors: Tensors
    rows: int
    since: float
    done: asyncio.Future[list[Tensor]]
    deadline: Deadline | None


@dataclass(eq=False)
class _Queue:
    """The requests for the same outputs of one model."""

    endpoint: str
    model: LoadedModel
    outputs: tuple[str, ...]
    waiting: list[_Waiting] = field(default_factory=list)
    running: int = 0
    """Threads that run it now."""

    def take(self, seconds: float) -> list[_Waiting]:
        """At least one, and more while all of them are expected to run within `seconds`; within
        what stays on the event loop, where the first one does: a thread would cost all of them
        more than joining them saves.

        None where nobody waits any more: who left, or cannot be answered in time, is not run.
        """
        now = time.monotonic()
        self.waiting = [one for one in self.waiting if self._is_worth_it(one, now)]
        if self.waiting and self.expected_seconds(self.waiting[:1]) <= INLINE_SECONDS:
            seconds = min(seconds, INLINE_SECONDS)
        room = seconds / max(self.model.seconds_per_row, 1e-9)
        totals = accumulate(one.rows for one in self.waiting)
        count = max(1, sum(1 for total in totals if total <= room))
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        return taken

    def _is_worth_it(self, one: _Waiting, now: float) -> bool:
        if one.done.done():  # the caller left
            return False
        late = one.deadline is not None and now + self.expected_seconds([one]) >= one.deadline.at
        if one.deadline is not None and late:
            one.done.set_exception(one.deadline.exceeded())
        return not late

    def expected_seconds(self, batch: Sequence[_Waiting]) -> float:
        return self.model.seconds_per_row * sum(one.rows for one in batch)


class Scorer:
    """Runs models: short runs on the event loop, long ones on a thread."""

    def __init__(
        self,
        metrics: InferenceMetrics,
        *,
        workers: int,
        batch_seconds: float = 0.005,
        max_waiting: int = 1_000,
    ) -> None:
        """batch_seconds: how long a joined run may be expected to take."""
        self._metrics = metrics
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="onnx")
        self._batch_seconds = batch_seconds
        self._max_waiting = max_waiting
        self._count = 0
        self._queues: dict[tuple[int, tuple[str, ...]], _Queue] = {}

    @property
    def waiting(self) -> int:
        """Requests that wait for a run, or run."""
        return self._count

    async def score(
        self,
        endpoint: str,
        model: LoadedModel,
        tensors: Tensors,
        outputs: tuple[str, ...],
        *,
        rows: int,
        deadline: Deadline | None = None,
    ) -> list[Tensor]:
        """The outputs, in their order.

        Raises Overloaded, DeadlineExceeded where its run would come too late, and MlopsError when
        the graph fails.
        """
        if self._count >= self._max_waiting:
            raise Overloaded(
                f"{self._count} requests wait for a model already.",
                remedy="Try again after a second, or start more replicas.",
            )
        loop = asyncio.get_running_loop()
        queue = self._queue(endpoint, model, outputs)
        if not queue.waiting:
            loop.call_soon(self._run_waiting, queue)
        one = _Waiting(tensors, rows, time.perf_counter(), loop.create_future(), deadline)
        queue.waiting.append(one)
        self._count += 1
        try:
            return await one.done
        finally:
            self._count -= 1

    def close(self) -> None:
        self._pool.shutdown(wait=True)

    def _queue(self, endpoint: str, model: LoadedModel, outputs: tuple[str, ...]) -> _Queue:
        key = (id(model), outputs)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = _Queue(endpoint, model, outputs)
        return queue

    def _run_waiting(self, queue: _Queue) -> None:
        while queue.waiting and queue.running < self._workers:
            batch = queue.take(self._batch_seconds)
            if not batch:
                break
            if queue.expected_seconds(batch) <= INLINE_SECONDS:
                self._answer(queue, batch, run_timed(queue.model, queue.outputs, batch))
                if queue.waiting:  # what was answered leaves first
                    asyncio.get_running_loop().call_soon(self._run_waiting, queue)
                    return
            else:
                queue.running += 1
                work = partial(run_timed, queue.model, queue.outputs, batch)
                ran = asyncio.get_running_loop().run_in_executor(self._pool, work)
                ran.add_done_callback(partial(self._ran, queue, batch))
        if not queue.waiting and not queue.running:
            # A model that is dropped must not be kept by its queue.
            self._queues.pop((id(queue.model), queue.outputs), None)

    def _ran(self, queue: _Queue, batch: Sequence[_Waiting], ran: asyncio.Future[_Ran]) -> None:
        queue.running -= 1
        self._answer(queue, batch, ran.result())
        self._run_waiting(queue)

    def _answer(self, queue: _Queue, batch: Sequence[_Waiting], ran: _Ran) -> None:
        self._observe(queue, batch, ran)
        for one, outcome in zip(batch, ran.outcomes, strict=True):
            if one.done.done():  # the caller left
                continue
            if isinstance(outcome, MlopsError):
                one.done.set_exception(outcome)
            else:
                one.done.set_result(outcome)

    def _observe(self, queue: _Queue, batch: Sequence[_Waiting], ran: _Ran) -> None:
        now, version = time.perf_counter(), str(queue.model.version)
        for one in batch:
            self._metrics.observe_run(
                queue.endpoint,
                version,
                rows=one.rows,
                seconds=now - one.since,
                waited=ran.started - one.since,
            )
        self._metrics.observe_batch(
            queue.endpoint,
            version,
            requests=len(batch),
            rows=sum(one.rows for one in batch),
            seconds=ran.ended - ran.started,
        )


class _Ran(NamedTuple):
    """What a run gave each request, and when it ran."""

    outcomes: list[Outcome]
    started: float
    ended: float


def run_timed(model: LoadedModel, outputs: Sequence[str], batch: Sequence[_Waiting]) -> _Ran:
    started = time.perf_counter()
    outcomes = run(model, outputs, batch)
    return _Ran(outcomes, started, time.perf_counter())


def run(model: LoadedModel, outputs: Sequence[str], batch: Sequence[_Waiting]) -> list[Outcome]:
    """One run for all of them; where that fails, each alone, so that each has its own outcome."""
    if len(batch) > 1:
        try:
            return _run_joined(model, outputs, batch)
        except MlopsError:
            return [_run_alone(model, outputs, one) for one in batch]
    return [_run_alone(model, outputs, one) for one in batch]


def _run_alone(model: LoadedModel, outputs: Sequence[str], one: _Waiting) -> Outcome:
    try:
        return model.run(one.tensors, outputs)
    except MlopsError as exc:
        return exc


def _run_joined(
    model: LoadedModel, outputs: Sequence[str], batch: Sequence[_Waiting]
) -> list[Outcome]:
    """Raises MlopsError when the graph fails, or an output does not have a row for each row."""
    joined = {name: np.concatenate([one.tensors[name] for one in batch]) for name in model.inputs}
    found = model.run(joined, outputs)
    ends = list(accumulate(one.rows for one in batch))
    if any(len(tensor) != ends[-1] for tensor in found):
        raise MlopsError(f"Model '{model.manifest.model}' does not answer row by row.")
    return [
        [tensor[end - one.rows : end] for tensor in found]
        for one, end in zip(batch, ends, strict=True)
    ]
