"""Records and streams in one SQLite file: what was acknowledged is on disk."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local.kinesis.shards import Stream, from_document, sequence_number, to_document

_SCHEMA = """
CREATE TABLE IF NOT EXISTS streams (name TEXT PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS records (
  stream TEXT, shard TEXT, sequence INTEGER, key TEXT, data BLOB, arrived REAL,
  PRIMARY KEY (stream, shard, sequence)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Record:
    """One record; `data` is what was put, base64 as it came over the wire."""

    shard: str
    sequence: int
    key: str
    data: str
    arrived: float

    def described(self) -> dict[str, Any]:
        return {
            "SequenceNumber": sequence_number(self.sequence),
            "ApproximateArrivalTimestamp": round(self.arrived, 3),
            "Data": self.data,
            "PartitionKey": self.key,
        }


class RecordFile:
    """Not safe for concurrent use: the service holds a lock."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")  # outlives the process, not the machine
        self._db.executescript(_SCHEMA)

    def load(self) -> Iterator[Stream]:
        """Every stream, as it was when it was last changed."""
        for name, document in self._db.execute("SELECT name, document FROM streams").fetchall():
            newest = self._db.execute(
                "SELECT max(sequence) FROM records WHERE stream = ?", (name,)
            ).fetchone()[0]
            yield from_document(json.loads(document), [] if newest is None else [newest])

    def save(self, stream: Stream) -> None:
        document = json.dumps(to_document(stream))
        self._db.execute("INSERT OR REPLACE INTO streams VALUES (?, ?)", (stream.name, document))

    def forget(self, stream: str) -> None:
        for table, column in (("records", "stream"), ("streams", "name")):
            self._db.execute(f"DELETE FROM {table} WHERE {column} = ?", (stream,))  # noqa: S608  # ours

    def append(self, stream: str, records: Iterable[Record]) -> None:
        """All or none."""
        rows = [(stream, r.shard, r.sequence, r.key, r.data, r.arrived) for r in records]
        self._db.execute("BEGIN")
        self._db.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", rows)
        self._db.execute("COMMIT")

    def read(self, stream: str, shard: str, start: int, *, since: float) -> Iterator[Record]:
        """From a sequence on, in order, without what arrived before `since`."""
        rows = self._db.execute(
            "SELECT shard, sequence, key, data, arrived FROM records "
            "WHERE stream = ? AND shard = ? AND sequence >= ? AND arrived >= ? ORDER BY sequence",
            (stream, shard, start, since),
        )
        return (Record(*row) for row in rows)

    def first_since(self, stream: str, shard: str, moment: float) -> int | None:
        """The sequence of the first record that arrived then or later."""
        found = self._db.execute(
            "SELECT min(sequence) FROM records WHERE stream = ? AND shard = ? AND arrived >= ?",
            (stream, shard, moment),
        ).fetchone()[0]
        return None if found is None else int(found)

    def newest_arrival(self, stream: str, shard: str) -> float:
        found = self._db.execute(
            "SELECT max(arrived) FROM records WHERE stream = ? AND shard = ?", (stream, shard)
        ).fetchone()[0]
        return float(found or 0.0)

    def trim(self, stream: str, before: float) -> None:
        self._db.execute("DELETE FROM records WHERE stream = ? AND arrived < ?", (stream, before))

    def close(self) -> None:
        self._db.close()
