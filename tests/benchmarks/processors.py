"""A processor for the server alone, while its tail is measured: the load and Redis have the others.

The load must not wait for a processor and takes one at once where it wakes (`load_process.py`).
Left to the system that was the server's at times, which then had a quarter of it for tens of
milliseconds, with the other one idle: the tail was that of the scheduler.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import psutil


@contextmanager
def apart(server: Sequence[psutil.Process]) -> Iterator[None]:
    """The server on the last processor, and all else that this process started on the others.

    Nothing is bound where there is but one.
    """
    every = sorted(os.sched_getaffinity(0))
    this = psutil.Process()
    rest = [this, *(one for one in this.children(recursive=True) if one not in server)]
    if len(every) > 1:
        _bind(server, every[-1:])
        _bind(rest, every[:-1])
    try:
        yield
    finally:
        _bind([*server, *rest], every)


def _bind(processes: Iterable[psutil.Process], processors: Sequence[int]) -> None:
    for process in processes:
        for thread in process.threads():
            os.sched_setaffinity(thread.id, processors)
