"""Requests on their way to inference are joined, and each gets its own answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from serving.errors import InferenceUnavailable
from serving.proxy.inference import NoAnswer, VersionGone
from serving.proxy.joined import JoinedInference

MANIFEST: Any = None
"""Handed through, never looked at."""


@dataclass
class Endpoint:
    """An inference endpoint that answers each row's first number, when it is let."""

    asked: list[tuple[int, list[float], str]] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    poison: float | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def score(
        self, endpoint: str, version: int, manifest: Any, rows: Any, *, request_id: str, **_: Any
    ) -> Any:
        first = rows["X"][:, 0]
        self.asked.append((version, first.tolist(), request_id))
        await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        if self.poison in first:
            raise InferenceUnavailable("Inference answered 500.")
        return first.astype(np.float64)

    async def versions(self, endpoint: str) -> frozenset[int]:
        return frozenset({1})

    async def failure(self, endpoint: str, version: int) -> str:
        return ""

    async def ping(self) -> None:
        raise InferenceUnavailable("not now")

    async def close(self) -> None:
        self.gate.set()


def rows(*values: float) -> Any:
    return {"X": np.array([[value, 0.0] for value in values], dtype=np.float32)}


def ask(joined: JoinedInference, *values: float, version: int = 1, name: str = "a") -> Any:
    return asyncio.ensure_future(
        joined.score("fraud", version, MANIFEST, rows(*values), request_id=name)
    )


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
def joined(endpoint: Endpoint) -> JoinedInference:
    return JoinedInference(endpoint)


async def test_a_request_that_is_alone_goes_out_at_once(
    joined: JoinedInference, endpoint: Endpoint
) -> None:
    asked = ask(joined, 1.0)
    await turns()
    assert endpoint.asked == [(1, [1.0], "a")]
    endpoint.gate.set()
    assert (await asked).tolist() == [1.0]


async def test_those_that_come_together_go_out_together_and_get_their_own(
    joined: JoinedInference, endpoint: Endpoint
) -> None:
    endpoint.gate.set()
    found = await asyncio.gather(
        ask(joined, 1.0), ask(joined, 2.0, 3.0, name="b"), ask(joined, 4.0, name="c")
    )
    assert [scores.tolist() for scores in found] == [[1.0], [2.0, 3.0], [4.0]]
    assert endpoint.asked == [(1, [1.0, 2.0, 3.0, 4.0], "a b c")]


async def test_versions_are_never_mixed(joined: JoinedInference, endpoint: Endpoint) -> None:
    endpoint.gate.set()
    await asyncio.gather(ask(joined, 1.0), ask(joined, 2.0, version=2))
    assert sorted(endpoint.asked) == [(1, [1.0], "a"), (2, [2.0], "a")]


async def test_those_that_come_while_one_is_under_way_are_gathered_until_it_is_answered(
    joined: JoinedInference, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.proxy.joined.WAIT_SECONDS", 60.0)
    first = ask(joined, 1.0)
    await turns()
    later = [ask(joined, 2.0), ask(joined, 3.0)]
    await turns()
    assert len(endpoint.asked) == 1
    endpoint.gate.set()
    await asyncio.gather(first, *later)
    assert [values for _, values, _ in endpoint.asked] == [[1.0], [2.0, 3.0]]


async def test_nobody_waits_long_for_what_is_under_way(
    joined: JoinedInference, endpoint: Endpoint
) -> None:
    first = ask(joined, 1.0)
    await turns()
    second = ask(joined, 2.0)
    await asyncio.sleep(0.02)
    assert len(endpoint.asked) == 2
    endpoint.gate.set()
    assert [s.tolist() for s in await asyncio.gather(first, second)] == [[1.0], [2.0]]


async def test_who_left_is_not_asked_for_and_the_others_are_answered(
    joined: JoinedInference, endpoint: Endpoint
) -> None:
    left, stayed = ask(joined, 1.0), ask(joined, 2.0)
    await asyncio.sleep(0)
    left.cancel()
    endpoint.gate.set()
    assert (await stayed).tolist() == [2.0]
    assert left.cancelled()


async def test_rows_that_cannot_be_scored_fail_their_own_request_only(
    joined: JoinedInference, endpoint: Endpoint
) -> None:
    endpoint.poison = 2.0
    endpoint.gate.set()
    asked = [ask(joined, value) for value in (1.0, 2.0, 3.0)]
    found: Any = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(found[1], InferenceUnavailable)
    assert [found[0].tolist(), found[2].tolist()] == [[1.0], [3.0]]


@pytest.mark.parametrize("error", [NoAnswer("silent"), VersionGone("gone")])
async def test_an_endpoint_that_is_gone_is_asked_once_for_all(
    joined: JoinedInference, endpoint: Endpoint, error: Exception
) -> None:
    endpoint.errors.append(error)
    endpoint.gate.set()
    asked = [ask(joined, value) for value in (1.0, 2.0)]
    found: Any = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one) for one in found] == [type(error)] * 2
    assert len(endpoint.asked) == 1


async def test_no_more_rows_are_joined_than_are_allowed(
    joined: JoinedInference, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.proxy.joined.MOST_ROWS", 3)
    endpoint.gate.set()
    await asyncio.gather(*(ask(joined, float(n), float(n)) for n in range(3)))
    assert [len(values) for _, values, _ in endpoint.asked] == [2, 2, 2]


async def test_nothing_is_kept_of_a_version_that_nobody_asks_for(
    joined: JoinedInference, endpoint: Endpoint
) -> None:
    endpoint.gate.set()
    await ask(joined, 1.0)
    await turns()
    assert joined._lines == {}


@pytest.mark.parametrize("begun", [0, 1, 5])
async def test_at_the_end_nobody_is_left_waiting(
    joined: JoinedInference, endpoint: Endpoint, begun: int
) -> None:
    first = ask(joined, 1.0)
    await turns(begun)
    second = ask(joined, 2.0)
    await asyncio.sleep(0)
    await joined.close()
    _, left = await asyncio.wait([first, second], timeout=1)
    assert not left
