"""Answers like those before them are read as they came; what is read is the same, come what may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import redis

from mlops.clock import FixedClock
from mlops.plan import FeaturePlan, PlannedView
from mlops.stores.online import FeatureStatus, OnlineReader, PlainRows, ViewTable
from mlops.stores.redis.async_link import open_async_link
from mlops.stores.redis.batches import Batch
from mlops.stores.redis.link import Link
from mlops.stores.redis.reading import BlockingReader, RedisFeatures, compile_read
from mlops.stores.redis.schema_book import SchemaBook
from mlops.stores.redis.target import RedisTarget
from mlops.stores.redis.views import stored_view
from mlops.stores.redis.writing import OnlineWriter
from tests.online_rows import fields

NOW = datetime(2018, 8, 8, 1, 2, 3, 456789, UTC)
DAY = timedelta(days=1)
KEYS = fields(customer_id="String", shop_no="Int64")
VIEWS = {
    "spend": ("customer_id", {"amount": "Float64", "payments": "Int64", "mean": "Float64"}),
    "risk": ("customer_id", {"score": "Float32"}),
    "shop": ("shop_no", {"rate": "Float64", "is_open": "Bool"}),
}
VALUES = {"Float64": 0.5, "Float32": 0.25, "Int64": 2**60, "Bool": True}


def plan_of(project: str) -> FeaturePlan:
    views = tuple(
        PlannedView(
            name=name,
            join_keys=(key,),
            features=tuple(fields(**types)),
            ttl_seconds=int(DAY.total_seconds()),
        )
        for name, (key, types) in VIEWS.items()
    )
    return FeaturePlan(
        service="all",
        project=project,
        entities=tuple(KEYS),
        request=(),
        views=views,
        transformations=(),
    )


class Shop:
    """Rows of three views in two kinds of hashes, and readers of them."""

    def __init__(self, link: Link, client: redis.Redis, project: str) -> None:
        self.link, self.client, self.project = link, client, project
        self.plan = plan_of(project)
        self.reader = self.new_reader()

    def new_reader(self) -> BlockingReader:
        compiled = compile_read(self.plan, self.plan.references, SchemaBook(self.project))
        return BlockingReader(self.link, compiled)

    def fill(self, count: int) -> None:
        for view in VIEWS:
            for number in range(count):
                self.put(view, number)

    def put(self, name: str, number: int, **other: Any) -> None:
        """A row in place of whatever is there; `other` are values, its event time, or its types."""
        key, types = VIEWS[name]
        event = other.pop("event", NOW)
        types = other.pop("types", types)
        view = stored_view(
            self.project,
            name,
            join_keys=[field for field in KEYS if field.name == key],
            features=fields(**types),
            ttl_seconds=0,
        )
        row = {feature: VALUES[dtype] for feature, dtype in types.items()} | other
        columns = {feature: pa.array([value]) for feature, value in row.items()} | {
            key: pa.array([f"c-{number}" if key == "customer_id" else number]),
            "event_time": pa.array([event], pa.timestamp("us", "UTC")),
        }
        writer = OnlineWriter(self.link, FixedClock(NOW))
        batch = Batch(view, pa.record_batch(columns), "event_time")
        assert not writer.write_all([[batch]], overwrite=True)[name].refused

    def read(self, reader: BlockingReader, count: int) -> list[tuple[Any, ...]]:
        return [_told(table) for table in reader.read_columns(_entities(count), now=NOW)]


def _entities(count: int) -> dict[str, list[Any]]:
    return {"customer_id": [f"c-{n}" for n in range(count)], "shop_no": list(range(count))}


def _told(table: ViewTable) -> tuple[Any, ...]:
    statuses = [table.statuses_of(place) for place in range(len(table.values))]
    times = [
        None if status is FeatureStatus.NOT_FOUND else int(event)
        for status, event in zip(table.statuses, table.events, strict=True)
    ]
    return statuses, times, repr([np.asarray(column).tolist() for column in table.values])


@pytest.fixture
def shop(link: Link, client: redis.Redis, project: str) -> Shop:
    return Shop(link, client, project)


CHANGES: dict[str, Callable[[Shop], Any]] = {
    "nothing": lambda shop: None,
    "other values": lambda shop: shop.put("spend", 0, amount=-1.0),
    "a null": lambda shop: shop.put("spend", 0, payments=None),
    "not a number": lambda shop: shop.put("risk", 0, score=float("nan")),
    "an outdated row": lambda shop: shop.put(
        "shop", 0, event=NOW - DAY - timedelta(microseconds=1)
    ),
    "another schema": lambda shop: shop.put("risk", 0, types={"score": "Float32", "new": "Bool"}),
    "a schema of the same size": lambda shop: shop.put("risk", 0, types={"other": "Float32"}),
    "a row that is gone": lambda shop: shop.client.hdel(_customer(shop), "spend"),
    "an entity that is gone": lambda shop: shop.client.delete(_customer(shop)),
    "a broken row": lambda shop: shop.client.hset(_customer(shop), "risk", b"\x01" * 27),
}


def _customer(shop: Shop) -> str:
    return f"fs:{shop.project}:customer_id:c-0"


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("count", [1, 9])
def test_a_reader_that_expects_the_usual_answers_what_a_new_one_does(
    shop: Shop, change: str, count: int
) -> None:
    shop.fill(count)
    usual = shop.read(shop.reader, count)
    assert shop.read(shop.reader, count) == usual
    CHANGES[change](shop)
    assert shop.read(shop.reader, count) == shop.read(shop.new_reader(), count)
    shop.fill(count)
    assert shop.read(shop.reader, count) == usual


@pytest.mark.parametrize("count", [1, 9])
def test_usual_answers_are_not_parsed(
    shop: Shop, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.fill(count)
    fetch, parsed = shop.link.fetch, list[int]()

    def spied(*args: Any) -> list[Any]:
        answers = fetch(*args)
        parsed.append(len(answers))
        return answers

    monkeypatch.setattr(shop.link, "fetch", spied)
    for _ in range(3):
        shop.read(shop.reader, count)
    assert parsed == [2 * count, 2 * count, 0], "its schemas are met, then itself, then it is usual"


def test_values_that_were_read_stay_when_others_are_read(shop: Shop) -> None:
    shop.fill(20)
    for _ in range(3):
        first = shop.reader.read_columns(_entities(20), now=NOW)
    before = [_told(table) for table in first]
    shop.put("spend", 3, amount=7.0)
    assert shop.reader.read_columns(_entities(20), now=NOW)[0].values[0][3] == 7.0
    assert [_told(table) for table in first] == before


@asynccontextmanager
async def async_reader(shop: Shop, target: RedisTarget) -> AsyncIterator[OnlineReader]:
    link = open_async_link(target)
    try:
        yield RedisFeatures(link).reader(shop.plan, shop.plan.references)
    finally:
        await link.close()


async def _joined(reader: OnlineReader, counts: list[int]) -> list[list[tuple[Any, ...]]]:
    """Reads of so many entities each, in one round trip."""
    reads: list[Awaitable[list[ViewTable]]] = [
        reader.read_columns(_entities(count), now=NOW) for count in counts
    ]
    return [[_told(table) for table in tables] for tables in await asyncio.gather(*reads)]


@pytest.mark.parametrize("change", CHANGES)
async def test_joined_reads_that_expect_the_usual_answer_what_a_new_reader_does(
    shop: Shop, target: RedisTarget, change: str
) -> None:
    shop.fill(9)
    counts = [1, 9, 2, 1]
    async with async_reader(shop, target) as reader:
        usual = [await _joined(reader, counts) for _ in range(3)]
        assert usual == [[shop.read(shop.new_reader(), count) for count in counts]] * 3
        CHANGES[change](shop)
        found = await _joined(reader, counts)
        assert found == [shop.read(shop.new_reader(), count) for count in counts]
        shop.fill(9)
        assert await _joined(reader, counts) == usual[0]


async def test_usual_answers_on_a_shared_connection_are_not_parsed(
    shop: Shop, target: RedisTarget
) -> None:
    shop.fill(9)
    async with async_reader(shop, target) as reader:
        for _ in range(2):
            await reader.read_columns(_entities(9), now=NOW)
        for count in (1, 9):
            told: asyncio.Queue[tuple[Any, Exception | None]] = asyncio.Queue()
            assert reader.start(_entities(count), lambda *one: told.put_nowait(one), now=NOW)  # noqa: B023
            answers, error = await told.get()
            assert error is None
            assert isinstance(answers, PlainRows)
            assert len(answers.reads) == len(VIEWS)
            assert reader.finish(answers, _entities(count), now=NOW) is answers
