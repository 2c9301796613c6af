"""What a batch makes of records: rows with all that is known, and a place for what is no event."""

from __future__ import annotations

import base64
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from mlops.downsync.events import Encoder, pack
from mlops.downsync.flow import Flow, Kind
from mlops.errors import NotFound, Unavailable
from mlops.plan import PlannedField
from pipelines.features.downsync.layout import ROOT, table_prefix
from pipelines.features.downsync.preview import Overlay
from pipelines.features.downsync.worker import Limits
from tests.downsync import CLICKS, START, World, click, drain, numbers, rows_of


def dead(world: World) -> list[dict[str, Any]]:
    keys = world.documents.keys(f"{ROOT}dead/")
    lines = [line for key in keys for line in world.documents.get(key).body.splitlines()]
    return [orjson.loads(line) for line in lines]


def consumed(world: World, *raw: Any) -> None:
    """Send these as events of one record each, and one good event behind them."""
    for one in raw:
        world.stream.send_raw(0, one if isinstance(one, bytes) else pack([orjson.dumps(one)]))
    world.stream.send_raw(0, pack([Encoder(CLICKS).encode(click("good", 0, 99))]))
    drain(world.consumer())


def raw(**changes: Any) -> dict[str, Any]:
    event: dict[str, Any] = orjson.loads(Encoder(CLICKS).encode(click("a", 0, 1)))
    return event | changes


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (b"\xff\x00", "no JSON"),
        (b'{"v": 9, "events": []}', "version 9"),
        (7, "no object"),
        (raw(view="nowhere"), "view 'nowhere' is not applied"),
        (raw(kind="guessed"), "guessed"),
        (raw(key={}), "no user_id"),
        (raw(values={"n": "three"}), "'values.n' must be an integer"),
        (raw(time=START.timestamp()), "'time' must be microseconds"),
        (raw(time=int(datetime(2100, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000), "in the future"),
    ],
)
def test_what_is_no_event_is_set_aside_and_stops_nothing(event: Any, reason: str) -> None:
    world = World.with_flow()
    consumed(world, event)
    assert numbers(world.documents) == [99]
    (found,) = dead(world)
    assert reason in found["reason"]
    assert found["sequence"] == "00000001"
    if isinstance(event, bytes) and event.startswith(b"\xff"):
        assert base64.b64decode(found["event"]["base64"]) == event


def test_a_row_has_the_views_columns_and_what_is_known_of_the_event() -> None:
    world = World.with_flow()
    event = click("a", 1.5, 3)
    event = replace(event, time_us=event.time_us + 7, created_us=event.created_us + 2000)
    world.stream.send(event)
    drain(world.consumer())
    (row,) = rows_of(world.documents)
    moment = (START + timedelta(seconds=1.5)).replace(tzinfo=None)
    assert row == {
        "user_id": "a",
        "n": 3,
        "share": 0.375,
        "push_source": "clicks_push",
        "pushed_by": "test",
        "event_time": moment,
        "created": moment + timedelta(milliseconds=2),
        "event_us": event.time_us,
        "event_id": "event-3",
        "schema_version": CLICKS.schema_version,
    }


def test_rows_lie_by_the_day_of_their_event_time() -> None:
    world = World.with_flow()
    world.stream.send(click("a", -0.000001, 1), click("a", 0, 2), click("a", 86_400, 3))
    drain(world.consumer())
    prefix = table_prefix("clicks_pushed")
    days = [key.removeprefix(prefix).split("/")[0] for key in world.documents.keys(prefix)]
    assert days == ["day=2018-08-07", "day=2018-08-08", "day=2018-08-09"]
    assert world.catalog.days == {("clicks_pushed", day.removeprefix("day=")) for day in days}


def test_a_view_applied_a_moment_ago_is_known_to_its_first_event() -> None:
    world = World.with_flow()
    other = CLICKS.model_copy(update={"view": "taps"})
    consumer = world.consumer()
    consumer.tick()
    consumer.tools.flows.refresh()
    world.apply(other)
    world.stream.send(click("a", 0, 1, flow=other), flow=other)
    drain(consumer)
    assert numbers(world.documents, "taps_pushed") == [1]


@pytest.mark.parametrize("change", ["logs", "features"])
def test_a_view_changed_a_moment_ago_loses_nothing_of_its_first_event(change: str) -> None:
    before = {
        "logs": CLICKS.model_copy(update={"logs": ()}),
        "features": Flow.model_validate(CLICKS.model_dump() | {"features": CLICKS.features[1:]}),
    }[change]
    world = World.with_flow(before)
    consumer = world.consumer()
    consumer.tick()
    consumer.tools.flows.refresh()
    world.apply(CLICKS)
    world.stream.send(click("a", 0, 1))
    drain(consumer)
    assert numbers(world.documents) == [1]


