"""Whether the online store holds what the offline store says, row by row and feature by feature.

What should stand online is the latest row of each key that is published and not outdated by the
platform's clock. It is packed as a writer packs it and compared with what stands there, byte for
byte. A newer row online is no fault: it was pushed since, and will be in the offline store later.
"""

from __future__ import annotations

import hashlib
import itertools
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel

from mlops.deletion import deleted_field
from mlops.errors import InputError
from mlops.plan import PlannedField
from mlops.stores.athena import results
from mlops.stores.athena.results import Unloaded
from mlops.stores.athena.sql import to_microseconds
from mlops.stores.redis.batches import Batch, Limits, encode
from mlops.stores.redis.commands import Fields
from mlops.stores.redis.decoding import RowReader
from mlops.stores.redis.exchange import TIMES, Exchange, exchange, is_vanished, vanished
from mlops.stores.redis.keys import scan_pattern, schemas_key
from mlops.stores.redis.link import Link
from mlops.stores.redis.schema import HEADER, TOMBSTONE, Schema, parse_schema
from mlops.stores.redis.views import StoredView, stored_view
from pipelines.features.upsync import statements
from pipelines.features.upsync.changes import timing_of
from pipelines.features.upsync.staging import Planner
from pipelines.features.upsync.state import CREATED, EVENT, Span

_ROWS = 10_000
_SCAN = 2_000
FAULTS = ("missing", "stale", "different", "extra", "ahead", "unreadable")


@dataclass(frozen=True)
class Sample:
    """Which keys are compared: a share of all, by a seeded hash."""

    share: float = 1.0
    seed: str = ""

    @property
    def buckets(self) -> int:
        return round(self.share * statements.BUCKETS)


class Verdict(BaseModel):
    """How one view compares. Keys are shown only where they were asked for."""

    view: str
    until: datetime
    share: float
    checked: int
    """Rows that should stand online."""
    same: int = 0
    newer: int = 0
    """Rows online that the offline store does not have yet: no fault."""
    missing: int = 0
    stale: int = 0
    """An older row stands online."""
    different: int = 0
    """The same row by its times, with other values."""
    extra: int = 0
    """Within the TTL, and the offline store has no row of the key."""
    unreadable: int = 0
    ahead: int = 0
    """Rows online from the future: the clock went back, and they were not taken out."""
    features: dict[str, int] = {}
    """How many rows differ in each feature."""
    examples: dict[str, list[str]] = {}
    removed: int = 0

    @property
    def faults(self) -> int:
        return sum(int(getattr(self, kind)) for kind in FAULTS)

    @property
    def fault_share(self) -> float:
        return self.faults / max(1, self.checked)


@dataclass
class Verifier:
    """Compares views; reads both stores and changes nothing, unless extra rows are to go."""

    planner: Planner
    link: Link
    shown: int = 0
    """Examples of each fault; keys may be personal data."""
    _schemas: dict[bytes, Schema | None] = field(default_factory=dict)

    def verify(
        self, view: Any, *, now: datetime, sample: Sample, remove_extra: bool = False
    ) -> Verdict:
        """Compare a view. Raises InputError where its keys cannot be sampled."""
        span = timing_of(view).span(now)
        with self.planner.session.run() as work:
            reading = self.planner.reading(view, work, self.planner.pieces(view))
            if sample.share < 1 and not statements.is_hashable(reading.keys):
                raise InputError(f"The keys of view '{view.name}' cannot be sampled. Compare all.")
            stored = stored_view(
                self.planner.project,
                view.name,
                join_keys=reading.keys,
                features=reading.features,
                ttl_seconds=int(view.ttl.total_seconds()) if view.ttl else 0,
                deleted=deleted_field(view),
            )
            sql = statements.current_sql(reading, span, buckets=sample.buckets, seed=sample.seed)
            comparison = _Comparison(
                stored, reading.features, span, now + Limits().ahead, self.shown
            )
            known = array("Q")
            for batch in _offline(work.unload(sql), work.run.storage):
                known.extend(self._compare(comparison, batch, now))
        self._scan(comparison, np.sort(np.array(known, np.uint64)), reading.keys, sample)
        if remove_extra:
            comparison.removed = self._remove(comparison)
        return comparison.verdict(sample)

    def _compare(
        self, comparison: _Comparison, batch: pa.RecordBatch, now: datetime
    ) -> Iterator[int]:
        """The hash of each key that was compared."""
        rows = encode(
            Batch(comparison.view, batch, event_time=EVENT, created=CREATED),
            now=now,
            limits=Limits(),
        )
        comparison.counts["checked"] += batch.num_rows
        for refusal in rows.refused:
            comparison.note("missing", refusal.reason.encode())
        there = self._read(comparison, rows.keys)
        for key, wanted, found in zip(rows.keys, rows.rows, there, strict=True):
            yield _hash(key)
            kind = comparison.judge(wanted, found)
            if kind == "different":
                kind = self._differences(comparison, wanted, found)
            comparison.note(kind, key)
            if kind == "ahead":
                comparison.wrong.append((key, found[TIMES], wanted))

    def _read(self, comparison: _Comparison, keys: Sequence[bytes]) -> list[Any]:
        asked = Fields((comparison.view.field,))
        answers = self.link.fetch([(key, asked) for key in keys])
        return [answer[0] if isinstance(answer, list) else answer for answer in answers]

    def _differences(self, comparison: _Comparison, wanted: bytes, found: bytes) -> str:
        """Which features differ; a row of another schema may hold the same values."""
        schema = self._schema(comparison.view, found)
        if schema is None:
            return "unreadable"
        reader = RowReader(schema, comparison.features)
        if reader.is_whole([found]) is not None:
            return "unreadable"
        ours = RowReader(comparison.view.schema, comparison.features).read([wanted])[1]
        theirs = reader.read([found])[1]
        pairs = zip(comparison.features, ours, theirs, strict=True)
        differing = [f.name for f, a, b in pairs if a[0] != b[0]]
        comparison.differing.update(differing)
        return "different" if differing else "same"

    def _schema(self, view: StoredView, row: bytes) -> Schema | None:
        print_ = row[1:5]
        if print_ == view.schema.fingerprint:
            return view.schema
        if print_ not in self._schemas:
            kept = self.link.command("HGET", schemas_key(view.project), print_)
            self._schemas[print_] = parse_schema(kept) if kept else None
        return self._schemas[print_]

    def _scan(
        self,
        comparison: _Comparison,
        known: Any,
        fields: Sequence[PlannedField],
        sample: Sample,
    ) -> None:
        """Look at every key online for rows that the offline store does not have."""
        for keys in self._keys(comparison.view):
            hashes = np.array([_hash(key) for key in keys], np.uint64)
            there = np.isin(hashes, known, assume_unique=False)
            others = [
                key
                for key, is_known in zip(keys, there, strict=True)
                if not is_known and _in_sample(comparison.view, key, fields, sample)
            ]
            for key, row in zip(others, self._read(comparison, others), strict=True):
                kind = comparison.judge_alone(row)
                if kind is not None:
                    comparison.note(kind, key)
                if kind == "extra":
                    comparison.wrong.append((key, row[TIMES], vanished(row[TIMES])))
                elif kind == "ahead":
                    comparison.wrong.append((key, row[TIMES], b""))

    def _keys(self, view: StoredView) -> Iterator[list[bytes]]:
        """Every key of the view's entities, each at least once; repeated ones are left out."""
        seen = set[int]()
        keys = self.link.scan(scan_pattern(view.keys.prefix))
        while part := list(itertools.islice(keys, _SCAN)):
            fresh = [key for key in dict.fromkeys(part) if _hash(key) not in seen]
            seen.update(_hash(key) for key in fresh)
            yield fresh

    def _remove(self, comparison: _Comparison) -> int:
        """Take out the rows that were seen and should not stand, where they still do."""
        if not comparison.wrong:
            return 0
        keys, old, new = zip(*comparison.wrong, strict=True)
        return sum(exchange(self.link, Exchange(comparison.view, keys, old, new)))


