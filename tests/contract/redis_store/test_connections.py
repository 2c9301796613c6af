"""A cluster, a replica, a full Redis and one that is killed: what is read and written through."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from feast.infra.key_encoding_utils import serialize_entity_key, serialize_entity_key_prefix
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

from infra.local.redis import RedisServer
from mlops.clock import FixedClock
from mlops.errors import Unavailable
from mlops.plan import FeaturePlan, PlannedView
from mlops.stores.redis.async_link import open_async_link
from mlops.stores.redis.batches import Batch
from mlops.stores.redis.connecting import RedisLimits
from mlops.stores.redis.feast_layout import FeastFields
from mlops.stores.redis.keys import scan_pattern
from mlops.stores.redis.link import Link, open_link
from mlops.stores.redis.reading import BlockingReader, RedisFeatures, compile_read
from mlops.stores.redis.removal import remove_project, remove_view
from mlops.stores.redis.schema_book import SchemaBook
from mlops.stores.redis.target import RedisTarget, parse_target
from mlops.stores.redis.views import StoredView
from mlops.stores.redis.writing import OnlineWriter, WriteReport
from pipelines.features.backup.keys import ProjectKeys
from pipelines.features.migration.migrating import Migration
from pipelines.features.upsync.redis_target import RedisTarget as UpsyncTarget
from tests.online_rows import fields, view
from tests.redis_processes import client_of, cluster, restarted, running

NOW = datetime(2024, 5, 1, tzinfo=UTC)
CLOCK = FixedClock(NOW)
MINUTE = timedelta(minutes=1)


def target_of(server: RedisServer, **options: Any) -> RedisTarget:
    return RedisTarget("127.0.0.1", server.port, password=server.password, **options)


def plan_of(project: str, *names: str) -> FeaturePlan:
    views = tuple(
        PlannedView(
            name=name,
            join_keys=("customer_id",),
            features=tuple(fields(amount="Float64")),
            ttl_seconds=86400,
        )
        for name in names
    )
    return FeaturePlan(
        service="s",
        project=project,
        entities=tuple(fields(customer_id="String")),
        request=(),
        views=views,
        transformations=(),
    )


def write(link: Link, of: StoredView, amounts: dict[str, float], at: datetime = NOW) -> WriteReport:
    rows = pa.record_batch(
        {
            "customer_id": list(amounts),
            "amount": list(amounts.values()),
            "event_time": pa.array([at] * len(amounts), pa.timestamp("us", "UTC")),
        }
    )
    return OnlineWriter(link, CLOCK).write(Batch(of, rows, "event_time"))


def read(link: Link, project: str, *customers: str) -> list[Any]:
    reader = BlockingReader(
        link, compile_read(plan_of(project, "spend"), ["spend:amount"], SchemaBook(project))
    )
    table = reader.read([{"customer_id": c} for c in customers], now=NOW)
    found = table.to_dict()["spend:amount"]
    (columns,) = reader.read_columns({"customer_id": customers}, now=NOW)
    assert list(columns.values[0]) == found
    return found


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    with cluster(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture
def link(nodes: list[RedisServer]) -> Iterator[Link]:
    with closing(open_link(target_of(nodes[0], is_cluster=True))) as opened:
        yield opened


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RedisServer, RedisServer]]:
    """A primary and its replica."""
    folder = tmp_path_factory.mktemp("pair")
    with running(folder / "primary") as primary:
        (folder / "replica").mkdir()
        (folder / "replica" / "password").write_text(primary.password)
        options: dict[str, Any] = {"masterauth": primary.password}
        with running(folder / "replica", **options) as replica:
            with client_of(replica) as client:
                client.replicaof("127.0.0.1", primary.port)
            yield primary, replica


class TestCluster:
    """Keys lie on three nodes; an entity's views on one."""

    def test_rows_are_written_newest_wins_and_read_from_all_nodes(
        self, link: Link, nodes: list[RedisServer]
    ) -> None:
        spend = view("spend", project="a", amount="Float64")
        amounts = {str(n): float(n) for n in range(300)}
        assert write(link, spend, amounts).written == 300
        again = write(link, spend, dict.fromkeys(amounts, -1.0), at=NOW - MINUTE)
        assert (again.written, again.skipped) == (0, 300)
        assert read(link, "a", *amounts) == list(amounts.values())
        for node in nodes:
            with client_of(node) as client:
                assert client.dbsize() > 0

    async def test_serving_reads_from_it_without_blocking(
        self, link: Link, nodes: list[RedisServer]
    ) -> None:
        spend, other = (view(n, project="b", amount="Float64") for n in ("spend", "other"))
        write(link, spend, {"x": 1.0, "y": 2.0})
        write(link, other, {"y": 3.0})
        opened = open_async_link(target_of(nodes[1], is_cluster=True))
        store, plan = RedisFeatures(opened), plan_of("b", "spend", "other")
        found = await store.reader(plan, plan.references).read(
            [{"customer_id": c} for c in "yxz"], now=NOW
        )
        await store.ping()
        await store.close()
        assert [[value.value for value in row.values()] for row in found] == [
            [2.0, 3.0],
            [1.0, None],
            [None, None],
        ]

    async def test_each_of_many_readers_at_once_gets_its_own(
        self, link: Link, nodes: list[RedisServer]
    ) -> None:
        write(link, view("spend", project="f", amount="Float64"), {str(n): n for n in range(30)})
        store = RedisFeatures(open_async_link(target_of(nodes[2], is_cluster=True)))
        plan = plan_of("f", "spend")
        reader = store.reader(plan, plan.references)
        found = await asyncio.gather(
            *(reader.read([{"customer_id": str(n)}], now=NOW) for n in range(30))
        )
        await store.close()
        assert [row["spend:amount"].value for (row,) in found] == list(range(30))

    def test_a_view_and_a_project_are_removed_from_all_nodes(self, link: Link) -> None:
        amounts = {str(n): 1.0 for n in range(50)}
        for project in ("c", "team_c"):
            write(link, view("spend", project=project, amount="Float64"), amounts)
            write(link, view("other", project=project, amount="Float64"), amounts)
        assert remove_view(link, "c", "other", ["customer_id"]) == 50
        assert read(link, "c", "1") == [1.0]
        assert remove_project(link, "c") == 50
        assert read(link, "c", "1") == [None]
        assert read(link, "team_c", "1") == [1.0]

    def test_a_script_that_the_nodes_lost_is_loaded_again(
        self, link: Link, nodes: list[RedisServer]
    ) -> None:
        for node in nodes:
            with client_of(node) as client:
                client.script_flush()
        amounts = {str(n): 1.0 for n in range(20)}
        assert write(link, view("spend", project="d", amount="Float64"), amounts).written == 20

    def test_a_slot_that_moved_is_followed(self, link: Link, nodes: list[RedisServer]) -> None:
        spend = view("spend", project="e", amount="Float64")
        write(link, spend, {"moved": 1.0})
        key = spend.keys.key({"customer_id": "moved"})
        clients: list[Any] = [client_of(node) for node in nodes]
        slot = clients[0].cluster("KEYSLOT", key)
        ids = [client.execute_command("CLUSTER", "MYID").decode() for client in clients]
        source = next(i for i, c in enumerate(clients) if c.cluster("COUNTKEYSINSLOT", slot))
        there = (source + 1) % 3
        clients[there].cluster("SETSLOT", slot, "IMPORTING", ids[source])
        clients[source].cluster("SETSLOT", slot, "MIGRATING", ids[there])
        clients[source].execute_command(
            "MIGRATE", "127.0.0.1", nodes[there].port, key, 0, 5000, "AUTH", nodes[0].password
        )
        for client in (clients[there], clients[source]):
            client.cluster("SETSLOT", slot, "NODE", ids[there])
        for client in clients:
            client.close()
        assert read(link, "e", "moved") == [1.0]
        assert write(link, spend, {"moved": 2.0}, at=NOW + MINUTE).written == 1
        assert read(link, "e", "moved") == [2.0]

    def test_a_cluster_that_is_not_there_is_unavailable_once_it_is_asked(self) -> None:
        """So that a service starts beside a cluster that does not answer yet."""
        limits = RedisLimits(connect_timeout=0.2)
        with closing(open_link(RedisTarget("127.0.0.1", 1, is_cluster=True), limits=limits)) as no:
            for ask in (
                lambda: no.command("GET", "a"),
                lambda: no.everywhere("PING"),
                lambda: no.batch([("GET", "a")]),
                lambda: list(no.scan(b"*")),
            ):
                with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
                    ask()

    def test_what_all_nodes_hold_is_saved_removed_and_restored(self, link: Link) -> None:
        amounts = {str(n): float(n) for n in range(60)}
        for project in ("f", "team_f"):
            write(link, view("spend", project=project, amount="Float64"), amounts)
        keys = ProjectKeys(link, "f")
        online = UpsyncTarget(link, "f", CLOCK)
        online.set_mark("spend", "run1")
        saved = list(keys.take())
        assert sum(batch.num_rows for batch in saved) == 62
        assert keys.remove() == 62
        assert (keys.is_empty(), read(link, "f", "7")) == (True, [None])
        assert sum(keys.put(batch) for batch in saved) == 62
        assert read(link, "f", *amounts) == list(amounts.values())
        assert online.mark("spend") == "run1"
        assert read(link, "team_f", "7") == [7.0]

    def test_what_feast_wrote_on_all_nodes_is_taken_over_and_removed(self, link: Link) -> None:
        table = SimpleNamespace(
            name="spend",
            ttl=None,
            entity_columns=fields(customer_id="String"),
            features=fields(amount="Float64"),
        )
        [value] = FeastFields("spend", ("amount",)).values
        for n in range(30):
            entity = EntityKey(join_keys=["customer_id"], entity_values=[Value(string_val=str(n))])
            time = (b"_ts:spend", Timestamp(seconds=1).SerializeToString())
            amount = (value, Value(double_val=n).SerializeToString())
            link.command("HSET", serialize_entity_key(entity) + b"h", *time, *amount)
        [report] = Migration(link, link, "h", "h", CLOCK).run([table], remove_old=True)
        assert (report.rows, report.written, report.removed) == (30, 30, 30)
        pattern = scan_pattern(serialize_entity_key_prefix(["customer_id"]))
        assert list(link.scan(pattern)) == []
        assert len(list(link.scan(b"fs:h:*"))) == 30

    def test_a_node_that_was_replaced_makes_it_another_online_store(
        self, link: Link, nodes: list[RedisServer]
    ) -> None:
        """What that node acknowledged may be lost, so upsync loads it again."""
        online = UpsyncTarget(link, "g", CLOCK)
        online.settle()
        ids = set(online.identity().split(","))
        assert len(ids) == 3
        for node in nodes:
            with client_of(node) as client:
                run_id: Any = client.info("server")
            assert run_id["run_id"] in ids


