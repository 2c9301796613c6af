"""A job's command at work: its output is shipped, and it ends when it must."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from infra.local.jobs import process
from infra.local.jobs.identity import Credentials
from infra.local.jobs.logs import Tail

How = Literal["ended", "stopped", "overtime"]
"""By itself, because it was told to, or because its time was up."""

POLL = 0.1
CLOSING_GRACE = 3.0
"""Seconds that a job has to end when the local AWS stops."""
SHIP_EVERY = 1.0
"""Seconds between batches of log lines while a job runs."""


@dataclass(frozen=True)
class Command:
    """What is run, where, and for how long at most; None is without limit."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    workdir: Path
    log: Path
    seconds: float | None = None


class Commands:
    """Runs commands to their end.

    grace: seconds between SIGTERM and SIGKILL for one that is stopped. closing: set when the
    local AWS stops; then nobody takes log lines any more.
    """

    def __init__(self, *, grace: float, closing: threading.Event) -> None:
        self._grace = grace
        self._closing = closing

    def run(
        self,
        command: Command,
        tail: Tail,
        *,
        stopping: threading.Event,
        started: Callable[[dict[str, Any]], None],
    ) -> tuple[int, How]:
        """The exit code, and how it came to it. started: is told the process's identity."""
        running = process.start(
            command.arguments,
            environment=command.environment,
            workdir=command.workdir,
            log=command.log,
        )
        try:
            started(running.identity)
            outcome = self._watch(running, tail, stopping, command.seconds)
        finally:
            running.kill()
        if not self._closing.is_set():
            tail.drain()
        return outcome

    def _watch(
        self,
        running: process.Process,
        tail: Tail,
        stopping: threading.Event,
        seconds: float | None,
    ) -> tuple[int, How]:
        deadline = None if seconds is None else time.monotonic() + seconds
        shipped = 0.0
        while (code := running.wait(POLL)) is None:
            now = time.monotonic()
            if now - shipped >= SHIP_EVERY:
                tail.ship()
                shipped = now
            if stopping.is_set():
                return self._terminate(running), "stopped"
            if deadline is not None and now >= deadline:
                return self._terminate(running), "overtime"
        return code, "ended"

    def _terminate(self, running: process.Process) -> int:
        running.terminate()
        code = running.wait(CLOSING_GRACE if self._closing.is_set() else self._grace)
        return 137 if code is None else code


def one_per_core() -> threading.Semaphore:
    """How many jobs run at once, of all services together."""
    return threading.BoundedSemaphore(os.cpu_count() or 1)


def platform_environment(endpoint: str, region: str, role: Credentials | None) -> dict[str, str]:
    """What every job finds in its environment: Python's folder, AWS's address, its own keys."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.defpath}:/usr/local/bin",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        **(role.environment if role else {}),
    }
