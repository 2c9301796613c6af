"""How a benchmark measures: alternating runs, medians, and a ratio that is never a bare time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Measurement:
    """One work, done by us and by a peer in the same run.

    `ours`, `peer` and `floor` are medians in `unit`; `ratio` says how many times better than the
    peer we are, whether less is better (seconds, bytes) or more (requests per second).
    """

    part: str
    work: str
    ours: float
    peer: float
    unit: str
    floor: float | None = None
    more_is_better: bool = False
    data: str | None = None
    """What it was measured on, where that depends on what is there."""
    asked: float | None = None
    """The ratio that we set out for."""

    @property
    def ratio(self) -> float:
        better, worse = (self.ours, self.peer) if self.more_is_better else (self.peer, self.ours)
        return better / worse

    def as_dict(self) -> dict[str, Any]:
        values = asdict(self)
        del values["more_is_better"]
        return values | {"ratio": self.ratio}


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def race(*works: Callable[[], object], rounds: int = 3) -> list[float]:
    """Median seconds of each work, run in turn so that a drifting machine is fair to all."""
    for work in works:
        work()
    times = [[seconds(work) for work in works] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def resident() -> float:
    """Mebibytes that this process holds now."""
    return _status("VmRSS")


def peak() -> float:
    """The most that this process ever held; `getrusage` counts what its parent held, too."""
    return _status("VmHWM")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))
