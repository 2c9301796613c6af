"""Callers that go on asking while something happens, and every answer that they got."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.serving_examples import INSTANCE


@dataclass(frozen=True)
class Answered:
    """What one request came to."""

    at: float
    """When it was sent, by `time.monotonic`."""
    seconds: float
    status: int
    """0 where the connection was lost."""
    body: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """'scored', 'fallback', or the error's code."""
        if self.status != 200:
            return str(self.body["error"]["code"])
        (one,) = self.body["predictions"]
        return "fallback" if "fallback" in one else "scored"


@dataclass
class Load:
    """All requests of some callers, each over a connection of its own that it keeps."""

    answers: list[Answered] = field(default_factory=list)
    _done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def kinds(self) -> Counter[str]:
        return Counter(one.kind for one in self.answers)

    def since(self, moment: float) -> list[Answered]:
        return [one for one in self.answers if one.at >= moment]

    async def call(self, urls: Sequence[str], headers: Mapping[str, str]) -> None:
        """Ask the first that takes connections, as a load balancer does."""
        async with httpx.AsyncClient(timeout=10, headers=headers) as client:
            while not self._done.is_set():
                self.answers.append(await _ask(client, urls))

    def end(self) -> None:
        self._done.set()


async def _ask(client: httpx.AsyncClient, urls: Sequence[str]) -> Answered:
    began = time.monotonic()
    lost = {"error": {"code": "lost", "message": "no proxy takes connections"}}
    for url in urls:
        try:
            answer = await client.post(
                url + "/v1/models/fraud:predict", json={"instances": [INSTANCE]}
            )
        except httpx.ConnectError:
            continue
        except httpx.TransportError as exc:
            lost = {"error": {"code": "lost", "message": repr(exc)}}
            break
        return Answered(began, time.monotonic() - began, answer.status_code, answer.json())
    return Answered(began, time.monotonic() - began, 0, lost)


@asynccontextmanager
async def under_load(
    *urls: str, headers: Mapping[str, str], callers: int = 4
) -> AsyncIterator[Load]:
    """Callers that ask all the time; at the end each waits for its last answer."""
    load = Load()
    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(load.call(urls, headers))
        try:
            yield load
        finally:
            load.end()
