"""Nobody waits for a shadow, and nobody fails with it."""

from __future__ import annotations

import asyncio
from typing import NoReturn

import pytest

from serving.errors import InferenceUnavailable, Overloaded
from serving.proxy.admission import Admission
from serving.proxy.shadow import Shadows


def shadows(most: int = 2, seconds: float = 10.0) -> Shadows:
    return Shadows(most, seconds, Admission(100))


async def nothing() -> None: ...


async def forever() -> None:
    await asyncio.Event().wait()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_it_runs_after_the_answer() -> None:
    seen: list[str] = []
    shadows().offer("fraud", 1.0, nothing, seen.append)
    assert seen == []
    await settled()
    assert seen == ["scored"]


async def test_a_share_is_that_part_of_the_requests() -> None:
    seen: list[str] = []
    some = shadows()
    for _ in range(40):
        some.offer("fraud", 0.25, nothing, seen.append)
        await settled()
    assert seen == ["scored"] * 10


async def test_more_than_may_run_are_dropped() -> None:
    seen: list[str] = []
    some = shadows(most=2)
    for _ in range(5):
        some.offer("fraud", 1.0, forever, seen.append)
    assert seen == ["dropped"] * 3
    await some.close()


async def test_a_busy_proxy_drops_them_first() -> None:
    seen: list[str] = []
    some = shadows()
    some.admission.under_way = 26
    some.offer("fraud", 1.0, nothing, seen.append)
    assert seen == ["dropped"]


@pytest.mark.parametrize(
    ("error", "told"),
    [(InferenceUnavailable("gone"), "inference_unavailable"), (ZeroDivisionError(), "internal")],
)
async def test_what_fails_is_counted_and_harms_nobody(error: Exception, told: str) -> None:
    async def fail() -> NoReturn:
        raise error

    seen: list[str] = []
    shadows().offer("fraud", 1.0, fail, seen.append)
    await settled()
    assert seen == [told]


async def test_one_that_hangs_is_given_up() -> None:
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    shadows(seconds=0.001).offer("fraud", 1.0, forever, told.set_result)
    assert await asyncio.wait_for(told, 5) == "deadline_exceeded"


def test_more_requests_than_may_be_under_way_are_refused_at_once() -> None:
    admission = Admission(1)
    with admission.entry(), pytest.raises(Overloaded), admission.entry():
        pass
    with admission.entry():
        assert admission.under_way == 1
