"""What a shard's consumer remembers: which events it saw, and when rows of a key were kept.

It grows with the traffic of a window of time and no further. What leaves it is rows of the table
by then, where `past` finds them again.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

import pyarrow as pa

_VERSION = b"1"
_SCHEMA = pa.schema(
    {
        "table": pa.dictionary(pa.int32(), pa.string()),
        "digest": pa.binary(16),
        "time_us": pa.int64(),
        "arrived_ms": pa.int64(),
    }
)
_EVENTS = ""
"""In place of a table's name: the rows that are events' ids."""


@dataclass
class KeptRows:
    """Times of the rows of one table that were kept lately."""

    times: dict[bytes, list[int]] = field(default_factory=dict)
    """Event times in microseconds, by the key's digest."""
    order: deque[tuple[bytes, int, int]] = field(default_factory=deque)
    """(digest, event time, arrival) in the order of their arrival."""
    forgotten_us: int | None = None
    """The latest event time of a row that was kept and is not remembered any more."""

    def add(self, digest: bytes, time_us: int, arrived_ms: int) -> None:
        self.times.setdefault(digest, []).append(time_us)
        self.order.append((digest, time_us, arrived_ms))

    def has_within(self, digest: bytes, time_us: int, interval_us: int) -> bool:
        """Whether a row of the key is remembered that is nearer than the interval."""
        return any(abs(time_us - kept) < interval_us for kept in self.times.get(digest, ()))

    def forget_before(self, arrived_ms: int) -> None:
        while self.order and self.order[0][2] < arrived_ms:
            digest, time_us, _ = self.order.popleft()
            times = self.times[digest]
            times.remove(time_us)
            if not times:
                del self.times[digest]
            self.forgotten_us = max(time_us, self.forgotten_us or time_us)


@dataclass
class Memory:
    """Changed in place while a batch is judged; written down with each commit."""

    events: dict[bytes, int] = field(default_factory=dict)
    """Arrival in milliseconds, by the digest of table and event id, in the order of arrival."""
    kept: dict[str, KeptRows] = field(default_factory=dict)
    """By table."""

    def rows(self, table: str) -> KeptRows:
        return self.kept.setdefault(table, KeptRows())

    def forget_events_before(self, arrived_ms: int) -> None:
        old = []
        for digest, arrived in self.events.items():
            if arrived >= arrived_ms:
                break
            old.append(digest)
        for digest in old:
            del self.events[digest]

    def write(self) -> bytes:
        """As an Arrow file."""
        forgotten = {t: r.forgotten_us for t, r in self.kept.items() if r.forgotten_us is not None}
        notes = {b"version": _VERSION, b"forgotten_us": json.dumps(forgotten).encode()}
        columns = list(zip(*self._entries(), strict=True)) or [(), (), (), ()]
        types = _SCHEMA.types[1:]
        arrays = [pa.array(c, kind) for c, kind in zip(columns[1:], types, strict=True)]
        tables = pa.array(columns[0], pa.string()).dictionary_encode()
        schema = _SCHEMA.with_metadata(notes)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as f:
            f.write_table(pa.Table.from_arrays([tables, *arrays], schema=schema))
        return bytes(sink.getvalue())

    def _entries(self) -> Iterator[tuple[str, bytes, int, int]]:
        for digest, arrived in self.events.items():
            yield _EVENTS, digest, 0, arrived
        for table, rows in self.kept.items():
            for digest, time_us, arrived in rows.order:
                yield table, digest, time_us, arrived


def event_digest(table: str, event_id: str) -> bytes:
    """16 bytes for an event of a table."""
    return blake2b(f"{table}\0{event_id}".encode(), digest_size=16).digest()


def read_memory(bodies: Iterable[bytes]) -> Memory:
    """One memory of all these: of a shard itself, or of the shards that it came from.

    Raises ValueError for one that another version wrote.
    """
    memory, entries = Memory(), list[tuple[str, bytes, int, int]]()
    for body in bodies:
        with pa.ipc.open_file(pa.BufferReader(body)) as file:
            table = file.read_all()
        notes = table.schema.metadata or {}
        if notes.get(b"version") != _VERSION:
            raise ValueError(f"its version is {notes.get(b'version')!r}, not {_VERSION!r}")
        for name, time_us in json.loads(notes[b"forgotten_us"]).items():
            rows = memory.rows(name)
            rows.forgotten_us = max(time_us, rows.forgotten_us or time_us)
        entries += zip(*(column.to_pylist() for column in table.columns), strict=True)
    for name, digest, time_us, arrived in sorted(entries, key=lambda entry: entry[3]):
        if name == _EVENTS:
            memory.events[digest] = arrived
        else:
            memory.rows(name).add(digest, time_us, arrived)
    return memory
