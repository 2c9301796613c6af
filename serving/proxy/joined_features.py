"""Requests that come at the same time are read and assembled together.

Those for one version that begin in the same turn of the event loop are one read of the store, and
where all of their features are plain, one piece of work until the model's input is there. A
request that is alone begins at the loop's next turn: nobody waits for others to come. What one
request gets is the same as if it had been alone, and no failure of its values is another's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from mlops.clock import Clock
from mlops.errors import Unavailable
from mlops.stores.online import FeatureRow
from serving.errors import FeaturesUnavailable
from serving.proxy.features import (
    Assembled,
    FloatMatrix,
    assemble,
    assemble_together,
    to_matrix,
    to_tensors,
)
from serving.proxy.instances import Instance
from serving.proxy.plain_features import FoundRows
from serving.proxy.served import ServedModel
from serving.tensors import Tensors


class _Together:
    """What was read for several requests."""

    def __init__(
        self, model: ServedModel, instances: Sequence[Instance], rows: FoundRows, requests: int
    ) -> None:
        self.model, self.instances, self.rows, self.requests = model, instances, rows, requests

    @cached_property
    def assembled(self) -> list[Assembled] | None:
        """Of all instances; None where one of them is not plain."""
        return assemble_together(self.model, self.instances, self.rows)

    @cached_property
    def matrix(self) -> FloatMatrix:
        """The model's input for all instances, where they are plain."""
        return to_matrix(self.assembled or ())


class Found:
    """What was read for one request."""

    def __init__(self, together: _Together, start: int, count: int) -> None:
        self._together = together
        self._place = slice(start, start + count)

    @property
    def rows(self) -> Sequence[FeatureRow]:
        """Of its instances alone."""
        together = self._together
        return self._own_rows if together.assembled is None else together.rows[self._place]

    @cached_property
    def _own_rows(self) -> FoundRows:
        together = self._together
        return together.rows if together.requests == 1 else together.rows.part(self._place)

    def assemble(self) -> list[Assembled]:
        """As `serving.proxy.features.assemble`, for its instances."""
        together = self._together
        if together.assembled is not None:
            return together.assembled[self._place]
        return assemble(together.model, together.instances[self._place], self._own_rows)

    def tensors(self, complete: Sequence[Assembled]) -> Tensors:
        """The model's input for those that are complete."""
        manifest, together = self._together.model.manifest, self._together
        if together.assembled is not None:
            return {manifest.graph_input: together.matrix[self._place]}
        return to_tensors(manifest, complete)


@dataclass(eq=False)
class _Gathered:
    """Requests for one version that are not read for yet."""

    model: ServedModel
    instances: list[Instance] = field(default_factory=list)
    waiting: list[tuple[int, int, asyncio.Future[Found]]] = field(default_factory=list)
    """Where each request's instances begin, how many they are, and who waits for them."""

    def add(self, instances: Sequence[Instance], done: asyncio.Future[Found]) -> None:
        self.waiting.append((len(self.instances), len(instances), done))
        self.instances += instances

    def leave(self, _: object) -> None:
        """Nobody answers these any more; those that were answered are not touched."""
        for _, _, done in self.waiting:
            done.cancel()


class JoinedFeatures:
    """Reads the features of requests, those of one turn together."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._gathered: dict[int, _Gathered] = {}
        """By the version's identity, until its turn."""
        self._reading: set[asyncio.Task[None]] = set()

    def read(self, model: ServedModel, instances: Sequence[Instance]) -> asyncio.Future[Found]:
        """Fails with FeaturesUnavailable where the store does not answer."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Found] = loop.create_future()
        gathered = self._gathered.get(id(model))
        if gathered is None:
            gathered = self._gathered[id(model)] = _Gathered(model)
            task = loop.create_task(self._read(gathered))
            self._reading.add(task)
            task.add_done_callback(self._reading.discard)
            task.add_done_callback(gathered.leave)
        gathered.add(instances, done)
        return done

    async def close(self) -> None:
        """Leave those that still wait."""
        self._gathered.clear()
        for task in tuple(self._reading):
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)

    async def _read(self, gathered: _Gathered) -> None:
        self._gathered.pop(id(gathered.model), None)
        await self._answer(gathered)

    async def _answer(self, gathered: _Gathered) -> None:
        model, waiting = gathered.model, gathered.waiting
        try:
            rows = await self._rows(model, gathered.instances)
        except Exception as error:  # noqa: BLE001 — it is raised to each of the requests
            if len(waiting) > 1 and not isinstance(error, FeaturesUnavailable):
                # One's values may be what cannot be read by: the others need not suffer for them.
                await asyncio.gather(*map(self._answer, _alone(gathered)))
                return
            for _, _, done in waiting:
                if not done.done():
                    done.set_exception(error)
            return
        together = _Together(model, gathered.instances, rows, len(waiting))
        for start, count, done in waiting:
            if not done.done():  # else its caller left
                done.set_result(Found(together, start, count))

    async def _rows(self, model: ServedModel, instances: Sequence[Instance]) -> FoundRows:
        columns = {
            name: [instance.entities[name] for instance in instances] for name in model.entity_names
        }
        try:
            tables = await model.reader.read_columns(columns, now=self._clock.now())
        except Unavailable as exc:
            raise FeaturesUnavailable(
                "The features cannot be read: the online store does not answer.",
                remedy="Try again after a second; operators find the cause in /readyz and the log.",
            ) from exc
        return FoundRows(tables, len(instances))


def _alone(gathered: _Gathered) -> list[_Gathered]:
    """The same requests, each by itself."""
    found = []
    for start, count, done in gathered.waiting:
        one = _Gathered(gathered.model)
        one.add(gathered.instances[start : start + count], done)
        found.append(one)
    return found
