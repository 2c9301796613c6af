"""Looking at documents: what finds nothing costs the event loop, and requests, nothing."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

import pytest

from mlops.errors import Unavailable
from mlops.objects import Document, MemoryDocuments
from serving.watching import DocumentWatcher, Look, Lookout

SECONDS = 0.001


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if holds():
            return
        await asyncio.sleep(SECONDS)
    raise AssertionError("not within 10 s")


async def test_what_finds_nothing_is_looked_at_in_another_thread_and_not_followed() -> None:
    threads, followed = list[int](), list[int]()

    def look() -> bool:
        threads.append(threading.get_ident())
        return False

    async def follow() -> None:
        followed.append(1)

    async with Lookout([Look("nothing", look, follow)], seconds=SECONDS):
        assert len(threads) == 1, "looked at before anything is served"
        await until(lambda: len(threads) > 3)
    assert threading.get_ident() not in threads
    assert not followed


async def test_what_is_found_is_followed_on_the_event_loop_before_the_next_look() -> None:
    happened = list[str]()

    def look() -> bool:
        happened.append("look")
        return len(happened) < 5

    async def follow() -> None:
        assert asyncio.get_running_loop() is loop
        await asyncio.sleep(10 * SECONDS)
        happened.append("followed")

    loop = asyncio.get_running_loop()
    async with Lookout([Look("found", look, follow)], seconds=SECONDS):
        await until(lambda: len(happened) > 6)
    assert happened[:7] == ["look", "followed", "look", "followed", "look", "look", "look"]


async def test_failures_are_logged_and_the_others_are_looked_at(
    caplog: pytest.LogCaptureFixture,
) -> None:
    looks = list[int]()

    def fails() -> bool:
        raise Unavailable("the bucket is away") if len(looks) % 2 else ValueError("unheard of")

    async def follow() -> None:
        raise Unavailable("inference is away")

    def found() -> bool:
        looks.append(1)
        return True

    caplog.set_level(logging.WARNING)
    async with Lookout([Look("one", fails), Look("two", found, follow)], seconds=SECONDS):
        await until(lambda: len(looks) > 3)
    causes = {getattr(record, "cause", record.exc_text) for record in caplog.records}
    assert {"the bucket is away", "inference is away"} < causes
    assert any("unheard of" in str(cause) for cause in causes)


async def test_nothing_is_looked_at_after_the_end() -> None:
    looks = list[int]()
    async with Lookout([Look("some", lambda: looks.append(1))], seconds=SECONDS):
        await until(lambda: len(looks) > 1)
    before = len(looks)
    await asyncio.sleep(20 * SECONDS)
    assert len(looks) == before


async def test_the_end_does_not_wait_for_what_is_still_followed() -> None:
    looks, following = list[int](), list[str]()

    def look() -> bool:
        looks.append(1)
        return len(looks) > 1

    async def follow() -> None:
        following.append("begun")
        try:
            await asyncio.sleep(1000)
        finally:
            following.append("ended")

    async with Lookout([Look("slow", look, follow)], seconds=SECONDS):
        await until(lambda: len(following) == 1)
    assert following == ["begun", "ended"]


class Away(MemoryDocuments):
    """One document of it cannot be read for a while."""

    key: str | None = None

    def get(self, key: str) -> Document:
        if key == self.key:
            raise Unavailable(f"{key} is away")
        return super().get(key)


def test_a_watcher_counts_what_changed() -> None:
    documents = MemoryDocuments()
    watcher = DocumentWatcher(documents, "numbers/", int)

    def changes() -> int:
        before = watcher.changes
        watcher.refresh()
        return watcher.changes - before

    assert changes() == 0
    documents.put("numbers/one.json", b"1")
    assert (changes(), changes()) == (1, 0)
    documents.put("numbers/one.json", b"2")
    assert (changes(), changes()) == (1, 0)
    assert watcher.current == {"one": 2}
    documents.delete("numbers/one.json")
    assert (changes(), changes()) == (1, 0)
    assert not watcher.current


def test_what_changed_is_counted_though_the_look_failed() -> None:
    documents = Away()
    for name in ("one", "two"):
        documents.put(f"numbers/{name}.json", b"1")
    watcher, documents.key = DocumentWatcher(documents, "numbers/", int), "numbers/two.json"
    with pytest.raises(Unavailable):
        watcher.refresh()
    assert watcher.current == {"one": 1}
    assert watcher.changes == 1
