"""What goes wrong while features are loaded, with real processes; afterwards nothing is lost."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from infra.local import redis as local_redis
from infra.local.redis import RedisServer
from mlops.clock import FixedClock
from mlops.errors import Unavailable
from mlops.objects import S3Documents
from mlops.stores.athena.session import open_session
from mlops.stores.redis.link import DirectLink, open_link
from mlops.stores.redis.target import parse_target
from pipelines.features.lease import Leases
from pipelines.features.upsync.loading import Loader
from pipelines.features.upsync.online import Written
from pipelines.features.upsync.redis_target import RedisTarget
from pipelines.features.upsync.running import Options, Upsync
from pipelines.features.upsync.state import RunReport
from tests.contract.upsync.test_sources import spends
from tests.feast_athena import SPEND_TYPES, Warehouse, spend_view
from tests.upsync_place import Place, at

ROWS, BATCH = 1_200, 100
NOW = "2018-08-08"
_fork = multiprocessing.get_context("fork")


@dataclass
class Server:
    """A redis-server that can be killed and started again where it was."""

    folder: Path
    running: RedisServer

    def kill(self) -> None:
        process = self.running.process
        assert process is not None
        process.kill()
        process.wait()

    def restart(self, *, empty: bool = False) -> None:
        if empty:
            for path in self.folder.iterdir():
                if path.name not in {"port", "password"}:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.running = local_redis.start(self.folder, log=self.folder / "log")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "redis"
    found = Server(folder, local_redis.start(folder, log=tmp_path / "redis.log"))
    yield found
    found.running.stop()


@pytest.fixture
def place(local_aws: Any, warehouse: Warehouse, server: Server) -> Iterator[Place]:
    many = [(f"c{n}", "2018-08-07", "2018-08-07", float(n)) for n in range(ROWS)]
    warehouse.add("spend", spends(*many), SPEND_TYPES)
    target = parse_target(server.running.url, server.running.password)
    with closing(open_link(target)) as link:
        assert isinstance(link, DirectLink)
        place = Place(local_aws, warehouse, link, spend_view(warehouse.source("spend")))
        documents = S3Documents(place.identity, warehouse.name)
        for key, body in place.documents.stored.items():
            documents.put(key, body)
        place.documents = documents  # type: ignore[assignment]  # several processes share them
        yield place


@dataclass(frozen=True)
class Watched(RedisTarget):
    """Calls a function before the writes, with their number."""

    before: Callable[[int], None] = lambda _: None
    calls: Any = None

    def write(self, view: Any, rows: pa.RecordBatch, *, ties: bool = False) -> Written:
        self.calls.append(rows.num_rows)
        self.before(len(self.calls))
        return super().write(view, rows, ties=ties)


class SmallSteps(Upsync):
    """Writes few rows at a time, and notes its progress after each."""

    def loader(self, *arguments: Any) -> Loader:
        return replace(super().loader(*arguments), rows=BATCH, note_every=0.0)


def upsync(
    place: Place,
    before: Callable[[int], None] = lambda _: None,
    *,
    holder: str = "me",
    **options: Any,
) -> list[RunReport]:
    moment = at(options.pop("now", NOW))
    made = place.runner(moment)
    online = Watched(place.link, place.project, FixedClock(moment), before=before, calls=[])
    small = SmallSteps(
        **{**vars(made), "online": online, "holder": holder, "leases": Leases(place.documents)}
    )
    given = {"patience": 10.0, "shards": 2, "wait": 30.0} | options
    return small.run(place.view, Options(moment, **given))


def in_process(place: Place, before: Callable[[int], None], holder: str = "me") -> Any:
    """Upsync in a process of its own."""

    def work() -> None:
        connect_anew(place)
        upsync(place, before, holder=holder)

    process = _fork.Process(target=work, daemon=True)
    process.start()
    return process


def connect_anew(place: Place) -> None:
    """A forked process shares its parent's connections, and must not speak on them."""
    aws = replace(place.aws)
    place.identity._clients = {name: aws.client(name) for name in ("s3", "athena", "glue")}
    place.session = open_session(place.store.config, place.identity)
    place.documents = S3Documents(place.identity, place.warehouse.name)  # type: ignore[assignment]
    place.link.client.connection_pool.disconnect()


