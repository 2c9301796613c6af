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

    def refresh(self) -> bool:
        """Look once; blocking. Whether anything changed.

        Raises Unavailable, Refused when the prefix cannot be listed.
        """
        tags = self._documents.etags(self._prefix)
        if tags == self._tags:
            return False
        for key in set(self._tags) - set(tags):
            self.current.pop(self._name(key), None)
            self.problems.pop(self._name(key), None)
        self._tags = {key: tag for key, tag in self._tags.items() if key in tags}
        for key, tag in tags.items():
            if self._tags.get(key) != tag:
                self._read(key, tag)
        return True

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


def looking(looks: Sequence[Look], *, seconds: float) -> AbstractAsyncContextManager[None]:
    """Look now and then every `seconds`, until the context ends; failures are logged.

    In a thread of its own: what finds nothing leaves the event loop, and the requests that wait
    for it, alone.
    """

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        loop, ended = asyncio.get_running_loop(), threading.Event()

        def go() -> None:
            while not ended.wait(seconds):
                for one in looks:
                    if _looked(one) and one.follow is not None:
                        following = _attempt(one.follow, one.name)
                        asyncio.run_coroutine_threadsafe(following, loop).result()

        for one in looks:
            if await asyncio.to_thread(_looked, one) and one.follow is not None:
                await _attempt(one.follow, one.name)
        thread = threading.Thread(target=go, name="looking", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            await asyncio.to_thread(thread.join)

    return running()


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
