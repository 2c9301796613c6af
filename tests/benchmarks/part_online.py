"""The packed online store beside Feast's Redis store: one redis-server, one run, equal answers.

`floor` is one raw MGET of the same bytes. Reads are measured on processors that are kept awake and,
as `read-…-idle`, on those that fall asleep between two requests. Rows are written by processes of
their own, which are measured, and are read here.

    ONLINE_ENTITIES=1000000 make bench PART=online     writing alone; Feast's is measured on 50,000
    make bench PART=online WORK=read                   50 features of 5 views, nothing else
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from redis import Redis

from infra.local import redis as local_redis
from infra.local.redis import RedisServer
from tests.benchmarks import online_writing
from tests.benchmarks.awake import processors_awake
from tests.benchmarks.measure import Measurement
from tests.benchmarks.online_peers import (
    FIFTY,
    GRID,
    KEY,
    WIDE,
    WIDEST,
    Feasts,
    Ours,
    Shape,
    by_name,
    open_peers,
)
from tests.benchmarks.online_requests import Request, Timed, ask, raw_mget, time_requests

PART = "online"
FEASTS_ENTITIES = 50_000
ENTITIES = int(os.environ.get("ONLINE_ENTITIES", FEASTS_ENTITIES))
READ_ENTITIES = 2_000
"""Those that are asked for."""
GRID_ENTITIES = 2_000
ASKED = {
    "write": 40.0,
    "bytes-50": 1 / 0.75,
    "bytes-200-not-compact": 4.0,
    "read-1": 8.0,
    "read-10": 20.0,
    "read-100": 30.0,
    "feast-api-100": 3.0,
}
"""How many times better than Feast's store we set out to be."""
COMPACT_FIELDS = 128
"""Of a hash, in place of the 512 that Redis, ElastiCache and MemoryDB have by default."""
ROUNDS = {1: 1000, 10: 500, 50: 100, 100: 100}


def measure() -> Iterator[Measurement]:
    return map(with_asked, measure_all())


def measure_all() -> Iterator[Measurement]:
    with running() as (server, folder):
        yield from measure_writing(server, folder)
        if ENTITIES == FEASTS_ENTITIES:
            yield from measure_fifty(server, folder)
            yield from measure_wide(server, folder)
            yield from measure_grid(server, folder)


def with_asked(measured: Measurement) -> Measurement:
    return dataclasses.replace(measured, asked=ASKED.get(measured.work))


def measure_reads() -> Iterator[Measurement]:
    """`read` and `feast-api` alone, of as many entities as are written otherwise."""
    with running() as (server, folder):
        load(FIFTY, server, folder, FEASTS_ENTITIES)
        yield from map(with_asked, measure_fifty(server, folder))


def measure_sizes() -> Iterator[Measurement]:
    """`bytes-…` of wide views alone."""
    with running() as (server, folder):
        yield from map(with_asked, measure_wide(server, folder))


WORKS = {"read": measure_reads, "bytes": measure_sizes}


@contextmanager
def running() -> Iterator[tuple[RedisServer, Path]]:
    """A redis-server as ElastiCache runs: without an append-only file."""
    with tempfile.TemporaryDirectory(prefix="mlops-bench-") as text:
        folder = Path(text)
        server = local_redis.start(folder, log=folder / "log", options={"appendonly": "no"})
        try:
            yield server, folder
        finally:
            server.stop()


def measure_writing(server: RedisServer, folder: Path) -> Iterator[Measurement]:
    """From Arrow to rows in Redis, 5 views of 10 doubles; and what they take there."""
    ours, feasts = open_shape(FIFTY, server, folder)
    empty = ours.memory()
    by_view = online_writing.write("by-view", ENTITIES, server, folder)
    together = online_writing.write("together", ENTITIES, server, folder)
    our_bytes = (ours.memory() - empty) / ENTITIES
    empty = ours.memory()
    peer = online_writing.write("feast", FEASTS_ENTITIES, server, folder)
    feasts_bytes = (ours.memory() - empty) / FEASTS_ENTITIES
    for work, done in (("write", together), ("write-by-view", by_view)):
        yield Measurement(PART, work, done.rate, peer.rate, "entities/s", more_is_better=True)
    yield Measurement(PART, "write-memory", together.mebibytes, peer.mebibytes, "MiB")
    yield measure_bytes("bytes-50", ours, feasts)
    yield Measurement(PART, "bytes-50-used", our_bytes, feasts_bytes, "bytes")


