"""How servers are compared: their maxima in turn, and the tail of each at a rate it can bear."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psutil

from mlops.cli.console import err
from tests.benchmarks.load import Load, Request, closed_loop, open_loop
from tests.benchmarks.processors import cpu_seconds, undisturbed


@dataclass(frozen=True)
class Side:
    """One of those that are compared, as it runs."""

    name: str
    port: int
    requests: Sequence[Request]
    processes: Sequence[psutil.Process]
    """All that works on its answers, without the store."""


@dataclass(frozen=True)
class Run:
    """A closed loop."""

    load: Load
    cpu: Sequence[float]
    """Seconds of CPU that a request took, of each process."""


def maxima(
    sides: Sequence[Side], *, connections: int, warming: float, seconds: float, rounds: int = 3
) -> list[Run]:
    """The median closed loop of each, after one that warms up.

    In turn, so that all drift alike: the machine's speed changes by the minute.
    """
    for side in sides:
        closed_loop(side.port, side.requests, connections=connections, seconds=warming)
    found = [
        [_run(side, connections=connections, seconds=seconds) for side in sides]
        for _ in range(rounds)
    ]
    by_side = zip(*found, strict=True)
    medians = [sorted(runs, key=lambda run: run.load.rate)[rounds // 2] for runs in by_side]
    for side, run in zip(sides, medians, strict=True):
        spent = " + ".join(f"{seconds * 1e6:.0f}" for seconds in run.cpu)
        say(f"{side.name}: {spent} µs of CPU a request")
    return medians


def _run(side: Side, *, connections: int, seconds: float) -> Run:
    before = [cpu_seconds(one) for one in side.processes]
    load = closed_loop(side.port, side.requests, connections=connections, seconds=seconds)
    assert not load.errors
    after = [cpu_seconds(one) for one in side.processes]
    spent = [late - early for early, late in zip(before, after, strict=True)]
    return Run(load, [seconds / load.requests for seconds in spent])


def steady(side: Side, store: psutil.Process, rate: float, *, alone: bool) -> Load:
    """The median of three open loops by p99, undisturbed by the machine's other work.

    The p99 of as many loops that are left to the system's scheduler is told beside it.
    alone: whether the side has a processor for itself (see `processors`).
    """
    with undisturbed(side.processes, store, alone=alone) as first:
        runs = [open_loop(side.port, side.requests, rate=rate) for _ in range(3)]
    left = [open_loop(side.port, side.requests, rate=rate) for _ in range(3)]
    assert not sum(run.errors for run in (*runs, *left))
    how = "undisturbed" if first else "not before other work, which is not allowed here"
    say(
        f"{side.name}: p99 of three runs at {rate:,.0f}/s: {_tails(runs)} ms {how}, "
        f"{_tails(left)} ms if left to the system"
    )
    return sorted(runs, key=lambda run: run.percentile(99))[1]


def process_of(process: subprocess.Popen[bytes] | None) -> psutil.Process:
    assert process is not None, "it was started by another process"
    return psutil.Process(process.pid)


def _tails(runs: Iterable[Load]) -> str:
    return ", ".join(f"{run.percentile(99) * 1e3:.2f}" for run in runs)


def say(text: str) -> None:
    err.print(f"    {text}", style="dim", highlight=False, soft_wrap=True)
