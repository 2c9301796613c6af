"""Callers that ask for scores at the same time share one request to inference.

A request that is alone goes out at the event loop's next turn. While one is under way, those that
come are gathered until it is answered, for half a millisecond at most: so what is joined grows with
the load, and nobody waits for others to come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from mlops.manifest import Manifest
from serving.deadline import Deadline
from serving.proxy.inference import Inference, NoAnswer, Scores, VersionGone
from serving.spans import context_of_one, traced_context
from serving.tensors import Tensors, count_rows

WAIT_SECONDS = 0.0005
MOST_REQUESTS, MOST_ROWS = 64, 1000
"""What is joined at most."""


class _Waiting(NamedTuple):
    rows: Tensors
    request_id: str
    deadline: Deadline | None
    done: asyncio.Future[Scores]
    context: Context | None
    """Of who asks, where the request is traced."""


@dataclass(eq=False)
class _Line:
    """Those who ask for scores of one version."""

    endpoint: str
    version: int
    manifest: Manifest
    waiting: list[_Waiting] = field(default_factory=list)
    under_way: int = 0
    timer: asyncio.TimerHandle | asyncio.Handle | None = None

    def take(self) -> list[_Waiting]:
        """All that wait, up to a number of rows, and at least one; who left is left out."""
        waiting = [one for one in self.waiting if not one.done.done()]
        totals = accumulate(count_rows(one.rows) for one in waiting[:MOST_REQUESTS])
        count = max(1, sum(1 for total in totals if total <= MOST_ROWS))
        self.waiting = waiting[count:]
        return waiting[:count]


class JoinedInference:
    """Joins requests on their way to one endpoint (`Inference`)."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference
        self._lines: dict[tuple[str, int], _Line] = {}
        self._sent: set[asyncio.Task[None]] = set()

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
        line = self._lines.get((endpoint, version))
        if line is None:
            line = self._lines[endpoint, version] = _Line(endpoint, version, manifest)
        loop = asyncio.get_running_loop()
        one = _Waiting(rows, request_id, deadline, loop.create_future(), traced_context())
        line.waiting.append(one)
        if line.timer is None:
            if line.under_way:
                line.timer = loop.call_later(WAIT_SECONDS, self._send, line)
            else:
                line.timer = loop.call_soon(self._send, line)
        return await one.done

    async def versions(self, endpoint: str) -> frozenset[int]:
        return await self._inference.versions(endpoint)

    async def failure(self, endpoint: str, version: int) -> str:
        return await self._inference.failure(endpoint, version)

    async def ping(self) -> None:
        await self._inference.ping()

    async def close(self) -> None:
        """Leave those that still wait, whether or not their request is under way."""
        for line in self._lines.values():
            _leave(line.waiting)
        for task in tuple(self._sent):
            task.cancel()
        await self._inference.close()

    def _send(self, line: _Line) -> None:
        if line.timer is not None:
            line.timer.cancel()
            line.timer = None
        while batch := line.take():
            line.under_way += 1
            context = context_of_one(one.context for one in batch)
            task = asyncio.get_running_loop().create_task(
                self._answer(line, batch), context=context
            )
            self._sent.add(task)
            task.add_done_callback(partial(self._asked, line, batch))

    def _asked(self, line: _Line, batch: list[_Waiting], task: asyncio.Task[None]) -> None:
        """Called whether or not the task came to begin."""
        self._sent.discard(task)
        line.under_way -= 1
        _leave(batch)
        if line.waiting:
            self._send(line)
        elif not line.under_way:
            # A version that is gone must not be kept by its line.
            self._lines.pop((line.endpoint, line.version), None)

    async def _answer(self, line: _Line, batch: list[_Waiting]) -> None:
        try:
            scores = await self._inference.score(
                line.endpoint,
                line.version,
                line.manifest,
                join_rows([one.rows for one in batch]),
                request_id=" ".join([one.request_id for one in batch]),
                deadline=_latest(batch),
            )
        except Exception as error:  # noqa: BLE001 — it is raised to each of the callers
            if len(batch) > 1 and not isinstance(error, (NoAnswer, VersionGone)):
                # One's rows may be what it cannot score: the others need not suffer for them.
                await asyncio.gather(*(self._answer(line, [one]) for one in batch))
            else:
                _fail(batch, error)
        else:
            _share(batch, scores)


def _latest(batch: list[_Waiting]) -> Deadline | None:
    """When nobody of them waits any more; who has less time leaves before."""
    deadlines = [one.deadline for one in batch if one.deadline is not None]
    return max(deadlines, key=lambda one: one.at) if len(deadlines) == len(batch) else None


def join_rows(rows: Sequence[Tensors]) -> Tensors:
    """The rows of all, in order."""
    if len(rows) == 1:
        return rows[0]
    return {name: np.concatenate([tensors[name] for tensors in rows]) for name in rows[0]}


def _leave(batch: Sequence[_Waiting]) -> None:
    """Nobody answers these any more; those that were answered are not touched."""
    for one in batch:
        one.done.cancel()


def _fail(batch: list[_Waiting], error: Exception) -> None:
    for one in batch:
        if not one.done.done():
            one.done.set_exception(error)


def _share(batch: list[_Waiting], scores: Scores) -> None:
    start = 0
    for one in batch:
        end = start + count_rows(one.rows)
        if not one.done.done():
            one.done.set_result(scores[start:end])
        start = end
