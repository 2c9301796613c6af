"""Answers on a shared connection reach those who asked, however they are cut, known or parsed."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import hypothesis.strategies as st
from hypothesis import example, given

from mlops.stores.redis.shared import SharedConnection

KNOWN = b"*1\r\n$4\r\nknow\r\n"
OTHERS = (
    b"*1\r\n$4\r\nelse\r\n",
    b"*1\r\n$-1\r\n",
    b"*2\r\n$1\r\na\r\n$1\r\nb\r\n",
    b"-ERR no\r\n",
)


@dataclass
class Transport:
    """Takes what is written; what is answered is the test's."""

    written: list[bytes] = field(default_factory=list)

    def set_protocol(self, protocol: asyncio.Protocol) -> None:
        self.protocol = protocol

    def write(self, data: bytes) -> None:
        self.written.append(data)


@dataclass
class Pool:
    """One connection, as redis-py opens it."""

    transport: Transport = field(default_factory=Transport)

    def make_connection(self) -> Any:
        async def connect() -> None:
            pass

        return SimpleNamespace(
            connect=connect,
            _parser=SimpleNamespace(parse_error=ValueError),
            _writer=SimpleNamespace(transport=self.transport),
            _close=lambda: None,
        )


@dataclass
class Caller:
    """Asks for some answers, and knows those that are KNOWN, if it knows any."""

    count: int
    knows: bool

    def recognize(self, data: bytes | memoryview, start: int) -> tuple[int, list[Any]] | None:
        whole = KNOWN * self.count
        end = start + len(whole)
        return (end, ["known"] * self.count) if data[start:end] == whole else None


async def answered(
    callers: Sequence[Caller], answers: Sequence[bytes], cuts: Sequence[int]
) -> list[list[str]]:
    """What each caller got of Redis' answers, which come in pieces."""
    pool = Pool()
    shared = SharedConnection(SimpleNamespace(connection_pool=pool), timeout=5)  # type: ignore[arg-type]
    first = asyncio.ensure_future(shared.fetch(b"first", 1))
    await asyncio.sleep(0.001)
    protocol = pool.transport.protocol
    protocol.data_received(b"+OK\r\n")
    await first
    told: list[list[Any]] = [[] for _ in callers]
    for caller, mine in zip(callers, told, strict=True):
        recognize = caller.recognize if caller.knows else None
        assert shared.start(b"x", caller.count, partial(_told, mine), recognize)
    whole = b"".join(answers)
    ends = sorted({0, len(whole), *(cut % (len(whole) + 1) for cut in cuts)})
    for start, end in itertools.pairwise(ends):
        protocol.data_received(whole[start:end])
    shared.close()
    return [list(map(repr, one)) for (one,) in told]


def _told(mine: list[Any], answers: Any, error: Exception | None) -> None:
    assert error is None
    mine.append(answers)


async def test_what_is_asked_goes_out_before_answers_of_the_same_turn_are_handed_out() -> None:
    pool = Pool()
    shared = SharedConnection(SimpleNamespace(connection_pool=pool), timeout=5)  # type: ignore[arg-type]
    opening = asyncio.ensure_future(shared.fetch(b"first", 1))
    await asyncio.sleep(0.001)
    pool.transport.protocol.data_received(b"+OK\r\n")
    await opening
    seen = pool.transport.written
    shared.start(b"second", 1, lambda *_: seen.append(b"(answered)"))
    await asyncio.sleep(0)
    pool.transport.protocol.data_received(b"+OK\r\n")
    shared.start(b"third", 1, lambda *_: None)
    await asyncio.sleep(0.001)
    assert seen == [b"first", b"second", b"third", b"(answered)"]
    shared.close()


def parsed(answers: Sequence[bytes]) -> list[str]:
    texts = {KNOWN: "[b'know']", b"-ERR no\r\n": "ValueError('ERR no')"}
    texts |= dict(zip(OTHERS, ("[b'else']", "[None]", "[b'a', b'b']"), strict=False))
    return [texts[one] for one in answers]


calls = st.lists(
    st.tuples(
        st.lists(st.sampled_from((KNOWN, KNOWN, *OTHERS)), min_size=1, max_size=3), st.booleans()
    ),
    min_size=1,
    max_size=6,
)


@given(calls=calls, cuts=st.lists(st.integers(0, 400), max_size=4))
@example(calls=[([KNOWN], True), ([OTHERS[2]], True), ([KNOWN], True)], cuts=[14 + 11])
def test_each_caller_gets_its_own_answers_wherever_they_are_cut(
    calls: list[tuple[list[bytes], bool]], cuts: list[int]
) -> None:
    callers = [Caller(len(answers), knows) for answers, knows in calls]
    found = asyncio.run(answered(callers, [one for answers, _ in calls for one in answers], cuts))
    for (answers, knows), got in zip(calls, found, strict=True):
        is_known = knows and set(answers) == {KNOWN}
        assert got == parsed(answers) or (is_known and got == ["'known'"] * len(answers))


def test_answers_that_come_together_are_recognized_one_after_another() -> None:
    found = asyncio.run(answered([Caller(1, True), Caller(3, True)], [KNOWN] * 4, []))
    assert found == [["'known'"], ["'known'"] * 3]


def test_what_follows_an_answer_that_was_parsed_is_recognized_again() -> None:
    callers = [Caller(1, True), Caller(1, True)]
    cut = len(OTHERS[0])
    assert asyncio.run(answered(callers, [OTHERS[0], KNOWN], [cut])) == [["[b'else']"], ["'known'"]]
