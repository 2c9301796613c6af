"""Load on an HTTP server, from a process of its own: closed loop for its maximum, open loop for its
latency.

Closed: each connection sends its next request when it has the answer. Open: requests come at a
constant rate whatever the server does, each is timed from the moment at which it should have been
sent, so that waiting for a connection or a slow server counts (no coordinated omission).

What the load itself takes of a processor is part of what a run tells: on a machine that also runs
the server it is taken from somebody. See `load_process` for how it asks.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.benchmarks.load_process import Answered, Job

_ROOT = Path(__file__).parents[2]
_PROGRAM = "from tests.benchmarks.load_process import main; main()"


@dataclass(frozen=True)
class Request:
    """One POST with its whole body."""

    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self, host: str) -> bytes:
        lines = {"Host": host, "Content-Type": "application/json"} | self.headers
        lines["Content-Length"] = str(len(self.body))
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"POST {self.path} HTTP/1.1\r\n{head}\r\n".encode() + self.body


@dataclass(frozen=True)
class Load:
    """What a run saw."""

    requests: int
    errors: int
    """Answers that were not 200."""
    seconds: float
    latencies: Sequence[float]
    """Seconds of each answered request."""
    cpu_seconds: float = 0.0
    """What the load took of a processor."""

    @property
    def rate(self) -> float:
        return (self.requests - self.errors) / self.seconds

    @property
    def own_cost(self) -> float:
        """Seconds of a processor that the load took for a request."""
        return self.cpu_seconds / self.requests

    def percentile(self, percent: float) -> float:
        """Seconds."""
        return float(np.percentile(np.array(self.latencies), percent))


def summary(most: Load, steady: Load, at: str) -> str:
    """A line: what a server can do at most, and how it is under the open loop's load.

    at: that load's name.
    """
    return (
        f"{most.rate:,.0f}/s, p99 {most.percentile(99) * 1e3:.2f} ms; at {at} "
        f"p50 {steady.percentile(50) * 1e3:.2f} ms, p99 {steady.percentile(99) * 1e3:.2f} ms "
        f"(asking took {most.own_cost * 1e6:.0f} and {steady.own_cost * 1e6:.0f} µs of a processor)"
    )


def closed_loop(
    port: int, requests: Sequence[Request], *, connections: int = 4, seconds: float = 3.0
) -> Load:
    """As many requests as the server answers. Raises ConnectionError where it lets one go."""
    return _run(port, requests, connections, seconds, None)


def open_loop(
    port: int,
    requests: Sequence[Request],
    *,
    rate: float,
    connections: int = 16,
    seconds: float = 3.0,
) -> Load:
    """`rate` requests a second, over as many connections as are needed, up to `connections`."""
    return _run(port, requests, connections, seconds, rate)


def _run(
    port: int,
    requests: Sequence[Request],
    connections: int,
    seconds: float,
    rate: float | None,
) -> Load:
    raws = [request.encoded(f"127.0.0.1:{port}") for request in requests]
    job = Job(port, raws, connections, seconds, rate)
    command = [sys.executable, "-c", _PROGRAM]
    done = subprocess.run(
        command, input=pickle.dumps(job), capture_output=True, cwd=_ROOT, check=False
    )
    if done.returncode:
        raise ConnectionError(f"the load ended: {done.stderr.decode()[-2000:]}")
    answered: Answered = pickle.loads(done.stdout)
    errors = sum(status != b"200" for status in answered.statuses)
    return Load(
        len(answered.statuses), errors, answered.seconds, answered.latencies, answered.cpu_seconds
    )