def test_an_event_of_an_older_schema_has_no_value_for_what_it_did_not_know() -> None:
    wider = Flow.model_validate(
        CLICKS.model_dump()
        | {"features": (*CLICKS.features, PlannedField(name="more", dtype="String"))}
    )
    world = World.with_flow()
    world.stream.send(click("a", 0, 1))
    drain(world.consumer())
    world.apply(wider)
    world.stream.send(click("a", 1, 2))
    event = click("a", 2, 3, flow=wider)
    world.stream.send(replace(event, values={**event.values, "more": "x"}), flow=wider)
    drain(world.consumer())
    rows = sorted(rows_of(world.documents), key=lambda row: row["n"])
    assert [row.get("more") for row in rows] == [None, None, "x"]
    assert world.catalog.tables["clicks_pushed"]["more"] == "string"


def test_a_feature_that_changed_its_type_sets_its_events_aside_with_the_remedy() -> None:
    retyped = Flow.model_validate(
        CLICKS.model_dump() | {"features": (PlannedField(name="n", dtype="String"),)}
    )
    world = World.with_flow()
    world.stream.send(click("a", 0, 1))
    drain(world.consumer())
    world.apply(retyped)
    event = replace(click("a", 1, 2, flow=retyped), values={"n": "2"})
    world.stream.send(event, flow=retyped)
    drain(world.consumer())
    assert numbers(world.documents) == [1]
    (found,) = dead(world)
    assert "'n' as bigint, its view as string" in found["reason"]
    assert "another name" in found["reason"]


def test_served_rows_say_which_model_saw_them() -> None:
    flow = CLICKS.model_copy(update={"logs": (Kind.SERVED,)})
    world = World.with_flow(flow)
    served = replace(
        click("a", 0, 1),
        kind=Kind.SERVED,
        facts={"model": "fraud", "model_version": 4, "stored_time": START, "is_complete": True},
    )
    world.stream.send(served)
    drain(world.consumer())
    (row,) = rows_of(world.documents, "clicks_served")
    assert (row["model"], row["model_version"], row["is_complete"]) == ("fraud", 4, True)
    assert row["stored_time"] == START.replace(tzinfo=None)


def test_a_batch_is_committed_by_its_rows_or_by_its_age() -> None:
    world = World.with_flow(limits=Limits(rows=3, seconds=60))
    world.stream.page = 2
    consumer = world.consumer()
    consumer.tick()
    (worker,) = consumer.workers.values()
    world.stream.send(*(click("a", n, n) for n in range(4)))
    worker.step()
    assert numbers(world.documents) == []
    worker.step()
    assert numbers(world.documents) == [0, 1, 2, 3]
    world.stream.send(click("a", 9, 9))
    worker.step()
    world.time.seconds += 60
    assert 9 not in numbers(world.documents)
    worker.step()
    assert 9 in numbers(world.documents)


def test_a_reader_is_heard_of_while_nothing_comes() -> None:
    world = World.with_flow()
    consumer = world.consumer()
    consumer.tick()
    (worker,) = consumer.workers.values()
    before = worker.lease.record.beat
    worker.step()
    assert worker.lease.record.beat == before
    world.time.seconds += world.limits.beat_seconds
    worker.step()
    assert worker.lease.record.beat == before + 1


def test_a_preview_counts_and_changes_nothing() -> None:
    world = World.with_flow()
    world.stream.send(*(click("a", n, n) for n in range(20)))
    before = dict(world.documents.stored)
    preview = Overlay(world.documents)
    consumer = world.consumer(preview)
    drain(consumer)
    assert world.documents.stored == before
    (record,) = (record for record, _ in consumer.book.read().values())
    assert record.counts == {"clicks_pushed": {"kept": 20}}


def test_what_a_preview_deleted_is_gone_for_it_alone() -> None:
    world = World.with_flow()
    world.documents.put("a", b"1")
    preview = Overlay(world.documents)
    preview.delete("a")
    with pytest.raises(NotFound):
        preview.get("a")
    assert list(preview.keys("")) == []
    preview.create("a", b"2")
    assert (preview.get("a").body, world.documents.get("a").body) == (b"2", b"1")


def test_a_consumer_of_threads_reads_every_shard_and_ends() -> None:
    world = World.with_flow(shards=3, limits=Limits(rows=5, lease_seconds=0.3))
    world.time = time.monotonic  # type: ignore[assignment]  # real threads, real time
    world.stream.page = 3
    world.stream.send(*(click(f"u{n}", n, n) for n in range(50)))
    world.stream.split(0)
    world.stream.send(*(click(f"u{n}", n, n) for n in range(50, 100)))
    world.consumer().run()
    assert numbers(world.documents) == list(range(100))
    owners = {record.owner for record, _ in world.consumer().book.read().values()}
    assert len(owners - {None}) <= 1  # a drained shard keeps the name of its last reader


def test_a_consumer_that_is_to_end_by_itself_ends_with_what_failed() -> None:
    world = World.with_flow()
    world.time = time.monotonic  # type: ignore[assignment]  # real threads, real time
    consumer = world.consumer()

    def broken(_: Any, __: Any) -> Any:
        raise Unavailable("the stream is down")

    world.stream.reader = broken  # type: ignore[assignment]  # of this test's stream
    with pytest.raises(Unavailable):
        consumer.run()