def nothing_is_lost(place: Place, *, now: str = NOW, rows: int = ROWS) -> None:
    verdict = place.verify(now)
    assert (verdict.checked, verdict.faults) == (rows, 0), verdict


def test_redis_is_killed_and_comes_back_while_it_is_loaded(place: Place, server: Server) -> None:
    def fail_over(call: int) -> None:
        if call == 4:
            server.kill()
            threading.Timer(0.5, server.restart).start()

    [report] = upsync(place, fail_over)
    assert report.state == "loaded"
    nothing_is_lost(place)


def test_redis_comes_back_empty_while_it_is_loaded(place: Place, server: Server) -> None:
    def lose_all(call: int) -> None:
        if call == 9:  # in the second shard, when the first is done
            server.kill()
            server.restart(empty=True)

    upsync(place, lose_all)
    nothing_is_lost(place)


def test_redis_comes_back_empty_between_two_runs(place: Place, server: Server) -> None:
    upsync(place)
    server.kill()
    server.restart(empty=True)
    assert place.verify(NOW).missing == ROWS
    upsync(place, now="2018-08-08T00:00:01")
    nothing_is_lost(place, now="2018-08-08T00:00:01")


@pytest.mark.parametrize("at_call", [1, 5, 12])
def test_a_process_is_killed_and_the_next_one_finishes(place: Place, at_call: int) -> None:
    def die(call: int) -> None:
        if call == at_call:
            os.kill(os.getpid(), signal.SIGKILL)

    killed = in_process(place, die)
    killed.join(30)
    assert killed.exitcode == -signal.SIGKILL
    assert place.runs.position("spend")[0] is None
    first, second = upsync(place)
    assert first.resumed
    assert first.rows == ROWS
    assert second.rows in {0, ROWS}
    nothing_is_lost(place)


def test_two_upsyncs_at_once_take_turns(place: Place) -> None:
    holders = ("first", "second")
    running = [in_process(place, lambda _: time.sleep(0.05), holder) for holder in holders]
    for process in running:
        process.join(60)
        assert process.exitcode == 0
    reports = list(place.runs.reports("spend"))
    assert sum(report.written for report in reports) == ROWS, "each row is written by one of them"
    nothing_is_lost(place)


def test_pushes_go_on_while_it_is_loaded(place: Place) -> None:
    row = {"amount": -1.0, "payments": 9, "event_time": at("2018-08-07T23:00:00")}

    pushed: set[str] = set()

    def push(call: int) -> None:
        keys = [f"c{n}" for n in range(call, ROWS, 100)]
        place.push(NOW, *({"customer_id": key, **row} for key in keys))
        pushed.update(keys)

    upsync(place, push)
    verdict = place.verify(NOW)
    assert (verdict.faults, verdict.newer) == (0, len(pushed))


def test_a_full_redis_pauses_the_run_until_it_has_room(place: Place) -> None:
    def fill(call: int) -> None:
        if call == 3:
            full(place, yes=True)
            threading.Timer(0.6, lambda: full(place, yes=False)).start()

    upsync(place, fill)
    nothing_is_lost(place)


def test_a_failover_pauses_the_run_until_writes_are_taken_again(place: Place) -> None:
    def demote(call: int) -> None:
        if call == 3:
            place.link.client.replicaof("127.0.0.1", 1)
            threading.Timer(0.4, place.link.client.replicaof, ("NO", "ONE")).start()

    upsync(place, demote)
    nothing_is_lost(place)


def test_a_redis_that_stays_full_fails_the_run_and_marks_nothing(place: Place) -> None:
    with pytest.raises(Unavailable, match="is full"):
        upsync(place, lambda call: full(place, yes=call >= 3), patience=0.5)
    assert place.runs.position("spend")[0] is None
    full(place, yes=False)
    first, _ = upsync(place)
    assert first.resumed
    nothing_is_lost(place)


def full(place: Place, *, yes: bool) -> None:
    place.link.client.config_set("maxmemory-policy", "noeviction")
    place.link.client.config_set("maxmemory", "1" if yes else "0")
