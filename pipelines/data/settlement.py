"""Which staged files can be taken in on a state of the ledger, and what that ends and revives.

A payment counts once. Its first arrival keeps it; later ones are refused. When the file that keeps
it is corrected and has it no longer, a refused arrival of a current file comes to light again, so
that the order in which files arrive does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlops.errors import InputError
from pipelines.data.ledger import Arrival, Import, Ledger
from pipelines.data.payments import REPEATED
from pipelines.data.schema import SHADOWED_PREFIX
from pipelines.data.staging import KNOWN, Staged, write_days
from pipelines.data.store import Store
from pipelines.data.units import ImportOptions, Unit


@dataclass(frozen=True)
class Repeated:
    """Rows whose payments are taken, of units and then of revivals, in their order."""

    found: pa.Table
    """As payments.REPEATED."""

    def ids(self, position: int) -> pa.Array:
        return self._of(position)["payment_id"].combine_chunks()

    def count(self, position: int) -> int:
        return self._counts.get(position, 0)

    def winners(self, position: int, import_ids: Sequence[str]) -> set[str]:
        """The imports that have the payments; import_ids: what the units become."""
        rows = self._of(position)
        stored = set(rows["import_id"].drop_null().unique().to_pylist())
        others = rows.filter(pc.is_null(rows["import_id"]))["first_unit"].unique().to_pylist()
        return stored | {import_ids[other] for other in others}

    @cached_property
    def _counts(self) -> dict[int, int]:
        counted = self.found["unit"].value_counts().to_pylist()
        return {entry["values"]: entry["counts"] for entry in counted}

    def _of(self, position: int) -> pa.Table:
        return self.found.filter(pc.equal(self.found["unit"], position))


NOTHING_REPEATED = Repeated(REPEATED.empty_table())


@dataclass(frozen=True)
class Revival:
    """Refused rows of a current import that may come to light again."""

    source: Import
    staged: Staged


@dataclass(frozen=True)
class Settlement:
    """What a commit would do."""

    ledger: Ledger
    accepted: tuple[Unit, ...]
    arrivals: Mapping[str, Arrival]
    """What the names hold from then on."""
    gone: tuple[str, ...]
    released: tuple[Import, ...]
    """Imports whose content no name holds any more."""
    revivals: tuple[Revival, ...]
    repeated: Repeated
    known: Mapping[str, Import]
    refused: Mapping[str, InputError] = field(default_factory=dict)

    def holders(self, position: int) -> list[str]:
        """The files that have a unit's repeated payments."""
        labels = [one.label for one in self.accepted] + [one.source.file for one in self.revivals]
        files = {one.id: one.file for one in self.ledger.current}
        return sorted({files.get(one, one) for one in self.repeated.winners(position, labels)})

    def replaced_by(self, unit: Unit) -> tuple[Import, ...]:
        """The earlier contents of the unit's names that end."""
        before = {self.ledger.files[n].sha256 for n in unit.arrivals if n in self.ledger.files}
        return tuple(one for one in self.released if one.sha256 in before)