class TestReplica:
    """Reads go to the replica, and to the primary where it does not answer."""

    def target(self, pair: tuple[RedisServer, RedisServer]) -> RedisTarget:
        return target_of(pair[0], replica=f"127.0.0.1:{pair[1].port}")

    def test_reads_go_to_the_replica(self, pair: tuple[RedisServer, RedisServer]) -> None:
        with closing(open_link(self.target(pair))) as link:
            write(link, view("spend", project="a", amount="Float64"), {"x": 1.0})
            with client_of(pair[0]) as primary:
                primary.wait(1, 5000)
            before = self.hmgets(pair[1])
            assert read(link, "a", "x") == [1.0]
        assert self.hmgets(pair[1]) > before

    async def test_without_the_replica_the_primary_answers(
        self, pair: tuple[RedisServer, RedisServer]
    ) -> None:
        lost = target_of(pair[0], replica="127.0.0.1:1")
        with closing(open_link(lost)) as link:
            write(link, view("spend", project="b", amount="Float64"), {"x": 1.0})
            assert read(link, "b", "x") == [1.0]
        store = RedisFeatures(open_async_link(lost))
        reader = store.reader(plan_of("b", "spend"), ["spend:amount"])
        (row,) = await reader.read([{"customer_id": "x"}], now=NOW)
        await store.close()
        assert row["spend:amount"].value == 1.0

    def test_writing_to_a_replica_says_that_it_takes_none(
        self, pair: tuple[RedisServer, RedisServer]
    ) -> None:
        with client_of(pair[0]) as primary:
            primary.hset("fs-schemas:c", mapping={"x": "y"})
            primary.wait(1, 5000)
        with (
            closing(open_link(target_of(pair[1]))) as link,
            pytest.raises(Unavailable, match=r"takes no writes.*failover"),
        ):
            write(link, view("spend", project="c", amount="Float64"), {"x": 1.0})

    def test_what_was_written_is_settled_once_the_replica_has_it(
        self, pair: tuple[RedisServer, RedisServer]
    ) -> None:
        """Whichever connection wrote it; one that hangs is told."""
        replica = pair[1].process
        assert replica is not None
        with closing(open_link(target_of(pair[0]))) as link:
            link.settle(5_000)
            replica.send_signal(signal.SIGSTOP)
            try:
                with client_of(pair[0]) as other:
                    other.hset("d", "a", "b")
                with pytest.raises(Unavailable, match=r"1 replicas.*within 0\.1 s"):
                    link.settle(100)
            finally:
                replica.send_signal(signal.SIGCONT)
            link.settle(5_000)

    def hmgets(self, server: RedisServer) -> int:
        with client_of(server) as client:
            stats: Any = client.info("commandstats")
        return int(stats.get("cmdstat_hmget", {"calls": 0})["calls"])