def measure_fifty(server: RedisServer, folder: Path) -> Iterator[Measurement]:
    """50 doubles of 5 views, which are there already."""
    ours, feasts = open_shape(FIFTY, server, folder)
    check(ours, feasts)
    floor = raw_mget(ours, READ_ENTITIES)
    idle = [ours.read, feasts.ask_feast, floor]
    for count in (1, 10, 100):
        requests = [ours.read, ours.ask_feast, feasts.ask_feast, floor]
        read, api, peer, raw = time_all(requests, count, READ_ENTITIES)
        yield from compare(f"read-{count}", read, peer, raw)
        yield from compare(f"feast-api-{count}", api, peer, raw)
        timed = time_requests(idle, count, entities=READ_ENTITIES, rounds=ROUNDS[count])
        yield from itertools.islice(compare(f"read-{count}-idle", *timed), 1)


def measure_wide(server: RedisServer, folder: Path) -> Iterator[Measurement]:
    """Views of 200 doubles: one alone, and three of the same entity.

    Feast's hash of one has 201 fields, which the default leaves compact; once more where it is not.
    """
    yield measure_bytes("bytes-200", *load(WIDE, server, folder, 500))
    yield measure_bytes("bytes-3x200", *load(WIDEST, server, folder, 500))
    with compact_fields(server, COMPACT_FIELDS):
        yield measure_bytes("bytes-200-not-compact", *load(WIDE, server, folder, 500))


@contextmanager
def compact_fields(server: RedisServer, most: int) -> Iterator[None]:
    """Hashes that are written meanwhile are compact up to so many fields."""
    name = "hash-max-ziplist-entries"  # which 6.2 and 7 both know
    with Redis(port=server.port, password=server.password) as client:
        before = client.config_get(name)[name]
        client.config_set(name, most)
        yield
        client.config_set(name, before)


def measure_grid(server: RedisServer, folder: Path) -> Iterator[Measurement]:
    """The grid of feast-benchmarks: 250 whole numbers in 25 views."""
    ours, feasts = load(GRID, server, folder, GRID_ENTITIES)
    floor = raw_mget(ours, READ_ENTITIES)
    for count in (1, 10, 50, 100):
        read, peer, raw = time_all([ours.read, feasts.ask_feast, floor], count, READ_ENTITIES)
        yield from compare(f"grid-{count}", read, peer, raw)


def open_shape(shape: Shape, server: RedisServer, folder: Path) -> tuple[Ours, Feasts]:
    return open_peers(shape, folder, f"redis://127.0.0.1:{server.port}", server.password)


def load(shape: Shape, server: RedisServer, folder: Path, entities: int) -> tuple[Ours, Feasts]:
    """Both stores with the same rows, and nothing else."""
    ours, feasts = open_shape(shape, server, folder)
    chunks = shape.rows(entities, datetime.now(UTC))
    for peer in (ours, feasts):
        peer.link.command("FLUSHDB")
        peer.write(chunks)
    check(ours, feasts)
    return ours, feasts


def check(ours: Ours, feasts: Feasts) -> None:
    """All three ways to read answer the same."""
    rows = ask(20, 500, random.Random(1))
    answers = [peer.ask_feast(rows).to_dict() for peer in (ours, feasts)]
    read = by_name(ours.read(rows)) | {KEY: [row[KEY] for row in rows]}
    assert answers[0] == answers[1] == read
    assert None not in read[ours.shape.columns(ours.shape.view_names[0])[0]]


def time_all(requests: list[Request], count: int, entities: int) -> list[Timed]:
    with processors_awake():
        return time_requests(requests, count, entities=entities, rounds=ROUNDS[count])


def compare(work: str, ours: Timed, peer: Timed, floor: Timed) -> Iterator[Measurement]:
    """Its p50 bears the work's name."""
    for suffix, name in (("", "p50"), ("-p99", "p99"), ("-cpu", "cpu")):
        values = [getattr(timed, name) for timed in (ours, peer, floor)]
        yield Measurement(PART, work + suffix, values[0], values[1], "ms", floor=values[2])


def measure_bytes(work: str, ours: Ours, feasts: Feasts) -> Measurement:
    """MEMORY USAGE of an entity, and how Redis keeps it."""
    mine, peer = ours.memory_per_entity(500), feasts.memory_per_entity(500)
    most = feasts.most_compact_fields()
    kept = f"{ours.encodings(500)}; Feast {feasts.encodings(500)}; compact up to {most} fields"
    return Measurement(PART, work, mine, peer, "bytes", data=kept)
