"""A job's command ends by itself, or when its time is up."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from infra.local.jobs.command import Command, Commands, How
from infra.local.jobs.logs import Tail


@pytest.mark.parametrize(
    ("script", "seconds", "code", "how"),
    [
        ("exit 3", None, 3, "ended"),
        ("exit 3", 30.0, 3, "ended"),
        ("exec sleep 30", 0.2, 143, "overtime"),
        ("trap '' TERM; while :; do sleep 0.01; done", 0.2, 137, "overtime"),
    ],
)
def test_a_command_gets_no_more_time_than_its_timeout(
    tmp_path: Path, script: str, seconds: float | None, code: int, how: How
) -> None:
    """One that does not listen to SIGTERM is killed."""
    log, commands = tmp_path / "log", Commands(grace=0.2, closing=threading.Event())
    command = Command(["sh", "-c", script], {"PATH": "/usr/bin:/bin"}, tmp_path, log, seconds)
    found, came_to_it = commands.run(
        command, Tail(log, lambda _: None), stopping=threading.Event(), started=lambda _: None
    )
    assert came_to_it == how
    # Stopped before it has begun, the supervisor dies of the signal itself.
    assert (found if found >= 0 else 128 - found) == code
