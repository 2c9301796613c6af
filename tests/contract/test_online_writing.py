"""Rows that are pushed are read as they were written, and the newest wins; over every adapter."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.local import redis as local_redis
from infra.local.redis import RedisServer
from mlops.clock import SystemClock
from mlops.downsync.events import microseconds
from mlops.downsync.flow import Flow
from mlops.downsync.online import MemoryWriter, OnlineRow, OnlineWriter
from mlops.downsync.packed import PackedWriter
from mlops.errors import Refused, Unavailable
from mlops.plan import FeaturePlan, PlannedField, PlannedView
from mlops.stores.online import OnlineStore
from mlops.stores.redis.async_link import open_async_link
from mlops.stores.redis.link import open_link
from mlops.stores.redis.reading import RedisFeatures
from mlops.stores.redis.target import RedisTarget, parse_target
from tests.local_aws import unique

AT = datetime(2018, 8, 8, 1, 2, 3, 456789, tzinfo=UTC)
VALUES: dict[str, tuple[str, Any]] = {
    "f64": ("Float64", -1.25),
    "f32": ("Float32", 0.5),
    "i64": ("Int64", -(2**62)),
    "i32": ("Int32", -7),
    "zero": ("Int64", 0),
    "text": ("String", "서울"),
    "flag": ("Bool", False),
    "raw": ("Bytes", b"\x00\xff"),
    "time": ("UnixTimestamp", datetime(2018, 8, 8, 1, 2, 3, tzinfo=UTC)),
    "nothing": ("Float64", None),
}
KEYS = (PlannedField(name="shop", dtype="String"), PlannedField(name="no", dtype="Int64"))


class Store:
    """A writer, and a reader of what it writes."""

    def __init__(self, writer: OnlineWriter, reader: OnlineStore) -> None:
        self.writer, self._reader = writer, reader
        self.flow = Flow(
            project=unique("shop"),
            view="wide",
            keys=KEYS,
            features=tuple(PlannedField(name=n, dtype=d) for n, (d, _) in VALUES.items()),
        )

    def write(self, at: datetime = AT, **changes: Any) -> None:
        values = {name: value for name, (_, value) in VALUES.items()} | changes
        row = OnlineRow({"shop": "a", "no": 42}, values, microseconds(at))
        self.writer.write(self.flow, [row])

    async def read(self) -> dict[str, Any]:
        view = PlannedView(
            name="wide",
            join_keys=("shop", "no"),
            features=self.flow.features,
            ttl_seconds=0,
        )
        plan = FeaturePlan(
            service="s",
            project=self.flow.project,
            entities=KEYS,
            request=(),
            views=(view,),
            transformations=(),
        )
        reader = self._reader.reader(plan, plan.references)
        (row,) = await reader.read([{"shop": "a", "no": 42}], now=AT)
        times = {value.event_time for value in row.values()}
        found = {reference.partition(":")[2]: value.value for reference, value in row.items()}
        return found | {"at": times.pop()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    folder = tmp_path_factory.mktemp("redis")
    running = local_redis.start(folder, log=folder / "log")
    yield running
    running.stop()


@pytest.fixture(params=["memory", "packed"])
async def store(request: pytest.FixtureRequest, server: RedisServer) -> AsyncIterator[Store]:
    if request.param == "memory":
        fake = MemoryWriter()
        yield Store(fake, fake.store)
        return
    target = parse_target(server.url, server.password)
    writer, reader = PackedWriter(open_link(target), SystemClock()), open_async_link(target)
    yield Store(writer, RedisFeatures(reader))
    writer.close()
    await reader.close()


async def test_values_of_every_type_are_read_as_they_were_written(store: Store) -> None:
    store.write()
    assert await store.read() == {n: value for n, (_, value) in VALUES.items()} | {"at": AT}


@pytest.mark.parametrize("earlier", [timedelta(microseconds=1), timedelta(days=400)])
async def test_the_newest_wins_in_any_order(store: Store, earlier: timedelta) -> None:
    store.write(f64=1.0)
    store.write(AT - earlier, f64=2.0)
    assert (await store.read())["f64"] == 1.0
    store.write(AT + earlier, f64=3.0)
    found = await store.read()
    assert (found["f64"], found["at"]) == (3.0, AT + earlier)


async def test_a_correction_of_the_same_moment_replaces(store: Store) -> None:
    store.write(f64=1.0)
    store.write(f64=2.0, text=None)
    found = await store.read()
    assert (found["f64"], found["text"]) == (2.0, None)


async def test_a_row_that_says_it_is_deleted_is_not_found_until_a_newer_one_comes(
    store: Store,
) -> None:
    store.flow = store.flow.model_copy(update={"deleted": "flag"})
    store.write(f64=1.0)
    store.write(AT + timedelta(seconds=2), flag=True)
    assert (await store.read())["f64"] is None
    store.write(AT + timedelta(seconds=1), f64=2.0)
    assert (await store.read())["f64"] is None
    store.write(AT + timedelta(seconds=3), f64=3.0, flag=None)
    assert (await store.read())["f64"] == 3.0


async def test_two_writers_at_once_leave_the_newest_whole(store: Store) -> None:
    def write(first: int) -> None:
        for n in range(first, 100, 2):
            store.write(AT + timedelta(microseconds=n), f64=float(n), i64=n)

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = await store.read()
    assert (found["f64"], found["i64"], found["at"]) == (99.0, 99, AT + timedelta(microseconds=99))


def test_a_redis_that_does_not_answer_is_unavailable() -> None:
    target = RedisTarget("127.0.0.1", 1)
    writer = PackedWriter(open_link(target, retries=0), SystemClock())
    flow = Flow(project="p", view="v", keys=KEYS, features=())
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
        writer.write(flow, [OnlineRow({"shop": "a", "no": 1}, {}, 0)])


def test_features_that_cannot_be_stored_are_refused_by_name() -> None:
    writer = PackedWriter(open_link(RedisTarget("127.0.0.1", 1)), SystemClock())
    features = (PlannedField(name="many", dtype="Tensor"),)
    with pytest.raises(Refused, match="many"):
        writer.check(Flow(project="p", view="v", keys=KEYS, features=features))
