"""How servers are compared: their maxima in turn, and the tail of each at a rate it can bear."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psutil

from mlops.cli.console import err
from tests.benchmarks.load import Load, Request, closed_loop, open_loop
from tests.benchmarks.processors import cpu_seconds, may_run_first, undisturbed


@dataclass(frozen=True)
class Side:
    """One of those that are compared, as it runs."""

    name: str
    port: int
    requests: Sequence[Request]
    processes: Sequence[psutil.Process]
    """All that works on its answers, without the store."""


def maxima(
    sides: Sequence[Side], *, connections: int, warming: float, seconds: float
) -> list[Load]:
    """The median of three closed loops of each, after one that warms up.

    In turn, so that all drift alike: the machine's speed changes by the minute.
    """
    for side in sides:
        closed_loop(side.port, side.requests, connections=connections, seconds=warming)
    before = [[cpu_seconds([one]) for one in side.processes] for side in sides]
    rounds = [
        [
            closed_loop(side.port, side.requests, connections=connections, seconds=seconds)
            for side in sides
        ]
        for _ in range(3)
    ]
    loads = list(zip(*rounds, strict=True))
    for side, since, runs in zip(sides, before, loads, strict=True):
        assert not sum(run.errors for run in runs)
        answered = sum(run.requests for run in runs)
        spent = [
            f"{(cpu_seconds([one]) - earlier) / answered * 1e6:.0f}"
            for one, earlier in zip(side.processes, since, strict=True)
        ]
        say(f"{side.name}: {' + '.join(spent)} µs of CPU a request")
    return [sorted(runs, key=lambda run: run.rate)[1] for runs in loads]


def steady(side: Side, store: psutil.Process, rate: float, *, alone: bool) -> Load:
    """The median of three open loops by p99, undisturbed by the machine's other work.

    The p99 of as many loops that are left to the system's scheduler is told beside it.
    alone: whether the side has a processor for itself (see `processors`).
    """
    with undisturbed(side.processes, store, alone=alone):
        runs = [open_loop(side.port, side.requests, rate=rate) for _ in range(3)]
    left = [open_loop(side.port, side.requests, rate=rate) for _ in range(3)]
    assert not sum(run.errors for run in (*runs, *left))
    how = "undisturbed" if may_run_first() else "not before other work, which is not allowed here"
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
