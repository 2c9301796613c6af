"""Rows of Feast's own layout become packed rows, newest wins, some hundreds of entities at a time.

Feast's layout has no created time, so that a migrated row gives way to one of the same event time
that has one. Nothing of a run depends on another: doing it again writes what is missing.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlops.clock import Clock
from mlops.stores.redis.batches import Limits
from mlops.stores.redis.client_link import unavailable
from mlops.stores.redis.commands import Call, Fields
from mlops.stores.redis.feast_layout import REMOVE, entity_of, is_of_older_version
from mlops.stores.redis.keys import NO_ENTITY, ends_pattern
from mlops.stores.redis.link import Link
from mlops.stores.redis.script import outranks
from mlops.stores.redis.writing import OnlineWriter
from pipelines.features.migration.views import Migrated, MigratedView, Packed, Row

_ENTITIES = 500
"""Entities in memory at a time."""
_REMOVED = 100
"""Hashes that one call of a script removes from."""
JoinKeys = tuple[str, ...]


@dataclass(frozen=True)
class Migration:
    """From Feast's layout, on this Redis or another, to the packed store."""

    source: Link
    target: Link
    project: str
    """Of the packed store."""
    from_project: str
    """Of Feast's rows."""
    clock: Clock
    settle: Callable[[], None] = lambda: None
    """Returns when what was written is safe; called before anything is removed."""
    limits: Limits = field(default_factory=Limits)

    def run(
        self,
        tables: Sequence[Any],
        *,
        dry_run: bool = False,
        remove_old: bool = False,
        told: Callable[[int], object] = bool,
    ) -> list[Migrated]:
        """Take the rows of these views over; a report for each, in their order.

        remove_old: a row goes from its source once the packed store holds it, or a newer one.
        told: how many keys were looked at so far. Raises Unavailable; doing it again goes on.
        """
        views = [MigratedView(self.project, table) for table in tables]
        groups: dict[JoinKeys, list[MigratedView]] = defaultdict(list)
        for view in views:
            view.report.dry_run = dry_run
            groups[view.join_keys].append(view)
        keys, looked = self._keys(), 0
        while some := list(itertools.islice(keys, _ENTITIES)):
            for names, entities in _grouped(some, self.from_project, groups).items():
                for view, rows in self._read(groups[names], entities):
                    packed = view.pack(rows, self.clock.now(), self.limits)
                    taken = self._look(view, packed) if dry_run else self._write(view, packed)
                    if remove_old:
                        removed = len(taken) if dry_run else self._remove(view, taken)
                        view.report.removed += removed
            looked += len(some)
            told(looked)
        return [view.report for view in views]

    def _keys(self) -> Iterator[bytes]:
        """Each key that ends like the project, once: a Redis that grows may tell one twice."""
        seen = set[int]()
        for key in self.source.scan(ends_pattern(self.from_project.encode())):
            if hash(key) not in seen:
                seen.add(hash(key))
                yield key

    def _read(
        self, views: Sequence[MigratedView], entities: Mapping[bytes, Any]
    ) -> Iterator[tuple[MigratedView, list[Row]]]:
        """The rows of each view, all read in one round trip."""
        fields = Fields(tuple(name for view in views for name in view.fields.names))
        answers = self.source.fetch([(key, fields) for key in entities])
        found = list(self._hashes(list(entities), answers))
        start = 0
        for view in views:
            part = slice(start, start := start + len(view.fields.names))
            rows = [view.read(key, entities[key], values[part]) for key, values in found]
            yield view, [row for row in rows if row is not None]

    def _hashes(
        self, keys: Sequence[bytes], answers: Sequence[Any]
    ) -> Iterator[tuple[bytes, list[Any]]]:
        for key, answer in zip(keys, answers, strict=True):
            if isinstance(answer, list):
                yield key, answer
            elif "WRONGTYPE" not in str(answer):
                raise unavailable(self.source.address, answer) from answer

    def _look(self, view: MigratedView, packed: Packed) -> Sequence[Row]:
        """Count what writing would do."""
        asked = Fields((view.stored.field,))
        answers = self.target.fetch([(key, asked) for key in packed.encoded.keys])
        stored = [answer[0] if isinstance(answer, list) else None for answer in answers]
        wins = sum(map(outranks, packed.encoded.rows, stored))
        view.report.written += wins
        view.report.older += len(packed.rows) - wins
        return packed.rows

    def _write(self, view: MigratedView, packed: Packed) -> Sequence[Row]:
        """The rows that the packed store has now, or newer ones of the same entities."""
        if not packed.rows:
            return []
        writer = OnlineWriter(self.target, self.clock, self.limits)
        fresh = [[packed.only_rows]]
        report = writer.write_encoded(fresh, now=self.clock.now())[view.stored.name]
        view.report.written += report.written
        view.report.older += report.skipped
        for refusal in report.refused:
            view.refuse(refusal.reason)
        return [] if report.refused else packed.rows

    def _remove(self, view: MigratedView, rows: Sequence[Row]) -> int:
        """Take rows out of Feast's layout; one that was written anew meanwhile stays."""
        if rows:
            self.settle()
        step = min(_REMOVED, self.source.keys_per_call)
        values = view.fields.values
        head = [view.fields.time, b"%d" % len(values), *values]
        parts = [rows[start : start + step] for start in range(0, len(rows), step)]
        calls = [Call([r.key for r in part], [*head, *(r.time for r in part)]) for part in parts]
        return sum(sum(done) for _, done in self.source.run(REMOVE, calls))


def _grouped(
    keys: Sequence[bytes], project: str, groups: Mapping[JoinKeys, Any]
) -> dict[JoinKeys, dict[bytes, Any]]:
    """Keys by join keys, with their entities; None where the entity cannot be told."""
    found: dict[JoinKeys, dict[bytes, Any]] = defaultdict(dict)
    for key in keys:
        entity = entity_of(key, project)
        names = (tuple(sorted(entity.join_keys)) or (NO_ENTITY,)) if entity is not None else ()
        if names in groups:
            found[names][key] = entity
        elif entity is None:
            for old in (names for names in groups if is_of_older_version(key, names)):
                found[old][key] = None
    return found
