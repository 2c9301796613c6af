"""Watching documents: what changed since the last look, and a loop that keeps looking."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import ValidationError

from mlops.deployment import PREFIX as DEPLOYMENTS
from mlops.deployment import Deployment
from mlops.errors import MlopsError, NotFound
from mlops.objects import Documents

log = logging.getLogger("serving.watching")

Parsed = TypeVar("Parsed")


class DocumentWatcher(Generic[Parsed]):
    """The documents under a prefix, parsed, and read again only when their tags change."""

    def __init__(self, documents: Documents, prefix: str, parse: Callable[[bytes], Parsed]) -> None:
        self._documents = documents
        self._prefix = prefix
        self._parse = parse
        self._tags: dict[str, str] = {}
        self.current: dict[str, Parsed] = {}
        """By name: the key without prefix and '.json'. What cannot be read stays as it was."""
        self.problems: dict[str, str] = {}
        self.changes = 0
        """How many documents came, changed or went so far: told once it is to be seen here."""

    def refresh(self) -> None:
        """Look once; blocking. Raises Unavailable, Refused when the prefix cannot be listed."""
        tags = self._documents.etags(self._prefix)
        for key in set(self._tags) - set(tags):
            self.current.pop(self._name(key), None)
            self.problems.pop(self._name(key), None)
            self.changes += 1
        self._tags = {key: tag for key, tag in self._tags.items() if key in tags}
        for key, tag in tags.items():
            if self._tags.get(key) != tag:
                self._read(key, tag)

    def _read(self, key: str, tag: str) -> None:
        name = self._name(key)
        try:
            self.current[name] = self._parse(self._documents.get(key).body)
            self.problems.pop(name, None)
        except NotFound:
            return
        except ValidationError as exc:
            self.problems[name] = f"{key} is not valid: {exc.error_count()} fields are wrong"
            log.exception("document refused", extra={"key": key})
        self._tags[key] = tag
        self.changes += 1

    def _name(self, key: str) -> str:
        return key.removeprefix(self._prefix).removesuffix(".json")


def watch_deployments(documents: Documents) -> DocumentWatcher[Deployment]:
    """Every endpoint's deployment, by the endpoint's name."""
    return DocumentWatcher(documents, DEPLOYMENTS, Deployment.model_validate_json)


@dataclass(frozen=True)
class Look:
    """What is looked at now and then."""

    name: str
    look: Callable[[], bool | None]
    """Blocking. Whether there is something to follow."""
    follow: Callable[[], Awaitable[None]] | None = None
    """Called on the event loop where there is."""


class Lookout(AbstractAsyncContextManager["Lookout"]):
    """Looks now and then every `seconds`, until the context ends; failures are logged.

    In a thread of its own: what finds nothing leaves the event loop, and the requests that wait
    for it, alone.
    """

    def __init__(self, looks: Sequence[Look], *, seconds: float) -> None:
        self._looks, self._seconds = looks, seconds
        self._ended = threading.Event()
        self._following: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._watch, name="lookout", daemon=True)

    async def __aenter__(self) -> Lookout:
        self._loop = asyncio.get_running_loop()
        for one in self._looks:
            if await asyncio.to_thread(_looked, one):
                await self._follow(one)
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ended.set()
        if self._following is not None:
            self._following.cancel()
        await asyncio.to_thread(self._thread.join)

    def _watch(self) -> None:
        while not self._ended.wait(self._seconds):
            for one in self._looks:
                if _looked(one):
                    asyncio.run_coroutine_threadsafe(self._follow(one), self._loop).result()

    async def _follow(self, one: Look) -> None:
        if one.follow is not None and not self._ended.is_set():
            self._following = asyncio.create_task(_attempt(one.follow, one.name), name=one.name)
            await asyncio.wait({self._following})


def _looked(one: Look) -> bool:
    try:
        return bool(one.look())
    except MlopsError as exc:
        log.warning("failed, will try again", extra={"work": one.name, "cause": str(exc)})
    except Exception:  # as in `_attempt`
        log.exception("failed unexpectedly, will try again", extra={"work": one.name})
    return False


def repeating(
    work: Callable[[], Awaitable[None]], *, seconds: float, name: str
) -> AbstractAsyncContextManager[None]:
    """Do `work` now and then every `seconds`, until the context ends; failures are logged."""

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        await _attempt(work, name)
        task = asyncio.create_task(_repeat(work, seconds, name), name=name)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return running()


async def _repeat(work: Callable[[], Awaitable[None]], seconds: float, name: str) -> None:
    while True:
        await asyncio.sleep(seconds)
        await _attempt(work, name)


async def _attempt(work: Callable[[], Awaitable[None]], name: str) -> None:
    try:
        await work()
    except MlopsError as exc:
        log.warning("failed, will try again", extra={"work": name, "cause": str(exc)})
    except Exception:  # a watcher that dies would freeze what is served
        log.exception("failed unexpectedly, will try again", extra={"work": name})
