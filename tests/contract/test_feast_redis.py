"""What Feast's own Redis store writes, ours reads: same keys, same fields, same values."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from infra.local import redis as local_redis
from infra.local.redis import RedisServer
from mlops.errors import Refused, Unavailable
from mlops.plan import FeaturePlan, PlannedField, PlannedView
from mlops.settings import Settings
from mlops.stores.connection import RedisLimits, connect_redis, connect_redis_async, redis_address
from mlops.stores.feast_redis import FeastRedisStore
from mlops.stores.online import FeatureStatus
from tests.feast_rows import write_rows

EVENT_TIME = datetime(2018, 8, 8, 1, 2, 3, 456000, tzinfo=UTC)
VALUES: dict[str, tuple[str, str, Any]] = {
    "f64": ("Float64", "double_val", -1.25),
    "f64_zero": ("Float64", "double_val", 0.0),
    "f32": ("Float32", "float_val", 0.5),
    "i64": ("Int64", "int64_val", -(2**62)),
    "i64_zero": ("Int64", "int64_val", 0),
    "i32": ("Int32", "int32_val", -7),
    "text": ("String", "string_val", "서울"),
    "flag": ("Bool", "bool_val", True),
    "raw": ("Bytes", "bytes_val", b"\x00\xff"),
    "time": ("UnixTimestamp", "unix_timestamp_val", 1533690123),
}
PLAN = FeaturePlan(
    service="everything",
    project="shop",
    entities=(
        PlannedField(name="customer_id", dtype="String"),
        PlannedField(name="shop_no", dtype="Int64"),
    ),
    request=(),
    views=(
        PlannedView(
            name="wide",
            join_keys=("customer_id",),
            features=tuple(PlannedField(name=n, dtype=v[0]) for n, v in VALUES.items()),
            ttl_seconds=86400,
        ),
        PlannedView(
            name="second",
            join_keys=("customer_id",),
            features=(PlannedField(name="extra", dtype="Float64"),),
            ttl_seconds=0,
        ),
        PlannedView(
            name="pair",
            join_keys=("shop_no", "customer_id"),
            features=(PlannedField(name="joint", dtype="Float64"),),
            ttl_seconds=0,
        ),
    ),
    transformations=(),
)
ROW = {"customer_id": "c-1", "shop_no": 42}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    folder = tmp_path_factory.mktemp("redis")
    running = local_redis.start(folder, log=folder / "log")
    yield running
    running.stop()


def settings_for(server: RedisServer) -> Settings:
    return Settings(
        env="local", account="000000000000", region="ap-northeast-2", redis_url=server.url
    )


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[FeastRedisStore]:
    settings = settings_for(server)
    client = connect_redis_async(settings, server.password)
    opened = FeastRedisStore(client, address=redis_address(settings))
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
def written(server: RedisServer) -> None:
    """Rows as Feast 0.67 writes them."""
    from feast.protos.feast.types.Value_pb2 import Value

    customer = {"customer_id": Value(string_val="c-1")}
    wide = {name: Value(**{kind: value}) for name, (_, kind, value) in VALUES.items()}
    pair = {"shop_no": Value(int64_val=42), **customer}
    rows = [
        ("wide", customer, wide),
        ("second", customer, {"extra": Value()}),
        ("pair", pair, {"joint": Value(double_val=9.0)}),
    ]
    write_rows(server, "shop", rows, EVENT_TIME)


async def read(store: FeastRedisStore, row: dict[str, Any], now: datetime = EVENT_TIME) -> Any:
    (found,) = await store.reader(PLAN, PLAN.references).read([row], now=now)
    return found


@pytest.mark.usefixtures("written")
async def test_every_scalar_type_comes_back_as_it_was_written(store: FeastRedisStore) -> None:
    row = await read(store, ROW)
    found = {name: row[f"wide:{name}"].value for name in VALUES}
    wanted = {name: value for name, (_, _, value) in VALUES.items()}
    assert found == wanted | {"time": datetime.fromtimestamp(1533690123, UTC)}


@pytest.mark.usefixtures("written")
async def test_event_times_keep_their_fractions(store: FeastRedisStore) -> None:
    assert (await read(store, ROW))["wide:f64"].event_time == EVENT_TIME


@pytest.mark.usefixtures("written")
async def test_a_value_that_was_written_empty_is_null(store: FeastRedisStore) -> None:
    assert (await read(store, ROW))["second:extra"].status == FeatureStatus.NULL


@pytest.mark.usefixtures("written")
async def test_a_composite_key_is_found_in_any_order_of_its_parts(store: FeastRedisStore) -> None:
    assert (await read(store, ROW))["pair:joint"].value == 9.0


@pytest.mark.usefixtures("written")
async def test_an_unknown_entity_is_not_found(store: FeastRedisStore) -> None:
    row = await read(store, {"customer_id": "nobody", "shop_no": 1})
    assert {value.status for value in row.values()} == {FeatureStatus.NOT_FOUND}


@pytest.mark.usefixtures("written")
async def test_feast_ignores_ttl_and_we_do_not(store: FeastRedisStore) -> None:
    row = await read(store, ROW, now=EVENT_TIME + timedelta(days=1, seconds=1))
    assert row["wide:f64"].status == FeatureStatus.OUTSIDE_MAX_AGE
    assert row["wide:f64"].value is None
    assert row["pair:joint"].status == FeatureStatus.PRESENT


@pytest.mark.usefixtures("written")
async def test_rows_come_back_in_the_order_they_were_asked_for(store: FeastRedisStore) -> None:
    reader = store.reader(PLAN, ["wide:i32"])
    rows = await reader.read([{"customer_id": "x"}, ROW, ROW, {"customer_id": "y"}], now=EVENT_TIME)
    assert [row["wide:i32"].value for row in rows] == [None, -7, -7, None]


@pytest.mark.usefixtures("written")
async def test_what_cannot_be_read_is_invalid_and_harms_no_other_row(
    store: FeastRedisStore, server: RedisServer
) -> None:
    client: Any = connect_redis(settings_for(server), server.password)
    key = next(key for key in client.scan_iter() if client.hexists(key, "_ts:wide"))
    broken = key.replace(b"c-1", b"c-2")
    client.hset(broken, mapping=client.hgetall(key) | {b"_ts:wide": b"\xff"})
    client.set(key.replace(b"c-1", b"c-3"), "no hash")
    reader = store.reader(PLAN, ["wide:i32"])
    rows = await reader.read(
        [{"customer_id": name} for name in ("c-2", "c-3", "c-1")], now=EVENT_TIME
    )
    client.delete(broken, key.replace(b"c-1", b"c-3"))
    client.close()
    assert [row["wide:i32"].status for row in rows] == ["INVALID", "INVALID", "PRESENT"]


async def test_a_wrong_password_is_unavailable_and_not_shown(server: RedisServer) -> None:
    settings = settings_for(server)
    store = FeastRedisStore(connect_redis_async(settings, "wrong"), address=redis_address(settings))
    with pytest.raises(Unavailable, match=rf"Redis at 127.0.0.1:{server.port}") as failed:
        await store.ping()
    await store.close()
    assert "wrong" not in str(failed.value).replace("WRONGPASS", "")


async def test_a_redis_that_is_not_there_is_unavailable_at_once() -> None:
    settings = Settings(
        env="local", account="0" * 12, region="ap-northeast-2", redis_url="redis://127.0.0.1:1"
    )
    client = connect_redis_async(settings, "", limits=RedisLimits(connect_timeout=0.2))
    store = FeastRedisStore(client, address=redis_address(settings))
    with pytest.raises(Unavailable, match="MLOPS_REDIS_URL"):
        await store.reader(PLAN, ["wide:i32"]).read([ROW], now=EVENT_TIME)
    await store.close()


async def test_a_connection_that_the_server_closed_is_replaced(
    store: FeastRedisStore, server: RedisServer
) -> None:
    await store.ping()
    with redis.Redis(port=server.port, password=server.password) as admin:
        admin.client_kill_filter(_type="normal", skipme=True)
    await store.ping()


def test_a_feature_that_serving_cannot_read_is_refused_when_the_plan_is_compiled() -> None:
    view = PLAN.views[1].model_copy(
        update={"features": (PlannedField(name="extra", dtype="Array(Float64)"),)}
    )
    plan = PLAN.model_copy(update={"views": (view,)})
    store = FeastRedisStore(client=None, address="nowhere")  # type: ignore[arg-type]  # not asked
    with pytest.raises(Refused, match="second:extra"):
        store.reader(plan, ["second:extra"])
