"""What Feast's own store wrote is read through ours, once it is taken over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Null, StringList, Value
from feast.types import Array, Float64, Int64, String

from infra.local.redis import RedisServer
from mlops.clock import FixedClock
from mlops.errors import Unavailable
from mlops.stores.redis.link import Link, open_link
from mlops.stores.redis.target import RedisTarget
from pipelines.features.migration.migrating import Migration
from pipelines.features.migration.views import Migrated
from tests.feast_rows import write_rows

pytestmark = pytest.mark.filterwarnings("ignore:::feast")
NOW = datetime(2024, 5, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
CUSTOMER = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)
SHOP = Entity(name="shop", join_keys=["shop_no"], value_type=ValueType.INT64)
SOURCE = FileSource(path="unused.parquet", timestamp_field="event_time")
TYPES: dict[str, Any] = {"customer_id": String, "shop_no": Int64}


def view(name: str, *entities: Entity, **types: Any) -> FeatureView:
    keys = [Field(name=e.join_key, dtype=TYPES[e.join_key]) for e in entities]
    features = [Field(name=feature, dtype=dtype) for feature, dtype in types.items()]
    return FeatureView(
        name=name, entities=list(entities), ttl=30 * HOUR, schema=keys + features, source=SOURCE
    )


SPEND = view("spend", CUSTOMER, amount=Float64, payments=Int64, tags=Array(String))
RISK = view("risk", CUSTOMER, score=Float64)
PAIR = view("pair", SHOP, CUSTOMER, joint=Float64)
WORLD = view("world", rate=Float64)


@dataclass
class Place:
    """Both layouts on one Redis, in a project of their own."""

    folder: Path
    server: RedisServer
    link: Link
    project: str
    views: Sequence[FeatureView] = (SPEND,)
    made: list[Any] = field(default_factory=list)

    def store(self) -> FeatureStore:
        """Feast on the packed store."""
        target = RedisTarget("127.0.0.1", self.server.port, password=self.server.password)
        kind = "mlops.stores.redis.store.RedisOnlineStore"
        store = FeatureStore(
            config=RepoConfig(
                project=self.project,
                provider="local",
                registry=str(self.folder / f"{len(self.made)}.db"),
                online_store={"type": kind, "url": target.url, "clock": NOW.isoformat()},
                offline_store={"type": "file"},
                entity_key_serialization_version=3,
            )
        )
        store.apply([CUSTOMER, SHOP, *self.views])
        self.made.append(store)
        return store

    def feast_writes(
        self,
        view: str,
        *rows: tuple[dict[str, Value], dict[str, Value]],
        project: str = "",
        at: datetime = NOW - HOUR,
    ) -> None:
        named = [(view, key, values) for key, values in rows]
        write_rows(self.server, project or self.project, named, at)

    def migrate(self, *, from_project: str = "", **options: Any) -> dict[str, Migrated]:
        store = self.store()
        migration = Migration(
            self.link, self.link, self.project, from_project or self.project, FixedClock(NOW)
        )
        tables = [store.get_feature_view(view.name) for view in self.views]
        return {report.view: report for report in migration.run(tables, **options)}

    def read(self, *features: str, **keys: Any) -> dict[str, Any]:
        store = self.store()
        found = store.get_online_features(list(features), [keys]).to_dict()
        return {name: found[name][0] for name in found if name not in keys}


@pytest.fixture
def place(tmp_path: Path, redis_server: RedisServer, link: Link, project: str) -> Iterator[Place]:
    found = Place(tmp_path, redis_server, link, project)
    yield found
    for store in found.made:
        asyncio.run(store.close())


def customer(name: str) -> dict[str, Value]:
    return {"customer_id": Value(string_val=name)}


def spend(total: float, **changes: Value) -> dict[str, Value]:
    return {
        "amount": Value(double_val=total),
        "payments": Value(int64_val=3),
        "tags": Value(string_list_val=StringList(val=["a", "b"])),
        **changes,
    }


def counts(report: Migrated) -> tuple[int, int, int, int]:
    return report.rows, report.written, report.older, report.unreadable


def test_rows_of_every_kind_of_key_are_read_through_the_packed_store(place: Place) -> None:
    place.views = (SPEND, RISK, PAIR, WORLD)
    place.feast_writes("spend", (customer("a"), spend(1.5)), (customer("b"), spend(2.5)))
    place.feast_writes("risk", (customer("a"), {"score": Value(double_val=0.1)}))
    pair = {"shop_no": Value(int64_val=23), **customer("1")}
    place.feast_writes("pair", (pair, {"joint": Value(double_val=7.0)}))
    world = {"__dummy_id": Value(string_val="")}
    place.feast_writes("world", (world, {"rate": Value(double_val=1.25)}))
    found = place.migrate()
    assert {name: counts(report)[:2] for name, report in found.items()} == {
        "spend": (2, 2),
        "risk": (1, 1),
        "pair": (1, 1),
        "world": (1, 1),
    }
    names = ("spend:amount", "spend:payments", "spend:tags", "risk:score")
    assert place.read(*names, customer_id="a") == {
        "amount": 1.5,
        "payments": 3,
        "tags": ["a", "b"],
        "score": 0.1,
    }
    assert place.read("risk:score", customer_id="b") == {"score": None}
    assert place.read("pair:joint", customer_id="1", shop_no=23) == {"joint": 7.0}
    assert place.read("world:rate", anything=1) == {"rate": 1.25}


@pytest.mark.parametrize("key", [{"__dummy_id": Value(string_val="")}, {}])
def test_a_view_without_an_entity_is_taken_from_wherever_feast_put_it(
    place: Place, key: dict[str, Value]
) -> None:
    """What is written to the online store lies elsewhere than what is materialized."""
    place.views = (WORLD,)
    place.feast_writes("world", (key, {"rate": Value(double_val=1.25)}))
    assert counts(place.migrate(remove_old=True)["world"]) == (1, 1, 0, 0)
    assert place.read("world:rate", anything=1) == {"rate": 1.25}


def test_the_second_run_writes_nothing_and_a_dry_run_says_so_before(place: Place) -> None:
    place.feast_writes("spend", *[(customer(str(n)), spend(n)) for n in range(3)])
    before = place.migrate(dry_run=True)["spend"]
    assert place.read("spend:amount", customer_id="1") == {"amount": None}
    first = place.migrate()["spend"]
    assert counts(before) == counts(first) == (3, 3, 0, 0)
    again = place.migrate(dry_run=True)["spend"]
    assert counts(again) == counts(place.migrate()["spend"]) == (3, 0, 3, 0)


def test_a_newer_row_of_the_packed_store_stays(place: Place) -> None:
    place.feast_writes("spend", (customer("a"), spend(1.0)))
    place.migrate()
    place.feast_writes("spend", (customer("a"), spend(2.0)), at=NOW - HOUR / 2)
    assert counts(place.migrate()["spend"]) == (1, 1, 0, 0)
    packed = place.store()
    key = EntityKey(join_keys=["customer_id"], entity_values=[Value(string_val="a")])
    packed._get_provider().online_write_batch(
        packed.config, packed.get_feature_view("spend"), [(key, spend(3.0), NOW, None)], None
    )
    assert counts(place.migrate()["spend"]) == (1, 0, 1, 0)
    assert place.read("spend:amount", customer_id="a") == {"amount": 3.0}


def test_another_project_whose_name_ends_alike_is_not_read(place: Place) -> None:
    for project in (f"team_{place.project}", f"a_longer_name_of_{place.project}"):
        place.feast_writes("spend", (customer("a"), spend(9.0)), project=project)
    assert counts(place.migrate()["spend"]) == (0, 0, 0, 0)
    found = place.migrate(from_project=f"team_{place.project}")["spend"]
    assert counts(found) == (1, 1, 0, 0)
    assert place.read("spend:amount", customer_id="a") == {"amount": 9.0}


def break_value(client: redis.Redis, key: bytes, fields: list[bytes]) -> None:
    client.hset(key, fields[1], b"\xff\xff\xff")


def break_type(client: redis.Redis, key: bytes, fields: list[bytes]) -> None:
    client.hset(key, fields[1], Value(string_val="many").SerializeToString())


def lose_time(client: redis.Redis, key: bytes, fields: list[bytes]) -> None:
    client.hdel(key, fields[0])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (break_value, "no message of Feast's"),
        (break_type, "'amount' is Float64, not string_val"),
        (lose_time, "values and no time"),
    ],
)
def test_a_row_that_cannot_be_read_is_told_and_the_others_are_taken(
    place: Place, client: redis.Redis, damage: Callable[..., None], reason: str
) -> None:
    place.feast_writes("spend", (customer("bad"), spend(1.0)), (customer("good"), spend(2.0)))
    [key] = client.scan_iter(b"*bad" + place.project.encode())
    damage(client, key, [b"_ts:spend", _field("spend:amount")])
    report = place.migrate(remove_old=True)["spend"]
    assert counts(report) == (2, 1, 0, 1)
    assert reason in report.reasons[0]
    assert place.read("spend:amount", customer_id="good") == {"amount": 2.0}
    assert client.exists(key) == 1
    assert report.removed == 1


def _field(name: str) -> bytes:
    from feast.infra.online_stores.helpers import _mmh3

    return bytes(_mmh3(name))


def test_a_key_of_an_older_version_is_told(place: Place, client: redis.Redis) -> None:
    time = b"\x08\x01"
    key = b"\x02\0\0\0customer_id\x02\0\0\0\x01\0\0\0a" + place.project.encode()
    client.hset(key, mapping={"_ts:spend": time})
    report = place.migrate()["spend"]
    assert counts(report) == (1, 0, 0, 1)
    assert "version before 3" in report.reasons[0]


def test_a_value_that_is_null_or_absent_is_null(place: Place) -> None:
    values = spend(1.0, amount=Value(null_val=Null.NULL), payments=Value())
    del values["tags"]
    place.feast_writes("spend", (customer("a"), values))
    place.migrate()
    names = ("spend:amount", "spend:payments", "spend:tags")
    found = place.read(*names, customer_id="a")
    assert found == {"amount": None, "payments": None, "tags": None}


class TestRemoval:
    """What is taken over goes from Feast's layout, where that is asked for."""

    def test_a_hash_goes_with_its_last_row(self, place: Place, client: redis.Redis) -> None:
        place.views = (SPEND, RISK)
        place.feast_writes("spend", *[(customer(c), spend(1.0)) for c in "ab"])
        place.feast_writes("risk", (customer("a"), {"score": Value(double_val=0.1)}))
        place.feast_writes("spend", (customer("a"), spend(1.0)), project=f"x{place.project}")
        found = place.migrate(remove_old=True)
        assert [found["spend"].removed, found["risk"].removed] == [2, 1]
        pattern = b"*customer_id*" + place.project.encode()
        left = [key for key in client.scan_iter(pattern) if not key.startswith(b"fs:")]
        assert [key.endswith(b"x" + place.project.encode()) for key in left] == [True]
        assert place.read("risk:score", customer_id="a") == {"score": 0.1}

    def test_views_that_were_not_asked_for_stay(self, place: Place, client: redis.Redis) -> None:
        place.views = (SPEND, RISK)
        place.feast_writes("spend", (customer("a"), spend(1.0)))
        place.feast_writes("risk", (customer("a"), {"score": Value(double_val=0.1)}))
        place.views = (SPEND,)
        assert place.migrate(remove_old=True)["spend"].removed == 1
        place.views = (RISK,)
        assert counts(place.migrate()["risk"]) == (1, 1, 0, 0)

    def test_a_dry_run_says_how_many_and_removes_none(self, place: Place) -> None:
        place.feast_writes("spend", (customer("a"), spend(1.0)))
        assert place.migrate(remove_old=True, dry_run=True)["spend"].removed == 1
        assert counts(place.migrate()["spend"]) == (1, 1, 0, 0)

    def test_a_row_that_feast_wrote_meanwhile_stays(self, place: Place) -> None:
        """The next run takes it."""
        place.feast_writes("spend", (customer("a"), spend(1.0)))
        migration = Migration(
            place.link,
            place.link,
            place.project,
            place.project,
            FixedClock(NOW),
            settle=lambda: place.feast_writes("spend", (customer("a"), spend(2.0)), at=NOW),
        )
        table = place.store().get_feature_view("spend")
        [report] = migration.run([table], remove_old=True)
        assert (report.written, report.removed) == (1, 0)
        [report] = replace(migration, settle=lambda: None).run([table], remove_old=True)
        assert (report.written, report.removed) == (1, 1)
        assert place.read("spend:amount", customer_id="a") == {"amount": 2.0}


def test_a_source_that_is_not_there_is_unavailable(place: Place) -> None:
    with closing(open_link(RedisTarget("127.0.0.1", 1), retries=0)) as nowhere:
        migration = Migration(nowhere, place.link, "a", "a", FixedClock(NOW))
        with pytest.raises(Unavailable, match="does not answer"):
            migration.run([])