def test_a_full_redis_refuses_a_write_loudly_and_what_stands_is_still_read(
    tmp_path: Path,
) -> None:
    spend = view("spend", project="full", amount="Float64")
    with (
        running(tmp_path, maxmemory="3mb", maxmemory_policy="noeviction") as server,
        client_of(server) as client,
        closing(open_link(target_of(server))) as link,
    ):
        write(link, spend, {"first": 1.0})
        client.config_set("maxmemory", 1)
        with pytest.raises(Unavailable, match=r"is full.*larger node"):
            write(link, spend, {"second": 2.0})
        assert read(link, "full", "first", "second") == [1.0, None]
        client.config_set("maxmemory", 0)
        assert write(link, spend, {"second": 2.0}).written == 1


def test_user_and_password_of_any_characters_get_in(tmp_path: Path) -> None:
    name, password = "us-er:@/%?#", "p: ,'\"@/?#%서울"
    with running(tmp_path) as server, client_of(server) as client:
        client.acl_setuser(
            name, enabled=True, passwords=["+" + password], keys="*", commands=["+@all"]
        )
        url = RedisTarget("127.0.0.1", server.port, username=name, password=password).url
        with closing(open_link(parse_target(url))) as link:
            assert link.command("ACL", "WHOAMI") == name.encode()


