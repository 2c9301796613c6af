"""Every store answers with the status that a feature has; ours does so whatever befalls Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pyarrow as pa
import pytest
import redis

from mlops.clock import FixedClock
from mlops.errors import InputError, NotFound, Refused, Unavailable
from mlops.plan import FeaturePlan, PlannedField, PlannedView
from mlops.stores.online import (
    TIMELESS,
    FeatureStatus,
    FeatureValue,
    MemoryOnlineStore,
    OnlineStore,
    ViewTable,
    to_datetime,
)
from mlops.stores.redis.async_link import AsyncDirectLink, open_async_link
from mlops.stores.redis.batches import Batch
from mlops.stores.redis.connecting import RedisLimits
from mlops.stores.redis.keys import schemas_key
from mlops.stores.redis.link import Link
from mlops.stores.redis.reading import BlockingReader, RedisFeatures, compile_read
from mlops.stores.redis.schema_book import SchemaBook
from mlops.stores.redis.target import RedisTarget
from mlops.stores.redis.views import StoredView, stored_view
from mlops.stores.redis.writing import OnlineWriter
from tests.online_rows import fields

NOW = datetime(2018, 8, 8, 1, 2, 3, 456789, UTC)
TTL = 86400
TYPES = {"customer_id": "String", "shop_no": "Int64"}
FEATURES = {
    "wide": {
        "f64": "Float64",
        "i64": "Int64",
        "text": "String",
        "flag": "Bool",
        "at": "UnixTimestamp",
    },
    "second": {"extra": "Float64"},
    "pair": {"joint": "Array(Float64)"},
    "world": {"rate": "Float64"},
}
KEYS = {
    "wide": ["customer_id"],
    "second": ["customer_id"],
    "pair": ["shop_no", "customer_id"],
    "world": [],
}
AT = datetime(2018, 1, 1, tzinfo=UTC)
WIDE = {"f64": -1.25, "i64": -(2**62), "text": "서울", "flag": True, "at": AT}


def plan_of(project: str) -> FeaturePlan:
    return FeaturePlan(
        service="everything",
        project=project,
        entities=tuple(fields(**TYPES)),
        request=(),
        views=tuple(
            PlannedView(
                name=name,
                join_keys=tuple(KEYS[name]),
                features=tuple(fields(**types)),
                ttl_seconds=TTL if name == "wide" else 0,
            )
            for name, types in FEATURES.items()
        ),
        transformations=(),
    )


def view_of(project: str, name: str, **types: str) -> StoredView:
    return stored_view(
        project,
        name,
        join_keys=[field for field in fields(**TYPES) if field.name in KEYS[name]],
        features=fields(**(types or FEATURES[name])),
        ttl_seconds=TTL if name == "wide" else 0,
    )


class Put(Protocol):
    def __call__(
        self, view: str, key: tuple[Any, ...], values: dict[str, Any], event: datetime = NOW
    ) -> None: ...


@dataclass
class Place:
    """A store under test, and how rows get into it."""

    store: OnlineStore
    plan: FeaturePlan
    put: Put

    async def read(self, *rows: dict[str, Any], now: datetime = NOW) -> list[Any]:
        found = await self.store.reader(self.plan, self.plan.references).read(rows, now=now)
        return list(found)


def write(link: Link, view: StoredView, rows: Sequence[dict[str, Any]], event: datetime) -> None:
    """Rows as a job writes them."""
    types = {"at": pa.timestamp("us", "UTC")}
    columns = {name: pa.array([row[name] for row in rows], types.get(name)) for name in rows[0]} | {
        "event_time": pa.array([event] * len(rows), pa.timestamp("us", "UTC"))
    }
    report = OnlineWriter(link, FixedClock(NOW)).write(
        Batch(view, pa.record_batch(columns), "event_time")
    )
    assert report.written == len(rows)


@pytest.fixture
async def redis_place(link: Link, target: RedisTarget, project: str) -> AsyncIterator[Place]:
    def put(view: str, key: tuple[Any, ...], values: dict[str, Any], event: datetime = NOW) -> None:
        row = dict(zip(KEYS[view], key, strict=True)) | dict.fromkeys(FEATURES[view]) | values
        write(link, view_of(project, view), [row], event)

    opened = open_async_link(target)
    yield Place(RedisFeatures(opened), plan_of(project), put)
    await opened.close()


@pytest.fixture(params=["redis", "memory"])
def place(request: pytest.FixtureRequest, redis_place: Place, project: str) -> Place:
    if request.param == "redis":
        return redis_place
    memory = MemoryOnlineStore()

    def put(view: str, key: tuple[Any, ...], values: dict[str, Any], event: datetime = NOW) -> None:
        memory.put(view, key, event, values)

    return Place(memory, plan_of(project), put)


ROW = {"customer_id": "c-1", "shop_no": 42}


def statuses(row: Any) -> set[FeatureStatus]:
    return {value.status for value in row.values()}


async def test_values_come_back_with_their_event_time(place: Place) -> None:
    place.put("wide", ("c-1",), WIDE)
    (row,) = await place.read(ROW)
    assert {name: row[f"wide:{name}"].value for name in WIDE} == WIDE
    assert row["wide:f64"].event_time == NOW
    assert row["wide:f64"].status == FeatureStatus.PRESENT


async def test_a_missing_value_is_null_and_keeps_its_event_time(place: Place) -> None:
    place.put("wide", ("c-1",), WIDE | {"text": None})
    (row,) = await place.read(ROW)
    assert row["wide:text"].status == FeatureStatus.NULL
    assert row["wide:text"].event_time == NOW


async def test_a_view_without_an_entity_is_the_same_for_everyone(place: Place) -> None:
    place.put("world", (), {"rate": 1.25})
    found = await place.read(ROW, ROW | {"customer_id": "c-2"})
    assert [row["world:rate"].value for row in found] == [1.25, 1.25]


async def test_an_unknown_entity_is_not_found_in_every_view(place: Place) -> None:
    (row,) = await place.read({"customer_id": "nobody", "shop_no": 1})
    assert statuses(row) == {FeatureStatus.NOT_FOUND}
    assert set(row) == set(place.plan.references)


@pytest.mark.parametrize(
    ("age", "status"),
    [
        (timedelta(seconds=TTL), FeatureStatus.PRESENT),
        (timedelta(seconds=TTL, microseconds=1), FeatureStatus.OUTSIDE_MAX_AGE),
    ],
)
async def test_a_row_ends_with_its_views_ttl_by_the_clock_of_the_reader(
    place: Place, age: timedelta, status: FeatureStatus
) -> None:
    place.put("wide", ("c-1",), WIDE)
    place.put("second", ("c-1",), {"extra": 1.0})
    (row,) = await place.read(ROW, now=NOW + age)
    assert row["wide:f64"].status == status
    assert row["wide:f64"].event_time == NOW
    assert (row["wide:f64"].value is None) == (status != FeatureStatus.PRESENT)
    assert row["second:extra"].status == FeatureStatus.PRESENT


async def test_rows_come_back_in_the_order_in_which_they_were_asked_for(place: Place) -> None:
    for name in "abc":
        place.put("second", (name,), {"extra": float(ord(name))})
    found = await place.read(*[{"customer_id": n, "shop_no": 1} for n in "cxaab"])
    values = [row["second:extra"].value for row in found]
    assert values == [99.0, None, 97.0, 97.0, 98.0]


async def test_a_composite_key_is_found_in_any_order_of_its_parts(place: Place) -> None:
    place.put("pair", (42, "c-1"), {"joint": [1.5, 2.5]})
    (row,) = await place.read({"shop_no": 42, "customer_id": "c-1"})
    assert row["pair:joint"].value == [1.5, 2.5]


@pytest.mark.parametrize("copies", [1, 9])
async def test_columns_say_the_same_as_rows(place: Place, copies: int) -> None:
    place.put("wide", ("c-1",), WIDE)
    place.put("wide", ("c-2",), WIDE | {"text": None})
    place.put("wide", ("c-3",), WIDE, NOW - timedelta(seconds=TTL, microseconds=1))
    place.put("second", ("c-1",), {"extra": 1.5})
    place.put("pair", (42, "c-2"), {"joint": [0.5]})
    customers, shops = ["c-1", "c-2", "c-3", "nobody"] * copies, [42, 42, 42, 1] * copies
    reader = place.store.reader(place.plan, place.plan.references)
    entities: dict[str, list[Any]] = {"shop_no": shops, "customer_id": customers}
    tables = await reader.read_columns(entities, now=NOW)
    rows = await place.read(
        *[{"customer_id": c, "shop_no": s} for c, s in zip(customers, shops, strict=True)]
    )
    assert rows_of(tables) == [dict(row) for row in rows]


async def test_columns_of_nothing_but_numbers_say_the_same_as_rows(place: Place) -> None:
    for name in "abc":
        place.put("second", (name,), {"extra": float(ord(name))})
    reader = place.store.reader(place.plan, ["second:extra"])
    for names in ("b", "cab" * 9):
        rows = await reader.read([{"customer_id": n} for n in names], now=NOW)
        tables = await reader.read_columns({"customer_id": list(names)}, now=NOW)
        assert rows_of(tables) == [dict(row) for row in rows]


def rows_of(tables: Sequence[ViewTable]) -> list[dict[str, FeatureValue]]:
    """Tables turned into rows."""
    found: list[dict[str, FeatureValue]] = [{} for _ in tables[0].statuses]
    for table in tables:
        for place, reference in enumerate(table.read.references()):
            for number, status in enumerate(table.statuses_of(place)):
                is_timeless = table.statuses[number] in TIMELESS
                moment = None if is_timeless else to_datetime(int(table.events[number]))
                value = FeatureValue(status, table.values[place][number], moment)
                found[number][reference] = value
    return found


async def test_of_a_view_only_what_is_asked_for_is_read(place: Place) -> None:
    place.put("wide", ("c-1",), WIDE)
    reader = place.store.reader(place.plan, ["wide:i64"])
    assert [dict(row) for row in await reader.read([], now=NOW)] == []
    (row,) = await reader.read([{"customer_id": "c-1"}], now=NOW)
    assert {name: value.value for name, value in row.items()} == {"wide:i64": -(2**62)}


def test_a_reference_outside_the_plan_is_refused_by_name(place: Place) -> None:
    with pytest.raises(NotFound, match="wide:nothing"):
        place.store.reader(place.plan, ["wide:nothing"])


# Ours alone


@pytest.mark.parametrize("rows", [1, 5, 200])
def test_many_rows_read_as_a_table_and_as_rows_are_the_same(
    link: Link, project: str, rows: int
) -> None:
    everyone = [{"customer_id": str(n), "extra": float(n) if n % 3 else None} for n in range(rows)]
    write(link, view_of(project, "second"), everyone, NOW)
    compiled = compile_read(plan_of(project), ["second:extra"], SchemaBook(project))
    asked = [{"customer_id": str(n)} for n in range(-1, rows)]
    table = BlockingReader(link, compiled).read(asked, now=NOW)
    wanted = [None, *(row["extra"] for row in everyone)]
    assert table.to_dict() == {"second:extra": wanted}
    assert [row["second:extra"].value for row in table.rows()] == wanted


async def test_rows_of_an_older_schema_are_read_once_it_is_fetched(
    redis_place: Place, link: Link, project: str, client: redis.Redis
) -> None:
    old = view_of(project, "wide", f64="Float32", gone="String")
    write(link, old, [{"customer_id": "old", "f64": 0.5, "gone": "x"}], NOW)
    redis_place.put("wide", ("new",), WIDE)
    before = commands(client, "hmget")
    for _ in range(3):
        found = await redis_place.read(
            {"customer_id": "old", "shop_no": 1}, {"customer_id": "new", "shop_no": 1}
        )
        assert [row["wide:f64"].value for row in found] == [0.5, -1.25]
        assert [row["wide:text"].status for row in found] == ["NULL", "PRESENT"]
    asked = 3 * 2 * 3
    assert commands(client, "hmget") - before == asked + 1, "both schemas are asked for once"


def commands(client: redis.Redis, name: str) -> int:
    stats: Any = client.info("commandstats")
    return int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"])


async def test_a_schema_that_nobody_knows_is_not_asked_for_again_and_again(
    redis_place: Place, client: redis.Redis, project: str
) -> None:
    redis_place.put("second", ("c-1",), {"extra": 1.0})
    client.delete(schemas_key(project))
    before = commands(client, "hmget")
    for _ in range(3):
        (row,) = await redis_place.read(ROW)
        assert row["second:extra"].status == FeatureStatus.INVALID
    assert commands(client, "hmget") - before == 3 * 3 + 1


@pytest.mark.parametrize("value", [b"", b"\x01", b"\x01" * 30, b"text"])
async def test_a_corrupt_value_is_invalid_and_harms_no_other(
    redis_place: Place, client: redis.Redis, project: str, value: bytes
) -> None:
    for name in ("c-1", "c-2"):
        redis_place.put("wide", (name,), WIDE)
        redis_place.put("second", (name,), {"extra": 1.0})
    client.hset(f"fs:{project}:customer_id:c-1", "wide", value)
    found = await redis_place.read(ROW, {"customer_id": "c-2", "shop_no": 1})
    assert [row["wide:f64"].status for row in found] == ["INVALID", "PRESENT"]
    assert [row["second:extra"].status for row in found] == ["PRESENT", "PRESENT"]


async def test_a_key_that_is_no_hash_is_invalid_and_harms_no_other(
    redis_place: Place, client: redis.Redis, project: str
) -> None:
    redis_place.put("second", ("c-2",), {"extra": 1.0})
    client.set(f"fs:{project}:customer_id:c-1", "text")
    found = await redis_place.read(ROW, {"customer_id": "c-2", "shop_no": 1})
    assert [row["second:extra"].status for row in found] == ["INVALID", "PRESENT"]


async def test_a_join_key_of_another_type_is_refused_by_name(redis_place: Place) -> None:
    with pytest.raises(InputError, match="'shop_no' must be a whole number"):
        await redis_place.read({"customer_id": "c-1", "shop_no": "42"})
    reader = redis_place.store.reader(redis_place.plan, redis_place.plan.references)
    with pytest.raises(InputError, match="'shop_no' must be a whole number"):
        await reader.read_columns({"customer_id": ["c-1"], "shop_no": ["42"]}, now=NOW)


async def test_columns_of_no_row_are_empty_and_ask_for_nothing(place: Place) -> None:
    reader = place.store.reader(place.plan, ["second:extra"])
    (table,) = await reader.read_columns({"customer_id": []}, now=NOW)
    assert (list(table.statuses), [list(values) for values in table.values]) == ([], [[]])


async def test_reads_that_begin_together_share_one_round_trip_and_get_their_own_rows(
    redis_place: Place, target: RedisTarget
) -> None:
    for number in range(20):
        redis_place.put("second", (str(number),), {"extra": float(number)})
    link = open_async_link(target)
    assert isinstance(link, AsyncDirectLink)
    reader = RedisFeatures(link).reader(redis_place.plan, ["second:extra"])
    await reader.read([{"customer_id": "0"}], now=NOW)
    before = link.reads.writes
    found = await asyncio.gather(
        *(reader.read([{"customer_id": str(number)}], now=NOW) for number in range(20))
    )
    assert link.reads.writes == before + 1
    assert [row["second:extra"].value for (row,) in found] == [float(n) for n in range(20)]
    await link.close()


async def test_a_caller_that_leaves_takes_no_answer_from_another(
    redis_place: Place,
) -> None:
    for name in "ab":
        redis_place.put("second", (name,), {"extra": float(ord(name))})
    reader = redis_place.store.reader(redis_place.plan, ["second:extra"])
    await reader.read([{"customer_id": "a"}], now=NOW)
    leaves = asyncio.create_task(reader.read([{"customer_id": "a"}], now=NOW))
    stays = asyncio.create_task(reader.read([{"customer_id": "b"}], now=NOW))
    await asyncio.sleep(0)
    leaves.cancel()
    ((row,),) = await asyncio.gather(stays)
    assert row["second:extra"].value == 98.0


def test_a_feature_that_cannot_be_stored_is_refused_when_it_is_compiled(
    redis_place: Place,
) -> None:
    broken = redis_place.plan.views[1].model_copy(
        update={"features": (PlannedField(name="extra", dtype="Tensor"),)}
    )
    plan = redis_place.plan.model_copy(update={"views": (broken,)})
    with pytest.raises(Refused, match=r"'second'.*extra \(Tensor\)"):
        redis_place.store.reader(plan, ["second:extra"])


async def test_a_wrong_password_is_unavailable_and_not_shown(target: RedisTarget) -> None:
    link = open_async_link(RedisTarget(target.host, target.port, password="wrong one"))
    with pytest.raises(Unavailable, match=rf"Redis at {target.address}") as failed:
        await RedisFeatures(link).ping()
    await link.close()
    assert "wrong one" not in str(failed.value)


async def test_a_redis_that_is_not_there_is_unavailable_at_once_and_then_left_alone() -> None:
    link = open_async_link(RedisTarget("127.0.0.1", 1), limits=RedisLimits(connect_timeout=0.2))
    plan = plan_of("shop")
    reader = RedisFeatures(link).reader(plan, ["second:extra"])
    messages = []
    for _ in range(6):
        with pytest.raises(Unavailable) as failed:
            await reader.read([{"customer_id": "c"}], now=NOW)
        messages.append(str(failed.value))
    await link.close()
    assert "MLOPS_REDIS_URL" in messages[0]
    assert "5 times in a row" in messages[-1]


async def test_a_connection_that_the_server_closed_is_replaced(
    redis_place: Place, client: redis.Redis
) -> None:
    redis_place.put("second", ("c-1",), {"extra": 1.0})
    for _ in range(3):
        (row,) = await redis_place.read(ROW)
        assert row["second:extra"].value == 1.0
        client.client_kill_filter(_type="normal", skipme=True)


@pytest.mark.parametrize("refusal", [b"LOADING Redis is loading", b"MASTERDOWN Link with MASTER"])
async def test_a_redis_that_is_not_ready_is_unavailable_and_not_a_row_that_is_invalid(
    refusal: bytes,
) -> None:
    writers = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        while data := await reader.read(65536):
            is_read = b"HMGET" in data
            count = data.count(b"HMGET") if is_read else data.count(b"CLIENT")
            writer.write((b"-%b\r\n" % refusal if is_read else b"+OK\r\n") * count)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        link = open_async_link(RedisTarget("127.0.0.1", server.sockets[0].getsockname()[1]))
        reader = RedisFeatures(link).reader(plan_of("shop"), ["second:extra"])
        with pytest.raises(Unavailable, match=r"loading|Link with MASTER"):
            await reader.read([{"customer_id": "c"}], now=NOW)
        await link.close()
        for writer in writers:
            writer.close()
            await writer.wait_closed()


@pytest.fixture
def silent(client: Any) -> Iterator[None]:
    """Redis takes commands and does not answer."""
    client.execute_command("CLIENT", "PAUSE", 1500)
    yield
    client.execute_command("CLIENT", "UNPAUSE")


@pytest.mark.usefixtures("silent")
async def test_a_redis_that_does_not_answer_is_given_up_in_time(target: RedisTarget) -> None:
    link = open_async_link(target, limits=RedisLimits(read_timeout=0.1, connect_timeout=0.1))
    reader = RedisFeatures(link).reader(plan_of("shop"), ["second:extra"])
    with pytest.raises(Unavailable, match=r"(?i)0\.1|time"):
        await reader.read([{"customer_id": "c"}], now=NOW)
    await link.close()
