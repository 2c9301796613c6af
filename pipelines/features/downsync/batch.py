"""What was read of a shard since its last commit, judged, and as files."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson

from mlops.downsync.events import Event, Unreadable, microseconds, unpack
from mlops.downsync.flow import Flow, Kind
from pipelines.features.downsync.flows import FlowBook, KnownFlow
from pipelines.features.downsync.judging import Judge, Verdict
from pipelines.features.downsync.layout import day_prefix, dead_prefix
from pipelines.features.downsync.reading import StreamEntry
from pipelines.features.downsync.rows import day_of
from pipelines.features.downsync.shards import UNKNOWN

TOLERANCE = timedelta(minutes=5)
"""How far ahead of the clock and of its arrival an event's time may be."""


@dataclass(frozen=True)
class File:
    """A file to be; `folder` is where it belongs."""

    folder: str
    suffix: str
    day: str
    table: str | None
    rows: int
    body: bytes


@dataclass(frozen=True)
class Desk:
    """Where the records of one read are judged."""

    judge: Judge
    flows: FlowBook
    now: datetime
    """By the platform's clock."""
    read_at: float
    """By the flows' own."""

    def flow_of(self, raw: Mapping[str, Any]) -> KnownFlow | None:
        """The flow that an event was written by, or a later one."""
        view = str(raw.get("view"))
        known = self.flows.get(view)
        if known and _fits(raw, known.flow):
            return known
        return self.flows.get_since(view, self.read_at)


def _fits(raw: Mapping[str, Any], flow: Flow) -> bool:
    return raw.get("schema") == flow.schema_version and raw.get("kind") in flow.logs


@dataclass
class Batch:
    """Filled record by record."""

    began: float
    rows: dict[tuple[KnownFlow, Kind, str], list[Event]] = field(default_factory=dict)
    dead: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, dict[Verdict, int]] = field(default_factory=dict)
    events: int = 0
    bytes: int = 0
    first: str | None = None
    last: str | None = None
    """Sequence numbers."""
    arrived: datetime | None = None

    def add(self, entry: StreamEntry, desk: Desk) -> None:
        """Judge the events of a record. Nothing that it holds stops the shard."""
        self.first, self.last = self.first or entry.sequence, entry.sequence
        self.arrived = entry.arrived
        self.bytes += len(entry.data)
        latest = microseconds(max(desk.now, entry.arrived) + TOLERANCE)
        for raw in unpack(entry.data):
            self.events += 1
            table, verdict = self._take(raw, entry, desk, latest)
            of_table = self.counts.setdefault(table, {})
            of_table[verdict] = of_table.get(verdict, 0) + 1

    def _take(
        self, raw: dict[str, Any] | Unreadable, entry: StreamEntry, desk: Desk, latest: int
    ) -> tuple[str, Verdict]:
        if isinstance(raw, Unreadable):
            return UNKNOWN, self._bury(entry, raw.reason, raw.raw)
        known = desk.flow_of(raw)
        if known is None:
            reason = f"view '{raw.get('view')}' is not applied"
            return UNKNOWN, self._bury(entry, reason, raw)
        try:
            event = _decoded(known, raw, latest)
        except ValueError as exc:
            return UNKNOWN, self._bury(entry, str(exc), raw)
        verdict = desk.judge.judge(event, known.flow, round(entry.arrived.timestamp() * 1000))
        if verdict is Verdict.KEPT:
            self.rows.setdefault((known, event.kind, day_of(event)), []).append(event)
        return known.flow.table(event.kind), verdict

    def _bury(self, entry: StreamEntry, reason: str, raw: Any) -> Verdict:
        self.dead.append(
            {
                "reason": reason,
                "sequence": entry.sequence,
                "arrived": entry.arrived,
                "event": {"base64": base64.b64encode(raw).decode()}
                if isinstance(raw, bytes)
                else raw,
            }
        )
        return Verdict.DEAD

    def files(self) -> Iterator[File]:
        """One per table, day and schema, and one for what was set aside."""
        for (known, kind, day), events in self.rows.items():
            table = known.tables[kind]
            body = table.parquet(known.flow, events)
            folder = day_prefix(table.name, day)
            yield File(folder, ".parquet", day, table.name, len(events), body)
        if self.dead:
            assert self.arrived is not None
            day = f"{self.arrived:%Y-%m-%d}"
            body = b"\n".join(map(orjson.dumps, self.dead)) + b"\n"
            yield File(dead_prefix(day), ".jsonl", day, None, len(self.dead), body)


def _decoded(known: KnownFlow, raw: Mapping[str, Any], latest: int) -> Event:
    """Raises ValueError that says why no table could hold it."""
    if known.problem:
        raise ValueError(known.problem)
    event = known.decoder.decode(raw)
    if event.time_us > latest:
        raise ValueError("'time' is in the future")
    return event
