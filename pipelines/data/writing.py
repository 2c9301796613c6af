"""Writing what a settlement accepts: under ids of its own, so that nobody reads it yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.data.ledger import Import, Ledger, load_ledger
from pipelines.data.manifests import ImportManifest, manifest_key
from pipelines.data.payments import Partition
from pipelines.data.schema import QUARANTINE_PREFIX, SHADOWED_PREFIX
from pipelines.data.settlement import Revival, Settlement
from pipelines.data.staging import (
    KNOWN,
    Progress,
    RowFile,
    Staged,
    to_parquet,
    write_quarantine,
)
from pipelines.data.store import Store
from pipelines.data.units import ImportOptions, Unit

_UPLOADS = 4
_ORDER = [("event_time", "ascending"), ("payment_id", "ascending")]


@dataclass
class Writing:
    """Writes one settlement, and can take it back."""

    settlement: Settlement
    store: Store
    options: ImportOptions
    scratch: Path
    progress: Progress
    keys: list[str] = field(default_factory=list)
    """What was written."""
    imports: list[Import] = field(default_factory=list)
    manifests: dict[str, ImportManifest] = field(default_factory=dict)
    """By the unit's name."""

    def write(self) -> Ledger:
        """Write everything; returns the ledger that makes it current."""
        found, ids = self.settlement, self._new_ids()
        for position, unit in enumerate(found.accepted):
            rows, known = self._write_rows(unit.staged, position, ids[position])
            winners = self._winners(position, ids)
            one = self._import(ids[position], unit.arrival.sha256, unit.label, rows, winners)
            manifest = describe(unit, found, self.options, self.store, one)
            if manifest.quarantine:
                self._write_quarantine(unit.staged, known, one.id)
            if winners:
                self._put(f"{SHADOWED_PREFIX}{one.id}.parquet", known.read_bytes())
            self._note(one, manifest)
            self.manifests[unit.name] = manifest
        still_known = dict(self._revive(ids))
        return found.ledger.with_commit(
            self.imports,
            found.released,
            now=self.options.rules.now,
            arrivals=found.arrivals,
            gone=found.gone,
            known_from=still_known,
        )

    def remove(self) -> None:
        """Delete what was written."""
        for key in self.keys:
            self.store.documents.delete(key)

    @contextmanager
    def removed_on_failure(self) -> Iterator[None]:
        """What did not come into the ledger is removed again.

        The ledger is asked, since a write may succeed and its answer be lost. A killed process
        removes nothing; what it leaves is read by nobody, and is swept.
        """
        try:
            yield
        except BaseException:
            ledger, _ = load_ledger(self.store.documents)
            if not {one.id for one in self.imports} & {one.id for one in ledger.imports}:
                self.remove()
            raise

    def _new_ids(self) -> list[str]:
        count = len(self.settlement.accepted) + len(self.settlement.revivals)
        return [self.settlement.ledger.next_id(self.store.new_id()) for _ in range(count)]

    def _revive(self, ids: list[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Write what comes to light again; yields what the sources' other rows still repeat."""
        first = len(self.settlement.accepted)
        for position, revival in enumerate(self.settlement.revivals, start=first):
            source = revival.source
            rows, _ = self._write_rows(revival.staged, position, ids[position])
            own = {one.id for one in self.settlement.ledger.current if one.sha256 == source.sha256}
            yield source.id, tuple(sorted(set(self._winners(position, ids)) - own))
            if rows:
                one = self._import(ids[position], source.sha256, source.file, rows, ())
                one = one.model_copy(update={"revives": source.id})
                self._note(one, describe_revival(revival, self.options, one))

    def _import(
        self, id_: str, sha256: str, file: str, rows: Mapping[str, int], winners: tuple[str, ...]
    ) -> Import:
        return Import(
            id=id_,
            sha256=sha256,
            file=file,
            rows=sum(rows.values()),
            days=tuple(sorted(rows)),
            created=self.options.rules.now,
            known_from=winners,
        )

    def _winners(self, position: int, ids: list[str]) -> tuple[str, ...]:
        return tuple(sorted(self.settlement.repeated.winners(position, ids)))

    def _write_rows(self, staged: Staged, position: int, id_: str) -> tuple[dict[str, int], Path]:
        """How many new rows each day has, and the file of those that are known."""
        taken = self.settlement.repeated.ids(position)
        known = self.scratch / f"known-{id_}.parquet"
        parts = [(day, part) for day in staged.days for part in staged.parts(day)]
        counts: Counter[str] = Counter()

        def write(item: tuple[str, Path]) -> tuple[str, int, pa.Table]:
            day, part = item
            rows = pq.read_table(part, partitioning=None)
            is_taken = pc.is_in(rows["payment_id"], value_set=taken)
            fresh = rows.filter(pc.invert(is_taken)).sort_by(_ORDER)
            if len(fresh):
                self._put(f"{Partition(day, id_).prefix}{part.name}", to_parquet(fresh))
            again = rows.filter(is_taken)
            return day, len(fresh), again.append_column("day", pa.repeat(day, len(again)))

        with RowFile(known) as file, ThreadPoolExecutor(_UPLOADS) as pool:
            for done, (day, rows, again) in enumerate(pool.map(write, parts), start=1):
                counts[day] += rows
                file.write(again)
                self.progress("writing days", done, len(parts))
        return dict(+counts), known

    def _write_quarantine(self, staged: Staged, known: Path, id_: str) -> None:
        path = self.scratch / f"quarantine-{id_}.parquet"
        write_quarantine(staged, known, path)
        self._put(f"{QUARANTINE_PREFIX}{id_}.parquet", path.read_bytes())

    def _note(self, one: Import, manifest: ImportManifest) -> None:
        self._put(manifest_key(one.id), manifest.model_dump_json(indent=1).encode())
        self.imports.append(one)

    def _put(self, key: str, body: bytes) -> None:
        self.keys.append(key)
        self.store.documents.put(key, body)


def describe(
    unit: Unit, found: Settlement, options: ImportOptions, store: Store, one: Import
) -> ImportManifest:
    staged, replaced = unit.staged, found.replaced_by(unit)
    known = found.repeated.count(found.accepted.index(unit))
    refused = staged.rows_refused + known
    reasons = staged.reasons + Counter({KNOWN: known} if known else {})
    return ImportManifest(
        import_id=one.id,
        file=unit.label,
        sha256=unit.arrival.sha256,
        size=unit.arrival.size,
        rows_read=staged.rows_read,
        rows_imported=staged.rows_read - refused,
        rows_refused=refused,
        reasons=dict(reasons.most_common()),
        quarantine=f"{store.data_url}/{QUARANTINE_PREFIX}{one.id}.parquet" if refused else None,
        days=one.days,
        first_event=staged.first_event,
        last_event=staged.last_event,
        columns=dict(unit.columns),
        replaces=tuple(old.id for old in replaced),
        rows_replaced=sum(old.rows for old in replaced),
        imported_at=options.rules.now,
        imported_by=options.imported_by,
        run=options.run,
    )


def describe_revival(revival: Revival, options: ImportOptions, one: Import) -> ImportManifest:
    return ImportManifest(
        import_id=one.id,
        file=one.file,
        sha256=one.sha256,
        rows_read=one.rows,
        rows_imported=one.rows,
        rows_refused=0,
        reasons={},
        quarantine=None,
        days=one.days,
        imported_at=options.rules.now,
        imported_by=options.imported_by,
        revives=revival.source.id,
        run=options.run,
    )