async def test_redis_killed_and_started_again_during_reads_loses_nothing(tmp_path: Path) -> None:
    """Each read answers the truth or that Redis is unavailable, and after the restart the truth."""
    spend = view("spend", project="kill", amount="Float64")
    with running(tmp_path, appendfsync="always") as server:
        with closing(open_link(target_of(server))) as link:
            write(link, spend, {str(n): float(n) for n in range(100)})
        store = RedisFeatures(open_async_link(target_of(server)))
        store.breaker.pause = 0.05
        reader = store.reader(plan_of("kill", "spend"), ["spend:amount"])
        rows = [{"customer_id": str(n)} for n in range(100)]
        failed, found, deadline = 0, None, time.monotonic() + 60
        with restarted(server, tmp_path, after=0.5):
            while found is None and time.monotonic() < deadline:
                try:
                    found = await reader.read(rows, now=NOW)
                except Unavailable:
                    failed += 1
                    await asyncio.sleep(0.01)
        await store.close()
    assert failed
    assert found is not None
    assert [row["spend:amount"].value for row in found] == [float(n) for n in range(100)]


@pytest.mark.parametrize("keeps", [True, False])
def test_redis_killed_and_started_again_in_the_middle_of_a_batch_takes_the_rest(
    tmp_path: Path, keeps: bool
) -> None:
    """Where it lost what it had, what comes after can still be read."""
    spend = view("spend", project="batch", amount="Float64")
    with (
        ExitStack() as stack,
        running(tmp_path, appendfsync="always", appendonly="yes" if keeps else "no") as server,
    ):

        def batches() -> Iterator[list[Batch]]:
            for part in range(40):
                if part == 20:
                    stack.enter_context(restarted(server, tmp_path, after=0.2))
                rows = pa.record_batch(
                    {
                        "customer_id": [f"{part}-{n}" for n in range(500)],
                        "amount": [float(n) for n in range(500)],
                        "event_time": pa.array([NOW] * 500, pa.timestamp("us", "UTC")),
                    }
                )
                yield [Batch(spend, rows, "event_time")]

        with closing(open_link(target_of(server), retries=8)) as link:
            report = OnlineWriter(link, CLOCK).write_all(batches())["spend"]
            customers = [f"{part}-{n}" for part in range(40) for n in range(500)]
            found = read(link, "batch", *customers)
    assert report.rows == 20_000
    assert found[10_000:] == [float(n) for n in range(500)] * 20
    assert (found[:8_000] == [float(n) for n in range(500)] * 16) == keeps