@dataclass(frozen=True)
class Settling:
    """Finds the settlement of units on one state of the ledger."""

    ledger: Ledger
    store: Store
    options: ImportOptions
    scratch: Path
    """A folder for what is in between."""

    def settle(
        self, units: Sequence[Unit], *, arrivals: Mapping[str, Arrival], gone: Sequence[str]
    ) -> Settlement:
        """Accept every unit but those of which too much is bad.

        What one unit may not bring, another may have to keep: so until none is refused any more.
        """
        known = {u.name: one for u in units if (one := self.ledger.holding(u.arrival.sha256))}
        accepted = [unit for unit in units if unit.name not in known]
        seen = {n: a for n, a in arrivals.items() if self.ledger.holding(a.sha256)}
        refused = {name: _retracted_meanwhile(name) for name in arrivals.keys() - seen.keys()}
        for unit in units:
            seen |= unit.arrivals if unit.name in known else {}
        while True:
            found = self._settlement(accepted, seen, tuple(gone), known)
            too_bad = dict(self._too_bad(found))
            if not too_bad:
                return Settlement(**{**vars(found), "refused": refused})
            refused |= too_bad
            accepted = [unit for unit in accepted if unit.name not in too_bad]

    def _settlement(
        self,
        accepted: Sequence[Unit],
        seen: Mapping[str, Arrival],
        gone: tuple[str, ...],
        known: Mapping[str, Import],
    ) -> Settlement:
        arrivals = dict(seen)
        for unit in accepted:
            arrivals |= unit.arrivals
        released = self.ledger.released_by(arrivals, gone)
        revivals = tuple(self._revivals(released))
        return Settlement(
            ledger=self.ledger,
            accepted=tuple(accepted),
            arrivals=arrivals,
            gone=gone,
            released=released,
            revivals=revivals,
            repeated=self._repeated(accepted, revivals, released),
            known=known,
        )

    def _too_bad(self, found: Settlement) -> Iterator[tuple[str, InputError]]:
        for position, unit in enumerate(found.accepted):
            count = found.repeated.count(position)
            error = too_bad(unit, count, self.options.max_bad_share, found.holders(position))
            if error is not None:
                yield unit.name, error

    def _revivals(self, released: Sequence[Import]) -> Iterator[Revival]:
        ended = {one.id for one in released}
        for one in self.ledger.current:
            if one.id not in ended and ended & set(one.known_from):
                yield Revival(one, self._shadowed(one))

    def _shadowed(self, source: Import) -> Staged:
        """The rows that were refused of an import because the table had their payments."""
        folder = self.scratch / f"shadowed-{source.id}"
        staged = Staged(folder)
        if not folder.exists():
            staged.good.mkdir(parents=True)
            body = self.store.documents.get(f"{SHADOWED_PREFIX}{source.id}.parquet").body
            rows = pq.read_table(pa.BufferReader(body))
            now = pa.scalar(self.options.rules.now.replace(tzinfo=None), rows["created"].type)
            created = pa.repeat(now, len(rows))
            rows = rows.set_column(rows.column_names.index("created"), "created", created)
            write_days(iter(rows.to_batches()), staged.good)
        staged.rows_read = sum(len(ids) for ids in staged.ids())
        return staged

    def _repeated(
        self, units: Sequence[Unit], revivals: Sequence[Revival], released: Sequence[Import]
    ) -> Repeated:
        staged = [*(unit.staged for unit in units), *(one.staged for one in revivals)]
        visible = self.ledger.shown().without([one.id for one in released])
        shown = any(one.id in visible for one in self.ledger.current)
        if not any(one.days for one in staged) or (len(staged) == 1 and not shown):
            return NOTHING_REPEATED
        ids = self.scratch / "ids.parquet"
        with pq.ParquetWriter(ids, REPEATED.remove(3).remove(2)) as writer:
            for position, one in enumerate(staged):
                for part in one.ids():
                    units_ = pa.repeat(pa.scalar(position, pa.int64()), len(part))
                    writer.write_table(part.append_column("unit", units_))
        return Repeated(self.store.table.repeated(ids, visible, name=self.store.new_id()))


def _retracted_meanwhile(name: str) -> InputError:
    return InputError(f"{name}: its content was retracted meanwhile. Run it again.")


def too_bad(unit: Unit, known: int, max_share: float, holders: Sequence[str]) -> InputError | None:
    """Why a file is refused as a whole; None where it is not.

    known: how many of its good rows repeat payments that the table has, from the files `holders`.
    """
    staged = unit.staged
    refused = staged.rows_refused + known
    if not staged.rows_read or refused / staged.rows_read <= max_share:
        return None
    reasons = staged.reasons + type(staged.reasons)({KNOWN: known} if known else {})
    counted = "; ".join(f"{n} x {reason}" for reason, n in reasons.most_common(5))
    if known:
        counted += f" (from {', '.join(holders[:3])}{' and others' if len(holders) > 3 else ''})"
    return InputError(
        f"{unit.label}: {refused} of {staged.rows_read} rows are bad "
        f"({refused / staged.rows_read:.1%}, allowed are {max_share:.1%}): {counted}. Nothing of "
        "it was imported. Correct the file, or allow more: --max-bad-share."
    )
