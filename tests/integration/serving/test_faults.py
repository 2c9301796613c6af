"""Machines die, versions change and one caller misbehaves, under load: every request is counted.

`make soak` runs it with SOAK_SECONDS of load for each fault instead of about one, and on a machine
that does nothing else holds what comes back to two seconds.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager

import httpx
import psutil
import pytest
import redis

from mlops.deployment import Canary
from tests.integration.serving.conftest import START_SECONDS, Service, Stack, wait_for
from tests.integration.serving.load import Answered, Load, under_load
from tests.integration.serving.versions import expected_score, published, ship
from tests.ports import free_port
from tests.serving_examples import INSTANCE, deploy

pytestmark = pytest.mark.xdist_group("faults")

REPLICAS = 2
SOAKS = "SOAK_SECONDS" in os.environ
SECONDS = float(os.environ.get("SOAK_SECONDS", "0.7"))
"""Of load before and after a fault."""
BACK_SECONDS = 2.0 if SOAKS else START_SECONDS
"""After which all must be well again."""
RECENT = 20
"""Answers one after the other that tell how things are."""
REVISIONS = itertools.count(1_000)
"""Of deployments that settle: the version alone does not tell one from the one before it."""
TIMEOUT_MS = 250
LATE_SECONDS = 1.0 if SOAKS else 5.0
"""What the machine that runs the tests may add to the time that was allowed; who waits for what
does not come waits for ten."""


@pytest.fixture(autouse=True)
def well(stack: Stack) -> Iterator[None]:
    """Version 1 live, without a fallback; and everything runs again at the end."""
    _settle(stack)
    yield
    for service in (*stack.replicas, stack.proxy):
        if service.process is None or service.process.poll() is not None:
            service.start()
    _settle(stack)


def _settle(stack: Stack) -> None:
    revision = next(REVISIONS)
    ship(stack, 1, revision=revision)
    wait_for(lambda: _revision(stack) == revision, "version 1 as it is deployed here")
    wait_for(lambda: stack.proxy.status("/readyz") == 200, "the proxy")
    wait_for(lambda: all(r.status("/readyz") == 200 for r in stack.replicas), "both replicas")


def _revision(stack: Stack) -> int | None:
    models = stack.state()["models"]
    return models["fraud"]["revision"] if isinstance(models, dict) and "fraud" in models else None


@asynccontextmanager
async def asked(stack: Stack, **headers: str) -> AsyncIterator[Load]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with under_load(stack.proxy.url, headers=stack.headers | named) as load:
        await asyncio.sleep(SECONDS / 2)
        yield load


def in_time(load: Load) -> bool:
    return max(one.seconds for one in load.answers) < TIMEOUT_MS / 1000 + LATE_SECONDS


def is_well(answers: Sequence[Answered]) -> bool:
    """Scores again; what a busy machine makes late is no fault of what came back."""
    kinds = Counter(one.kind for one in answers)
    slow = kinds["deadline_exceeded"] + kinds["fallback"]
    return kinds["scored"] > 2 * slow and kinds["scored"] + slow == kinds.total()


async def stays_well(load: Load, since: float) -> bool:
    """Whether, once answers have become well again, those that follow are."""

    def returned() -> bool:
        recent = load.since(since)[-RECENT:]
        return len(recent) == RECENT and is_well(recent)

    await seen(returned, "scores")
    well = time.monotonic()
    await asyncio.sleep(SECONDS)
    return is_well(load.since(well))


async def seen(holds: Callable[[], bool], what: str) -> None:
    """Wait for it while the load goes on."""
    await asyncio.to_thread(wait_for, holds, what, BACK_SECONDS)


async def test_a_replica_that_is_killed_fails_no_request(stack: Stack) -> None:
    async with asked(stack) as load:
        await asyncio.to_thread(stack.replicas[1].stop, signal.SIGKILL)
        await asyncio.sleep(SECONDS)
    assert set(load.kinds) == {"scored"}
    (score,) = {one.body["predictions"][0]["score"] for one in load.answers}
    assert score == pytest.approx(expected_score(1), abs=1e-7)


async def test_a_replica_that_hangs_fails_no_request(stack: Stack) -> None:
    async with asked(stack, X_Request_Timeout_Ms="2000") as load:
        stack.replicas[1].terminate(signal.SIGSTOP)
        await asyncio.sleep(SECONDS)
        stack.replicas[1].terminate(signal.SIGCONT)
    assert set(load.kinds) == {"scored"}


@pytest.mark.parametrize(
    ("answering", "instead"),
    [
        pytest.param(
            None,
            None,
            marks=pytest.mark.skipif(
                "SOAK_SECONDS" not in os.environ, reason="one of the two is enough: make soak"
            ),
        ),
        (0.25, "fallback"),
    ],
)
async def test_without_inference_answers_come_in_time_and_scores_return_with_it(
    stack: Stack, answering: float | None, instead: str | None
) -> None:
    if answering is not None:
        ship(stack, 1, answering={"fallback_score": answering}, revision=2)
        wait_for(lambda: _revision(stack) == 2, "the fallback")
    async with asked(stack, X_Request_Timeout_Ms=str(TIMEOUT_MS)) as load:
        for replica in stack.replicas:
            await asyncio.to_thread(replica.stop, signal.SIGKILL)
        await asyncio.sleep(SECONDS)
        await asyncio.to_thread(stack.replicas[0].start)
        await asyncio.to_thread(_wait_ready, stack.replicas[0])
        assert await stays_well(load, time.monotonic())
    errors = {"inference_unavailable", "deadline_exceeded"}
    assert set(load.kinds) - errors - {"scored"} == ({instead} if instead else set())
    assert instead is None or not errors & set(load.kinds)
    assert {one.status for one in load.answers} <= {200, 503, 504}
    assert in_time(load)


def _wait_ready(replica: Service) -> None:
    wait_for(lambda: replica.status("/readyz") == 200, "inference")


async def test_redis_killed_and_started_again(stack: Stack) -> None:
    async with asked(stack, X_Request_Timeout_Ms=str(TIMEOUT_MS)) as load:
        assert stack.redis.process is not None
        stack.redis.process.kill()
        stack.redis.process.wait()
        await asyncio.sleep(SECONDS)
        await asyncio.to_thread(stack.restart_redis)
        assert await stays_well(load, time.monotonic())
    assert set(load.kinds) <= {"scored", "features_unavailable", "deadline_exceeded"}
    assert load.kinds["features_unavailable"]
    assert in_time(load)


async def test_a_redis_that_is_slow_makes_no_answer_late(stack: Stack) -> None:
    client = redis.Redis(port=stack.redis.port, password=stack.redis.password)
    async with asked(stack, X_Request_Timeout_Ms=str(TIMEOUT_MS)) as load:
        await asyncio.to_thread(client.client_pause, 900)
        await asyncio.sleep(0.9)
        assert await stays_well(load, time.monotonic())
    client.close()
    assert set(load.kinds) <= {"scored", "features_unavailable", "deadline_exceeded"}
    assert load.kinds["deadline_exceeded"]
    assert in_time(load)


async def test_a_canary_comes_and_goes_and_fails_nobody(stack: Stack) -> None:
    first, second = published(stack, 1), published(stack, 2)
    async with asked(stack) as load:
        canary = Canary(version=second, weight=0.999999, key="customer_id")
        deploy(stack.documents, first, canary=canary)
        there = await answering(load, 2)
        await asyncio.sleep(SECONDS)
        leaves = time.monotonic()
        deploy(stack.documents, first)
        gone = await answering(load, 1)
        await asyncio.sleep(SECONDS)
    assert set(load.kinds) == {"scored"}
    during = [one for one in load.since(there) if one.at + one.seconds < leaves]
    assert {one.body["version"] for one in during} == {2}
    assert {one.body["version"] for one in load.since(gone)} == {1}
    for one in load.answers:
        wanted = expected_score(one.body["version"])
        assert one.body["predictions"][0]["score"] == pytest.approx(wanted, abs=1e-7)


async def answering(load: Load, version: int) -> float:
    """From when on only this version answers what is asked."""

    def answers() -> bool:
        return bool(load.answers) and load.answers[-1].body.get("version") == version

    await seen(answers, f"version {version}")
    return time.monotonic()


async def test_a_broken_canary_and_a_broken_shadow_are_noticed_by_nobody(stack: Stack) -> None:
    first = published(stack, 1)
    broken = published(stack, 2).model_copy(update={"version": 3, "manifest_sha256": "0" * 64})
    async with asked(stack) as load:
        deploy(stack.documents, first, canary=Canary(version=broken, weight=0.5), shadow=broken)
        await seen(lambda: "inference has not loaded version 3: " in _problem(stack), "its problem")
        await asyncio.sleep(SECONDS)
    assert set(load.kinds) == {"scored"}
    assert {one.body["version"] for one in load.answers} == {1}
    assert "the version was registered with 000000000000" in _problem(stack)


def _problem(stack: Stack) -> str:
    """Of the canary, while a shadow is deployed beside it."""
    uses = stack.state()["models"]["fraud"].get("traffic", ())
    return str(uses[0].get("problem")) if len(uses) == 2 else ""


async def test_a_caller_that_holds_connections_sends_slowly_and_much_harms_nobody(
    stack: Stack,
) -> None:
    assert stack.proxy.process is not None
    process = psutil.Process(stack.proxy.process.pid)
    before = process.memory_info().rss
    async with asked(stack) as load:
        with ExitStack() as held:
            await asyncio.to_thread(_hold_connections, held, stack.proxy.port, 1000)
            sending = asyncio.create_task(_send_much(stack))
            await asyncio.sleep(SECONDS)
            grown = process.memory_info().rss - before
            status = await sending
    assert set(load.kinds) == {"scored"}
    assert status == 413
    assert grown < 100e6


def _hold_connections(held: ExitStack, port: int, count: int) -> None:
    """Half of them say nothing, half begin a request."""
    for number in range(count):
        one = held.enter_context(socket.create_connection(("127.0.0.1", port)))
        if number % 2:
            one.sendall(b"POST /v1/models/fraud:predict HTTP/1.1\r\nContent-Length: 900\r\n\r\n{")


async def _send_much(stack: Stack) -> int:
    """100 MB without saying so before; the status of the answer."""

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 1_000_000

    async with httpx.AsyncClient(timeout=30) as client:
        url = stack.proxy.url + "/v1/models/fraud:predict"
        return (await client.post(url, content=parts(), headers=stack.headers)).status_code


async def test_a_proxy_that_is_terminated_under_load_loses_no_request(stack: Stack) -> None:
    environment = stack.proxy.environment
    other = Service("proxy", free_port(), environment, stack.proxy.log.with_name("other.log"))
    await asyncio.to_thread(other.start)
    await asyncio.to_thread(wait_for, lambda: other.status("/readyz") == 200, "the other proxy")
    try:
        urls = (stack.proxy.url, other.url)
        async with under_load(*urls, headers=stack.headers) as load:
            await asyncio.sleep(SECONDS)
            code = await asyncio.to_thread(stack.proxy.stop)
            await asyncio.sleep(SECONDS)
    finally:
        await asyncio.to_thread(other.stop)
    assert [one.body for one in load.answers if one.kind != "scored"] == []
    assert code == 0


@pytest.mark.skipif("SOAK_MEMORY_SECONDS" not in os.environ, reason="takes minutes: make soak")
async def test_memory_stays_flat(stack: Stack) -> None:
    seconds = float(os.environ["SOAK_MEMORY_SECONDS"])
    services = [stack.proxy, *stack.replicas]
    async with asked(stack) as load:
        await asyncio.sleep(seconds / 5)
        before = [_rss(service.process) for service in services]
        load.answers.clear()
        await asyncio.sleep(seconds * 4 / 5)
        after = [_rss(service.process) for service in services]
        assert set(load.kinds) == {"scored"}
    assert all(late - early < 15e6 for early, late in zip(before, after, strict=True)), (
        f"bytes before {before}, after {after}"
    )


def _rss(process: subprocess.Popen[bytes] | None) -> int:
    assert process is not None
    return int(psutil.Process(process.pid).memory_info().rss)


def test_the_payment_of_the_load_is_one_that_scores(stack: Stack) -> None:
    answer = stack.predict(INSTANCE).json()
    assert answer["predictions"][0]["score"] == pytest.approx(expected_score(1), abs=1e-7)
