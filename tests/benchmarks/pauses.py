"""What the machine takes from who runs on it: a floor under the tails that are measured here.

A virtual machine, and what watches over it, stops a processor now and then. Processes that do
nothing but look at the clock, one on each processor, see by how much and how often.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

_LEAST_SECONDS = 0.001
_PROGRAM = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
least, found, last = float(sys.argv[3]), [], time.perf_counter()
end = last + float(sys.argv[2])
while last < end:
    now = time.perf_counter()
    if now - last > least:
        found.append(now - last)
    last = now
print(sum(found), max(found, default=0.0))
"""


@dataclass(frozen=True)
class Pauses:
    """Of one processor that did nothing else."""

    processor: int
    share: float
    """Of the time, in pauses of a millisecond and more."""
    longest: float
    """Seconds."""

    def describe(self) -> str:
        return (
            f"{self.share:.1%} of processor {self.processor}, {self.longest * 1e3:.1f} ms at most"
        )


def machine_pauses(seconds: float = 3.0) -> list[Pauses]:
    """Look at all processors at once for so long: where one is idle, what disturbs goes there."""
    options = [str(seconds), str(_LEAST_SECONDS)]
    looking = {
        processor: subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(processor), *options],
            stdout=subprocess.PIPE,
            text=True,
        )
        for processor in sorted(os.sched_getaffinity(0))
    }
    found = []
    for processor, process in looking.items():
        told, _ = process.communicate()
        if process.returncode:
            raise RuntimeError(f"looking at processor {processor} ended with {process.returncode}")
        total, longest = map(float, told.split())
        found.append(Pauses(processor, total / seconds, longest))
    return found