@dataclass
class _Comparison:
    """What was found of one view so far."""

    view: StoredView
    features: Sequence[PlannedField]
    span: Span
    horizon: datetime
    """Where the future begins: what is pushed may be a little ahead of the clock."""
    shown: int
    counts: Counter[str] = field(default_factory=Counter)
    differing: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    wrong: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)
    """Keys of rows that should not stand, the rows' times, and what should stand there."""
    removed: int = 0

    def judge(self, wanted: bytes, found: Any) -> str:
        """What stands online, against the row that should."""
        if wanted[0] == TOMBSTONE and _is_gone(found):
            return "same"
        if found == wanted:
            return "same"
        if found is None:
            return "missing"
        if not isinstance(found, bytes) or len(found) < HEADER.size:
            return "unreadable"
        if is_vanished(found):
            return "missing"
        ours, theirs = HEADER.unpack_from(wanted)[2:], HEADER.unpack_from(found)[2:]
        if theirs > ours or (theirs == ours and found[0] == TOMBSTONE):
            return "ahead" if theirs[0] > to_microseconds(self.horizon) else "newer"
        if theirs < ours or wanted[0] == TOMBSTONE:
            return "missing" if found[0] == TOMBSTONE else "stale"
        return "different"

    def judge_alone(self, found: Any) -> str | None:
        """A row of a key that the offline store has none of; None where that is right."""
        if found is None:
            return None
        if not isinstance(found, bytes) or len(found) < HEADER.size:
            return "unreadable"
        event = HEADER.unpack_from(found)[2]
        oldest = self.span.oldest
        if found[0] == TOMBSTONE or (oldest is not None and event < to_microseconds(oldest)):
            return None
        if event > to_microseconds(self.horizon):
            return "ahead"
        return "newer" if event > to_microseconds(self.span.until) else "extra"

    def note(self, kind: str, key: bytes) -> None:
        self.counts[kind] += 1
        if kind in FAULTS and self.counts[kind] <= self.shown:
            self.examples.setdefault(kind, []).append(key.decode("utf-8", "replace"))

    def verdict(self, sample: Sample) -> Verdict:
        return Verdict(
            view=self.view.name,
            until=self.span.until,
            share=sample.share,
            features=dict(self.differing),
            examples=self.examples,
            removed=self.removed,
            **{"checked": 0, **self.counts},
        )


def _is_gone(found: Any) -> bool:
    """Whether a reader finds nothing, as of a row that is deleted."""
    return found is None or (
        isinstance(found, bytes) and len(found) == HEADER.size and found[0] == TOMBSTONE
    )


def _offline(unloaded: Unloaded, storage: Any) -> Iterator[pa.RecordBatch]:
    return results.stream(storage, unloaded, rows=_ROWS)


def _hash(key: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")


def _in_sample(
    view: StoredView, key: bytes, fields: Sequence[PlannedField], sample: Sample
) -> bool:
    if sample.share >= 1:
        return True
    values = dict(zip(view.keys.names, view.keys.values(key), strict=True))
    ordered = [values[field.name] for field in fields]
    return statements.bucket_of(ordered, sample.seed) < sample.buckets
