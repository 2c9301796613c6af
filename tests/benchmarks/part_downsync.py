"""What logging costs a request, and how fast events become rows.

`served-request`: one prediction's instance of two views of six features, both logged. Ours is
offered to the producer; the peer puts each event into Kinesis itself, on the local AWS, as code
without a buffer does; the floor is writing the same JSON.
`consume`: events of records to files: judged, deduplicated, kept apart by an interval and
committed. The peer reads the same JSON into a DataFrame and writes Parquet, and does none of that.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from infra.local import lifecycle
from mlops.downsync.events import Encoder, pack
from mlops.downsync.flow import Flow, Kind
from mlops.downsync.log import EventLog
from mlops.downsync.producer import Producer, ProducerLimits
from mlops.downsync.stream import MemorySink
from mlops.plan import PlannedField
from pipelines.features.downsync.worker import Limits
from tests.benchmarks.measure import Measurement, race
from tests.downsync import CLICKS, START, World, click, drain, numbers, thinned

REQUESTS = 2000
CALLS = 100
EVENTS = 50_000
_MICROSECONDS = 1e6


def measure() -> Iterator[Measurement]:
    yield _served_request()
    yield _consume()


def _flow(view: str, key: str) -> Flow:
    return Flow(
        project="shop",
        view=view,
        keys=(PlannedField(name=key, dtype="String"),),
        features=tuple(PlannedField(name=f"f{n}", dtype="Float64") for n in range(6)),
        logs=(Kind.SERVED,),
    )


FLOWS = (_flow("spend", "customer_id"), _flow("risk", "terminal_id"))
VALUES = {f"f{n}": n * 1.25 for n in range(6)}
FACTS = {
    "model": "fraud",
    "model_version": 3,
    "service": "fraud_v1",
    "request_id": "8d1caaaab2904102be33ea9978c678ae",
    "stored_time": START,
    "is_complete": True,
}


def _served_request() -> Measurement:
    with tempfile.TemporaryDirectory() as folder, lifecycle.start(Path(folder)) as local:
        os.environ.update(local.environment())
        kinesis = local.client("kinesis")
        kinesis.create_stream(StreamName="bench", ShardCount=4)
        sink = MemorySink()
        producer = Producer(sink, limits=ProducerLimits(buffer_bytes=1 << 30, flush_seconds=600))
        log = EventLog(producer)
        event = _event_of(sink)

        def put() -> None:
            for n in range(CALLS):
                for flow in FLOWS:
                    body = event(flow)
                    kinesis.put_record(StreamName="bench", Data=body, PartitionKey=str(n))

        ours, peer, floor = race(
            lambda: _repeat(REQUESTS, lambda: _offer_all(log)),
            put,
            lambda: _repeat(REQUESTS, lambda: [event(flow) for flow in FLOWS]),
        )
        producer.close(60)
        assert producer.counts.sent == producer.counts.offered
    return Measurement(
        "downsync",
        "served-request",
        ours / REQUESTS * _MICROSECONDS,
        peer / CALLS * _MICROSECONDS,
        "µs",
        floor / REQUESTS * _MICROSECONDS,
    )


def _offer_all(log: EventLog) -> None:
    for flow in FLOWS:
        key = {flow.keys[0].name: "1042"}
        log.add(flow, Kind.SERVED, key, VALUES, time_us=0, created_us=0, facts=FACTS)


def _event_of(sink: MemorySink) -> Callable[[Flow], bytes]:
    """Writes the JSON that an event is, and nothing else; checked against a real one."""
    producer = Producer(sink, limits=ProducerLimits(flush_seconds=0.01))
    log = EventLog(producer)
    _offer_all(log)
    producer.close(60)
    found = [e for record in sink.taken for e in orjson.loads(record.data)["events"]]
    sink.taken.clear()
    bodies = {event["view"]: event for event in found}
    assert bodies.keys() == {flow.view for flow in FLOWS}
    return lambda flow: orjson.dumps(bodies[flow.view])


def _repeat(times: int, work: Callable[[], Any]) -> None:
    for _ in range(times):
        work()


def _consume() -> Measurement:
    flow = thinned(interval_us=1_000_000)
    encoder = Encoder(CLICKS)
    events = [click(f"user-{n % 500}", n, n) for n in range(EVENTS)]
    records = [
        pack([encoder.encode(event) for event in events[start : start + 100]])
        for start in range(0, EVENTS, 100)
    ]

    def ours() -> None:
        world = World.with_flow(flow, limits=Limits())
        for record in records:
            world.stream.send_raw(0, record)
        drain(world.consumer())
        assert len(numbers(world.documents)) == EVENTS

    def peer() -> None:
        rows = [event for record in records for event in orjson.loads(record)["events"]]
        frame = pd.json_normalize(rows)
        frame.to_parquet(io.BytesIO())

    mine, theirs = race(ours, peer)
    return Measurement(
        "downsync",
        "consume",
        EVENTS / mine,
        EVENTS / theirs,
        "events/s",
        more_is_better=True,
    )
