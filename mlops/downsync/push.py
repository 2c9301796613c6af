"""Pushing rows: checked, written to the online store, and told to the offline store.

    with open_pusher(load_settings()) as pusher:
        report = pusher.push("clicks_push", [
            {"user_id": "1042", "clicks": 3, "event_time": "2025-05-01T10:00:00Z"},
        ])

Rows are held to the schema of every view of the push source. One that does not fit is refused
with its reason, and the others are written all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from mlops.aws import Aws
from mlops.clock import Clock
from mlops.downsync.events import Encoder, Event, microseconds
from mlops.downsync.flow import Flow, Kind, load_flows
from mlops.downsync.log import EventLog, Outcome
from mlops.downsync.online import OnlineRow, OnlineWriter
from mlops.downsync.producer import MAX_EVENT_BYTES, Producer, ProducerLimits
from mlops.downsync.stream import KinesisSink
from mlops.downsync.values import ValueType, as_json, read_time, value_type
from mlops.downsync.writers import open_writer
from mlops.errors import NotFound, Unavailable
from mlops.objects import S3Documents
from mlops.secrets import redis_target
from mlops.settings import Settings
from mlops.stores.redis.connecting import USUAL_LIMITS

TOLERANCE = timedelta(minutes=5)
"""How far ahead of the platform's clock an event time may be."""
_CLOSE_SECONDS = 30.0
_LIMITS = ProducerLimits(flush_seconds=0.05)
_MAX_ROW_BYTES = MAX_EVENT_BYTES - 1024
"""An event also says what view it is of."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_OWN = ("event_time", "event_id")


@dataclass(frozen=True)
class RowResult:
    """What became of one row."""

    event_id: str | None = None
    problem: str | None = None
    """Why it was refused; None for a row that was written."""
    where: str | None = None
    """Which field of it is wrong."""
    logged: Mapping[str, Outcome] = field(default_factory=dict)
    """What the offline store is told of it, by view."""


@dataclass(frozen=True)
class _Row:
    """A row that fits: once for each view."""

    event_id: str
    rows: Mapping[str, OnlineRow]


class _Misfit(Exception):
    """A row that is refused."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(problem)
        self.where = where


@dataclass(frozen=True)
class Pusher:
    """Pushes rows of the sources that are applied; safe to share between threads."""

    flows: Mapping[str, Flow]
    """By view; may change at any time."""
    writer: OnlineWriter
    log: EventLog
    clock: Clock

    def push(
        self, source: str, rows: Sequence[Any], *, caller: str = "", wait_seconds: float = 30.0
    ) -> list[RowResult]:
        """Write rows to every view of a push source; what became of each, in order.

        rows: objects with the views' join keys and features (null where there is no value), an
        `event_time` (aware, or ISO 8601 with a zone) and, if a repetition is to be known again by
        the offline store, an `event_id`.
        wait_seconds: how long to wait until the stream has what is told to it; 0 does not wait.
        Raises NotFound for a source that is not applied, Refused for a view that cannot be
        written, and Unavailable where the online store does not answer: then push all again.
        """
        flows = self._flows_of(source)
        for flow in flows:
            self.writer.check(flow)
        schema = _Schema(flows, now=self.clock.now())
        read = [schema.read(row) for row in rows]
        good = [row for row in read if isinstance(row, _Row)]
        for flow in flows:
            if good:
                self.writer.write(flow, [row.rows[flow.view] for row in good])
        results = [
            row if isinstance(row, RowResult) else self._told(row, flows, source, caller)
            for row in read
        ]
        if wait_seconds and not self.log.producer.flush(wait_seconds):
            raise Unavailable(
                f"The rows are online, but the stream did not take them within {wait_seconds:g} s. "
                "Push them again with the same event_id."
            )
        return results

    def _flows_of(self, source: str) -> list[Flow]:
        flows = dict(self.flows)
        found = [flow for _, flow in sorted(flows.items()) if flow.push_source == source]
        if not found:
            known = sorted({flow.push_source for flow in flows.values() if flow.push_source})
            raise NotFound(
                f"No push source '{source[:100]}' is applied. There are "
                f"{', '.join(known) or 'none'}; see 'mlops features apply'."
            )
        return found

    def _told(self, row: _Row, flows: Sequence[Flow], source: str, caller: str) -> RowResult:
        now = microseconds(self.clock.now())
        facts = {"push_source": source, "pushed_by": caller}
        logged = {
            flow.view: self.log.add(
                flow,
                Kind.PUSHED,
                row.rows[flow.view].key,
                row.rows[flow.view].values,
                time_us=row.rows[flow.view].time_us,
                created_us=now,
                facts=facts,
                event_id=row.event_id,
            )
            for flow in flows
        }
        return RowResult(row.event_id, logged=logged)


