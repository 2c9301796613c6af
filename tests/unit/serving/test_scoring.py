"""What waits together runs together, and each caller gets its own outcome."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.errors import MlopsError
from serving.deadline import Deadline
from serving.errors import DeadlineExceeded, Overloaded
from serving.inference.metrics import InferenceMetrics
from serving.inference.model import LoadedModel
from serving.inference.scoring import Scorer
from serving.tensors import BY_PROTOCOL, TensorSpec
from tests.serving_examples import build_manifest, build_plan, write_repo

FLOATS = BY_PROTOCOL["FP32"]


class Session:
    """Doubles numbers, fails on negative ones, and remembers how many rows each run had."""

    def __init__(self) -> None:
        self.runs: list[int] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def run(self, _outputs: Any, tensors: dict[str, Any]) -> list[Any]:
        self.go_on.wait(10)
        rows = tensors["X"]
        self.runs.append(len(rows))
        if (rows < 0).any():
            raise RuntimeError("negative")
        return [rows * 2]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., LoadedModel]:
    folder: Path = tmp_path_factory.mktemp("repo")
    manifest = build_manifest(build_plan(write_repo(folder)), b"")
    spec = {"X": TensorSpec("X", FLOATS, (-1, 1))}

    def made(session: Session, *, seconds_per_row: float = 0.0) -> LoadedModel:
        return LoadedModel(
            1, manifest, session, spec, {"Y": spec["X"]}, seconds_per_row=seconds_per_row
        )

    return made


def rows(*values: float) -> dict[str, Any]:
    return {"X": np.array(values, dtype=np.float32).reshape(-1, 1)}


def scorer(**options: Any) -> Scorer:
    return Scorer(InferenceMetrics(), **{"workers": 1} | options)


async def ask(scorer: Scorer, model: LoadedModel, *values: float) -> list[float]:
    (found,) = await scorer.score("m", model, rows(*values), ("Y",), rows=len(values))
    answer: list[float] = found.ravel().tolist()
    return answer


async def test_requests_of_one_moment_are_one_run(build: Any) -> None:
    session = Session()
    model, asked = build(session), scorer()
    found = await asyncio.gather(ask(asked, model, 1), ask(asked, model, 2, 3), ask(asked, model))
    assert list(found) == [[2], [4, 6], []]
    assert session.runs == [3]


async def test_requests_that_come_one_by_one_run_one_by_one(build: Any) -> None:
    session = Session()
    model, asked = build(session), scorer()
    assert [await ask(asked, model, n) for n in (1, 2)] == [[2], [4]]
    assert session.runs == [1, 1]


async def test_what_comes_while_the_model_runs_on_a_thread_is_joined(build: Any) -> None:
    session = Session()
    session.go_on.clear()
    model, asked = build(session, seconds_per_row=0.002), scorer(batch_seconds=1)
    first = asyncio.create_task(ask(asked, model, 1))
    await asyncio.sleep(0.01)
    others = [asyncio.create_task(ask(asked, model, n)) for n in (2, 3, 4)]
    await asyncio.sleep(0.01)
    session.go_on.set()
    assert await asyncio.gather(first, *others) == [[2], [4], [6], [8]]
    assert session.runs == [1, 3]


async def test_a_run_holds_no_more_than_is_expected_to_end_in_time(build: Any) -> None:
    session = Session()
    model, asked = build(session, seconds_per_row=0.0004), scorer(batch_seconds=0.001)
    await asyncio.gather(*(ask(asked, model, n) for n in range(5)))
    assert session.runs == [2, 2, 1]


async def test_short_requests_are_joined_up_to_what_needs_no_thread(build: Any) -> None:
    session = Session()
    model, asked = build(session, seconds_per_row=0.0004), scorer(batch_seconds=1)
    await asyncio.gather(*(ask(asked, model, n) for n in range(5)))
    assert session.runs == [2, 2, 1]


async def test_a_request_larger_than_the_bound_runs_alone(build: Any) -> None:
    session = Session()
    model, asked = build(session, seconds_per_row=0.0004), scorer(batch_seconds=0.001)
    assert await ask(asked, model, 1, 2, 3, 4) == [2, 4, 6, 8]


async def test_rows_that_the_graph_fails_on_fail_nobody_else(build: Any) -> None:
    session = Session()
    model, asked = build(session), scorer()
    good, bad = await asyncio.gather(
        ask(asked, model, 1), ask(asked, model, -1), return_exceptions=True
    )
    assert good == [2]
    assert isinstance(bad, MlopsError)
    assert "negative" in str(bad)


async def test_other_outputs_are_another_run(build: Any) -> None:
    session = Session()
    model, asked = build(session), scorer()
    await asyncio.gather(
        asked.score("m", model, rows(1), ("Y",), rows=1),
        asked.score("m", model, rows(1), ("Z",), rows=1),
    )
    assert session.runs == [1, 1]


async def test_one_more_than_may_wait_is_refused_at_once(build: Any) -> None:
    model, asked = build(Session()), scorer(max_waiting=2)
    found = await asyncio.gather(*(ask(asked, model, n) for n in range(3)), return_exceptions=True)
    assert found[:2] == [[0], [2]]
    assert isinstance(found[2], Overloaded)
    assert await ask(asked, model, 3) == [6]


async def test_a_caller_that_left_takes_nobody_with_it(build: Any) -> None:
    model, asked = build(Session()), scorer()
    leaving, staying = (asyncio.create_task(ask(asked, model, n)) for n in (1, 2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == [4]
    assert leaving.cancelled()


async def test_what_nobody_waits_for_any_more_is_not_run(build: Any) -> None:
    session = Session()
    model, asked = build(session), scorer()
    leaving, staying = (asyncio.create_task(ask(asked, model, n)) for n in (1, 2))
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
    assert session.runs == [1]


@pytest.mark.parametrize(
    ("timeout_ms", "seconds_per_row"), [(0.001, 0.0), (1000, 2.0)], ids=["over", "too short"]
)
async def test_a_run_that_would_come_too_late_is_refused_and_does_not_run(
    build: Any, timeout_ms: float, seconds_per_row: float
) -> None:
    session = Session()
    model, asked = build(session, seconds_per_row=seconds_per_row), scorer()
    deadline = Deadline.after(timeout_ms, since=time.monotonic())
    with pytest.raises(DeadlineExceeded):
        await asked.score("m", model, rows(1), ("Y",), rows=1, deadline=deadline)
    assert session.runs == []
    assert await ask(asked, build(session), 2) == [4]


@given(st.lists(st.lists(st.floats(0, 1000, width=16), max_size=5), min_size=1, max_size=20))
def test_everyone_gets_the_answer_to_their_own_rows(
    build: Callable[..., LoadedModel], requests: list[list[float]]
) -> None:
    async def all_at_once() -> list[list[float]]:
        model, asked = build(Session(), seconds_per_row=0.0004), scorer(batch_seconds=0.001)
        return await asyncio.gather(*(ask(asked, model, *values) for values in requests))

    assert asyncio.run(all_at_once()) == [[2 * value for value in one] for one in requests]
