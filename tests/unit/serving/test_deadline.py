"""A limit on what a task awaits ends the waiting, and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from serving.deadline import TimeLimit


async def for_ever(seconds: float = 0.0) -> None:
    with TimeLimit(seconds):
        await asyncio.Event().wait()


async def test_what_takes_too_long_is_ended() -> None:
    with pytest.raises(TimeoutError):
        await for_ever()


async def test_the_task_goes_on_after_it_was_late() -> None:
    with pytest.raises(TimeoutError):
        await for_ever()
    await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_what_is_in_time_is_not_touched() -> None:
    with TimeLimit(60):
        await asyncio.sleep(0)


async def test_a_limit_that_was_kept_ends_nothing_later() -> None:
    with TimeLimit(0.0):
        pass
    await asyncio.sleep(0.01)


async def test_an_error_stays_what_it_is() -> None:
    with pytest.raises(KeyError), TimeLimit(60):
        raise KeyError


async def test_who_is_ended_by_others_is_not_late() -> None:
    task = asyncio.create_task(for_ever(60))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_of_two_limits_the_one_that_is_over_speaks() -> None:
    with TimeLimit(60), pytest.raises(TimeoutError):
        await for_ever()


async def test_the_outer_limit_ends_what_is_within_the_inner_one() -> None:
    with pytest.raises(TimeoutError), TimeLimit(0.0):
        await for_ever(60)
