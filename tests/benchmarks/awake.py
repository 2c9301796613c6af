"""Processors that do not fall asleep while latencies are measured, as `idle=poll` has it.

On a virtual machine a processor that has nothing to do takes longer to wake than a small request
takes in all, which would be measured in its place; one that serves is hardly ever idle.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_SPIN = "import os; os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nwhile True: pass"
"""Gives way to everything else at once."""


@contextmanager
def processors_awake() -> Iterator[None]:
    """One process a processor that only runs where nothing else wants to."""
    count = len(os.sched_getaffinity(0))
    spinning = [subprocess.Popen([sys.executable, "-c", _SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()
