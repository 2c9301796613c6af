"""The board of two real services tells what they did, and what is wrong with them."""

from __future__ import annotations

import io
from collections.abc import Sequence

import httpx
import pytest
from rich.console import Console

from mlops.errors import Unavailable
from serving.live.board import Board, build_board
from serving.live.looks import Look, Part, Replica, look_at, read_problems
from serving.live.table import build_lines, build_tables
from tests.serving_examples import INSTANCE
from tests.serving_processes import Services

PROXY, INFERENCE = Replica(Part.PROXY, "http://proxy"), Replica(Part.INFERENCE, "http://inference")
NOBODY = Replica(Part.INFERENCE, "http://nobody")


async def look(services: Services, replicas: Sequence[Replica] = (PROXY, INFERENCE)) -> list[Look]:
    mounts = {
        "http://proxy": services.proxy._transport,
        "http://inference": services.inference._transport,
        "http://nobody": httpx.MockTransport(refuse),
    }
    return await look_at(httpx.AsyncClient(mounts=mounts), replicas)


def refuse(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


def shown(board: Board, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(build_tables(board, width=width))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


async def test_a_version_is_shown_with_what_it_answered(services: Services) -> None:
    await services.predict()
    before = await look(services)
    for _ in range(3):
        await services.predict(INSTANCE, INSTANCE)
    board = build_board(before, await look(services))
    (row,) = board.versions
    assert (row.model, row.version, row.replicas, row.failed) == ("fraud", 1, 1, 0)
    assert row.requests * board.seconds == pytest.approx(3)
    assert row.instances * board.seconds == pytest.approx(6)
    assert row.p50_ms is not None
    assert row.p99_ms is not None
    assert 0 < row.p50_ms <= row.p99_ms
    assert row.inference_p99_ms is not None
    assert row.batch == 1


async def test_features_that_want_are_named_with_their_part(services: Services) -> None:
    before = await look(services)
    await services.predict(*[INSTANCE] * 3, INSTANCE | {"terminal_id": "new"})
    (model,) = build_board(before, await look(services)).models
    assert model.wanting == {"risk": pytest.approx(0.25)}
    assert sum(model.features.values()) == pytest.approx(1)
    assert model.features["DEFAULTED"] == pytest.approx(0.25 / 5)


async def test_errors_are_counted_by_their_code(services: Services) -> None:
    before = await look(services)
    await services.predict(INSTANCE | {"customer_id": "nobody"})
    board = build_board(before, await look(services))
    (model,) = board.models
    assert set(model.errors) == {"features_missing"}
    assert model.errors["features_missing"] * board.seconds == pytest.approx(1)


async def test_a_process_that_is_gone_is_down_and_the_others_are_shown(services: Services) -> None:
    replicas = (PROXY, INFERENCE, NOBODY)
    board = build_board(await look(services, replicas), await look(services, replicas))
    assert [row.state for row in board.replicas] == ["ready", "ready", "down"]
    assert board.versions[0].replicas == 1
    assert "no answer (ConnectError)" in shown(board)


async def test_a_proxy_that_is_not_ready_says_why(services: Services) -> None:
    services.store.down = Unavailable("Redis is down")
    board = build_board(await look(services), await look(services))
    assert board.replicas[0].state == "not ready"
    assert "redis: Redis is down" in shown(board)


async def test_a_version_that_failed_to_load_is_named_with_its_reason(services: Services) -> None:
    broken = services.publish(2).model_copy(update={"manifest_sha256": "0" * 64})
    services.deploy(broken)
    await services.follow()
    board = build_board(await look(services), await look(services))
    assert [(row.version, row.replicas, row.failed) for row in board.versions] == [
        (1, 1, 0),
        (2, 0, 1),
    ]
    assert "inference inference: fraud 2 is not loaded: " in shown(board)


@pytest.mark.parametrize("said", [None, [], {"models": []}, {"models": {"m": None}}, {}])
def test_a_readiness_answer_of_another_shape_is_no_problem(said: object) -> None:
    assert read_problems(said) == ()


async def test_what_came_before_the_first_look_is_no_rate(services: Services) -> None:
    await services.predict()
    nothing = await look(services, (NOBODY,))
    before = [Look(PROXY, nothing[0].at, nothing[0].samples, answers=False)]
    board = build_board(before, await look(services, (PROXY,)))
    assert [row.requests for row in board.versions] == [0]


async def test_lines_hold_what_the_tables_hold(services: Services) -> None:
    before = await look(services)
    await services.predict()
    board = build_board(before, await look(services))
    text = "\n".join(build_lines(board, at="12:00:00Z"))
    assert text.startswith("12:00:00Z fraud 1 ")
    assert "on 1 of 1 replica" in text
    assert "features PRESENT 100.0%" in text


async def test_nothing_deployed_is_said_in_words(services: Services) -> None:
    services.deploy(None)
    await services.follow()
    services.repository._retire_seconds = 0.0
    services.repository.refresh()
    replicas = (INFERENCE,)
    board = build_board(await look(services, replicas), await look(services, replicas))
    assert board.versions == []
    assert "No version is active or loaded." in shown(board)


@pytest.mark.parametrize("width", [80, 120, 200])
async def test_every_number_is_whole_at_the_width_of_a_terminal(
    services: Services, width: int
) -> None:
    before = await look(services)
    await services.predict()
    text = shown(build_board(before, await look(services)), width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
