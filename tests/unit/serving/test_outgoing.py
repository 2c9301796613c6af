"""Answers of one turn go out in pairs, and none of them is kept for longer than that turn."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from serving.proxy.outgoing import Outgoing

SMALL, LARGE = 1_000, 100_000


async def test_one_alone_goes_out_in_the_next_turn() -> None:
    outgoing, sent = Outgoing(), list[int]()
    outgoing.add(partial(sent.append, 1), SMALL)
    assert sent == []
    await asyncio.sleep(0)
    assert sent == [1]


async def test_the_second_takes_the_first_with_it() -> None:
    outgoing, sent = Outgoing(), list[int]()
    seen = []
    for number in range(5):
        outgoing.add(partial(sent.append, number), SMALL)
        seen.append(list(sent))
    assert seen == [[], [0, 1], [0, 1], [0, 1, 2, 3], [0, 1, 2, 3]]
    await asyncio.sleep(0)
    assert sent == [0, 1, 2, 3, 4]


async def test_a_large_one_waits_for_nobody_and_takes_what_is_held() -> None:
    outgoing, sent = Outgoing(), list[int]()
    outgoing.add(partial(sent.append, 1), LARGE)
    assert sent == [1]
    outgoing.add(partial(sent.append, 2), SMALL)
    outgoing.add(partial(sent.append, 3), LARGE)
    assert sent == [1, 2, 3]
    await asyncio.sleep(0)
    assert sent == [1, 2, 3]


async def test_one_that_fails_leaves_the_others_theirs() -> None:
    outgoing, sent = Outgoing(), list[int]()

    def fail() -> None:
        raise OSError("its line cannot be written")

    outgoing.add(fail, SMALL)
    with pytest.raises(OSError, match="its line"):
        outgoing.add(partial(sent.append, 1), SMALL)
    outgoing.add(partial(sent.append, 2), SMALL)
    await asyncio.sleep(0)
    assert sent == [1, 2]
