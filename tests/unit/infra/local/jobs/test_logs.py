"""Following a job's output."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.local.jobs import logs
from infra.local.jobs.logs import Tail


class Output:
    """A growing file and what was shipped of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[str] = []
        self.tail = Tail(path, self.lines.extend)

    def grow(self, text: str) -> None:
        with self.path.open("a") as stream:
            stream.write(text)


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output(tmp_path / "output.log")


def test_a_line_is_shipped_when_it_is_whole(output: Output) -> None:
    output.grow("first\nsec")
    output.tail.ship()
    assert output.lines == ["first"]
    output.grow("ond\n")
    output.tail.ship()
    assert output.lines == ["first", "second"]


def test_the_last_line_needs_no_end(output: Output) -> None:
    output.grow("first\nlast")
    output.tail.drain()
    assert output.lines == ["first", "last"]


def test_a_progress_bar_is_shown_as_it_ended(output: Output) -> None:
    output.grow("10%\r50%\r100%\n")
    output.tail.drain()
    assert output.lines == ["100%"]


def test_output_is_bounded_and_says_so(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LIMIT", 100)
    monkeypatch.setattr(logs, "_READ", 50)
    output.grow("x" * 9 + "\n")
    output.grow(("y" * 9 + "\n") * 100)
    output.tail.drain()
    assert len(output.lines) < 15
    assert "Output beyond 100 bytes is not kept." in output.lines


def test_a_job_without_output_ships_nothing(output: Output) -> None:
    output.tail.drain()
    assert output.lines == []