class _Schema:
    """What a row of a push source must hold."""

    def __init__(self, flows: Sequence[Flow], *, now: datetime) -> None:
        self._flows, self._now = flows, now
        self._keys = {f.name: _type(f.dtype) for flow in flows for f in flow.keys}
        self._features = {f.name: _type(f.dtype) for flow in flows for f in flow.features}
        self._encoders = {flow.view: Encoder(flow) for flow in flows}
        self._names = self._keys.keys() | self._features.keys() | {"event_time"}

    def read(self, row: Any) -> _Row | RowResult:
        try:
            return self._read(row)
        except _Misfit as exc:
            return RowResult(problem=str(exc), where=exc.where)

    def _read(self, row: Any) -> _Row:
        if not isinstance(row, Mapping):
            raise _Misfit("", "it is no object")
        if missing := sorted(self._names - row.keys()):
            raise _Misfit(missing[0], f"'{missing[0]}' is missing; null is a value")
        if unknown := sorted(map(str, row.keys() - self._names - {"event_id"})):
            name = unknown[0][:100]
            raise _Misfit(name, f"'{name}' is no field of this push source")
        key = {name: _value(row, name, kind) for name, kind in self._keys.items()}
        if absent := [name for name, value in key.items() if value is None]:
            raise _Misfit(absent[0], f"'{absent[0]}' is null, but it is a join key")
        values = {name: _value(row, name, kind) for name, kind in self._features.items()}
        time_us, event_id = self._time(row["event_time"]), _event_id(row.get("event_id"))
        rows = {flow.view: _row_of(flow, key, values, time_us) for flow in self._flows}
        self._check_size(event_id, rows)
        return _Row(event_id, rows)

    def _time(self, value: Any) -> int:
        try:
            moment = read_time(as_json(value))
        except ValueError as exc:
            problem = "'event_time' must be an ISO 8601 time with a zone"
            raise _Misfit("event_time", problem) from exc
        if moment > self._now + TOLERANCE:
            raise _Misfit("event_time", f"'event_time' is more than {TOLERANCE} in the future")
        if moment < _EPOCH:
            raise _Misfit("event_time", "'event_time' is before 1970")
        return microseconds(moment)

    def _check_size(self, event_id: str, rows: Mapping[str, OnlineRow]) -> None:
        for flow in self._flows:
            row = rows[flow.view]
            event = Event(
                event_id, Kind.PUSHED, "", "", row.time_us, 0, row.key, b"", row.values, {}
            )
            size = len(self._encoders[flow.view].encode(event))
            if size > _MAX_ROW_BYTES:
                raise _Misfit("", f"it takes {size:,} bytes; {_MAX_ROW_BYTES:,} are allowed")


def _row_of(
    flow: Flow, key: Mapping[str, Any], values: Mapping[str, Any], time_us: int
) -> OnlineRow:
    return OnlineRow(
        {f.name: key[f.name] for f in flow.keys},
        {f.name: values[f.name] for f in flow.features},
        time_us,
    )


def _value(row: Mapping[str, Any], name: str, kind: ValueType) -> Any:
    value = as_json(row[name])
    if value is None:
        return None
    try:
        return kind.from_json(value)
    except ValueError as exc:
        raise _Misfit(name, f"'{name}' must be {kind.says}") from exc


def _event_id(value: Any) -> str:
    if value is None:
        return uuid4().hex
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise _Misfit("event_id", "'event_id' must be 1 to 64 letters, digits, '.', '_', ':', '-'")
    return value


def _type(dtype: str) -> ValueType:
    found = value_type(dtype)
    assert found is not None, f"{dtype} passed 'features apply'"
    return found


@contextmanager
def open_pusher(settings: Settings) -> Iterator[Pusher]:
    """A pusher of this process's own, as its own identity; at the end it sends what is left.

    Raises NotFound where nothing is applied, SettingsError where Redis is not to be had.
    """
    aws = Aws(region=settings.region)
    flows = load_flows(S3Documents(aws, settings.names.artifact_bucket))
    writer = open_writer(redis_target(settings, aws), settings.build_clock(), USUAL_LIMITS)
    producer = Producer(KinesisSink(aws, settings.names.downsync_stream), limits=_LIMITS)
    try:
        yield Pusher(flows, writer, EventLog(producer), settings.build_clock())
    finally:
        producer.close(_CLOSE_SECONDS)
        writer.close()
