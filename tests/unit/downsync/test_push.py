"""A job's own pushes: NumPy's values, and waiting for the stream."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops.clock import FixedClock
from mlops.downsync.flow import Flow, Kind
from mlops.downsync.log import EventLog, Outcome
from mlops.downsync.online import MemoryWriter
from mlops.downsync.producer import Producer, ProducerLimits
from mlops.downsync.push import Pusher
from mlops.downsync.stream import MemorySink
from mlops.errors import NotFound, Unavailable
from mlops.plan import PlannedField
from tests.downsync import CLICKS, START

OTHER = Flow(
    project="shop",
    view="visits",
    keys=CLICKS.keys,
    features=(PlannedField(name="visits", dtype="Int32"),),
    push_source="clicks_push",
    logs=(Kind.SERVED,),
)
ROW = {"user_id": "a", "n": 1, "share": 0.5, "event_time": START}


class Bench:
    """A pusher on fakes."""

    def __init__(self, *flows: Flow) -> None:
        self.sink, self.writer = MemorySink(), MemoryWriter()
        self.producer = Producer(self.sink, limits=ProducerLimits(flush_seconds=0.01))
        log = EventLog(self.producer)
        self.pusher = Pusher({f.view: f for f in flows}, self.writer, log, FixedClock(START))

    def stored(self, view: str = "clicks") -> dict[str, Any]:
        return dict(self.writer.store.rows[view, ("a",)].values)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench(CLICKS)
    yield made
    made.producer.close(0)


def test_a_frames_records_are_pushed_as_they_are(bench: Bench) -> None:
    frame = pd.DataFrame(
        {
            "user_id": ["a"],
            "n": np.array([7], dtype="int64"),
            "share": np.array([0.25], dtype="float32"),
            "event_time": pd.to_datetime([START]),
        }
    )
    (result,) = bench.pusher.push("clicks_push", frame.to_dict("records"))
    assert result.problem is None
    assert bench.stored() == {"n": 7, "share": 0.25}
    assert len(bench.sink.taken) == 1


@pytest.mark.parametrize(
    ("value", "stored"), [(np.float32(0.5), 0.5), (np.int64(2), 2.0), (float("inf"), float("inf"))]
)
def test_numpys_numbers_are_numbers(bench: Bench, value: Any, stored: float) -> None:
    bench.pusher.push("clicks_push", [ROW | {"share": value}])
    assert bench.stored()["share"] == stored


def test_a_time_of_another_zone_is_the_same_moment(bench: Bench) -> None:
    seoul = START.astimezone(timezone(timedelta(hours=9)))
    bench.pusher.push("clicks_push", [ROW | {"event_time": seoul}])
    assert bench.writer.store.rows["clicks", ("a",)].event_time == START
    naive = datetime(2018, 8, 8)  # noqa: DTZ001 - what is refused
    (result,) = bench.pusher.push("clicks_push", [ROW | {"event_time": naive}])
    assert result.problem is not None
    assert "with a zone" in result.problem


def test_a_source_of_two_views_writes_both_and_logs_as_each_says() -> None:
    bench = Bench(CLICKS, OTHER)
    (result,) = bench.pusher.push("clicks_push", [ROW | {"visits": 3}])
    assert result.logged == {"clicks": Outcome.LOGGED, "visits": Outcome.NOT_LOGGED}
    assert (bench.stored(), bench.stored("visits")) == ({"n": 1, "share": 0.5}, {"visits": 3})
    (result,) = bench.pusher.push("clicks_push", [ROW])
    assert result.where == "visits"
    bench.producer.close(0)


def test_a_push_returns_when_the_stream_has_it_or_says_that_it_has_not(bench: Bench) -> None:
    bench.pusher.push("clicks_push", [ROW])
    assert len(bench.sink.taken) == 1
    bench.sink.down = True
    with pytest.raises(Unavailable, match="same event_id"):
        bench.pusher.push("clicks_push", [ROW], wait_seconds=0.1)


def test_an_unknown_source_names_the_known(bench: Bench) -> None:
    with pytest.raises(NotFound, match="There are clicks_push"):
        bench.pusher.push("nowhere", [ROW])
