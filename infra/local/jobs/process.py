"""A job's process: started under a supervisor, watched, stopped, and found again after a crash."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
ORPHAN_GRACE = 2.0
"""Seconds that a job's process has to end after the local AWS was killed."""


@dataclass(frozen=True)
class Process:
    """A running job: the supervisor and everything in its process group."""

    supervisor: subprocess.Popen[bytes]

    @property
    def identity(self) -> dict[str, Any]:
        """What names this process, also after another one got its number."""
        return {"pid": self.supervisor.pid, "started": _started(self.supervisor.pid)}

    def poll(self) -> int | None:
        """The exit code, once it ended."""
        return self.supervisor.poll()

    def wait(self, seconds: float) -> int | None:
        try:
            return self.supervisor.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def terminate(self) -> None:
        _signal_group(self.supervisor.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End the group, and what the command left behind in it."""
        _signal_group(self.supervisor.pid, signal.SIGKILL)
        self.supervisor.wait()
        if self.supervisor.stdin:
            self.supervisor.stdin.close()


def start(
    command: Sequence[str], *, environment: Mapping[str, str], workdir: Path, log: Path
) -> Process:
    """Start a command; what it prints is appended to `log`."""
    supervised = [sys.executable, "-I", "-S", str(_SUPERVISOR), str(ORPHAN_GRACE), *command]
    with log.open("ab") as stream:
        return Process(
            subprocess.Popen(  # noqa: S603 - running the user's command is the purpose
                supervised,
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=workdir,
                start_new_session=True,
            )
        )


def end_orphan(identity: Mapping[str, Any]) -> bool:
    """Kill what a former local AWS left running; whether there was something."""
    pid = int(identity["pid"])
    if _started(pid) is None or _started(pid) != identity["started"]:
        return False
    _signal_group(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while _started(pid) == identity["started"] and time.monotonic() < deadline:
        time.sleep(0.05)
    return True


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _started(pid: int) -> str | None:
    """When a process started, in the kernel's own terms; None when there is none (or no /proc)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]
