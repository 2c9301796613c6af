"""Requests to the online stores: their p50, their p99, and the CPU of the process that asks."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mlops.stores.redis.keys import key_prefix
from tests.benchmarks.online_peers import KEY, EntityRows, Ours

Request = Callable[[EntityRows], object]
_TURNS, _COLD = 4, 5


@dataclass(frozen=True)
class Timed:
    """Milliseconds of a request."""

    p50: float
    p99: float
    cpu: float


def ask(count: int, entities: int, chance: random.Random) -> EntityRows:
    return [{KEY: chance.randrange(entities)} for _ in range(count)]


def time_requests(
    requests: Sequence[Request], count: int, *, entities: int, rounds: int
) -> list[Timed]:
    """In four turns for the same entities, so that a drifting machine is fair to all.

    The first of a turn find the processor's caches full of another's, and are not counted.
    """
    chance = random.Random(count)
    times: list[list[tuple[float, float]]] = [[] for _ in requests]
    for _ in range(_TURNS):
        asked = [ask(count, entities, chance) for _ in range(_COLD + rounds // _TURNS)]
        for request, taken in zip(requests, times, strict=True):
            taken.extend([_time(request, rows) for rows in asked][_COLD:])
    return [_summary(taken) for taken in times]


def _time(request: Request, rows: EntityRows) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    request(rows)
    return time.perf_counter() - wall, time.process_time() - cpu


def _summary(taken: Sequence[tuple[float, float]]) -> Timed:
    wall, cpu = np.array(taken).T * 1000
    p50, p99 = np.percentile(wall, [50, 99]).tolist()
    return Timed(p50, p99, float(cpu.mean()))


def raw_mget(peer: Ours, entities: int) -> Request:
    """The same bytes, each row under a key of its own: what Redis and a connection cost."""
    names, prefix = peer.shape.view_names, key_prefix(peer.project, [KEY])
    keys = [[f"raw:{n}:{name}".encode() for name in names] for n in range(entities)]
    for entity, own in enumerate(keys):
        rows = peer.link.command("HMGET", prefix + b"%d" % entity, *names)
        peer.link.command("MSET", *itertools.chain(*zip(own, rows, strict=True)))

    def request(rows: EntityRows) -> object:
        wanted = itertools.chain.from_iterable(keys[row[KEY]] for row in rows)
        return peer.link.command("MGET", *wanted)

    return request
