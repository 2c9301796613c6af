"""Looking at running processes: what each said when it was asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import httpx

from serving.live.samples import Samples, parse_samples

_PATIENCE_SECONDS = 2.0


class Part(StrEnum):
    """Which of the two services a process is."""

    PROXY = "proxy"
    INFERENCE = "inference"


@dataclass(frozen=True)
class Replica:
    """A process, by its address."""

    part: Part
    url: str


@dataclass(frozen=True)
class Look:
    """What a replica said at a moment."""

    replica: Replica
    at: float
    """Seconds of a clock that only runs forward."""
    samples: Samples
    problems: tuple[str, ...] = ()
    """Why it said nothing or is not ready, and what it could not load or switch to."""
    answers: bool = True
    ready: bool = True


async def look_at(client: httpx.AsyncClient, replicas: Sequence[Replica]) -> list[Look]:
    """Ask all of them at once; one that does not answer is told of, not raised."""
    return list(await asyncio.gather(*(_look(client, replica) for replica in replicas)))


async def _look(client: httpx.AsyncClient, replica: Replica) -> Look:
    try:
        metrics, ready = await asyncio.gather(
            client.get(f"{replica.url}/metrics", timeout=_PATIENCE_SECONDS),
            client.get(f"{replica.url}/readyz", timeout=_PATIENCE_SECONDS + 1),
        )
        metrics.raise_for_status()
        samples = parse_samples(metrics.text)
        problems = read_problems(ready.json())
        return Look(replica, time.monotonic(), samples, problems, ready=ready.is_success)
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        said = f"no answer ({type(exc).__name__})"
    except ValueError as exc:
        said = f"no such service there: {exc}"
    return Look(replica, time.monotonic(), Samples({}), (said,), answers=False, ready=False)


def read_problems(said: Any) -> tuple[str, ...]:
    """What a readiness answer of either service complains about."""
    if not isinstance(said, dict):
        return ()
    parts = ("redis", "inference", "api_keys")
    wrong = [f"{part}: {said[part]}" for part in parts if said.get(part, "ok") != "ok"]
    models = said.get("models")
    if isinstance(models, str):
        wrong.append(models)
    elif isinstance(models, dict):
        for name, model in models.items():
            wrong += _of_model(name, model)
    return tuple(wrong)


def _of_model(name: str, said: Any) -> Iterator[str]:
    if not isinstance(said, dict):
        return
    failed = said.get("failed") or {}
    yield from (f"{name} {version} is not loaded: {why}" for version, why in failed.items())
    if said.get("problem"):
        yield f"{name}: {said['problem']}"
    elif not said.get("ready") and not failed:
        yield f"{name} is not ready"
