"""Processors for the server, the store and the load first, while a server's tail is measured.

A machine that measures does other work as well. Where it is a virtual one, a thread of its kernel
may look through its memory, for four milliseconds twice a second and before what runs there: the
tail is that thread's then. And the load must not wait for a processor and takes one at once where
it wakes (`load_process.py`): left to the system that was the server's at times, which then had a
quarter of it for tens of milliseconds, with the other one idle.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import psutil


@contextmanager
def undisturbed(
    server: Sequence[psutil.Process], store: psutil.Process, *, alone: bool
) -> Iterator[bool]:
    """The server and the store before all other work, as the load is; whether that is allowed.

    alone: with the server on the last processor, and all else that this process started on the
    others, where there are any.
    """
    every = sorted(os.sched_getaffinity(0))
    this = psutil.Process()
    rest = [this, *(one for one in this.children(recursive=True) if one not in server)]
    first = _may_run_first()
    if alone and len(every) > 1:
        _bind(server, every[-1:])
        _bind(rest, every[:-1])
    if first:
        _schedule([*server, store], os.SCHED_FIFO, 1)
    try:
        yield first
    finally:
        if first:
            _schedule([*server, store], os.SCHED_OTHER, 0)
        _bind([*server, *rest], every)


def _may_run_first() -> bool:
    """Whether the system lets this user's processes run before those of others."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


def cpu_seconds(process: psutil.Process) -> float:
    """What it took of processors, so far."""
    return sum(process.cpu_times()[:2])


def _bind(processes: Iterable[psutil.Process], processors: Sequence[int]) -> None:
    for process in processes:
        for thread in process.threads():
            os.sched_setaffinity(thread.id, processors)


def _schedule(processes: Iterable[psutil.Process], policy: int, priority: int) -> None:
    for process in processes:
        for thread in process.threads():
            os.sched_setscheduler(thread.id, policy, os.sched_param(priority))
