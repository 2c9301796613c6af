"""Committing staged files: all of them in one step that readers see at once, or none.

What is written lies under ids of its own, which nobody reads. The ledger takes it in by one
conditional write, on the very state on which repeated payments were looked for; then the
partitions are registered, and the view is replaced. Whatever is interrupted before the ledger
leaves files that nobody reads; after it, the next run finishes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mlops.errors import Conflict
from pipelines.data.ledger import Arrival, Import, save_ledger
from pipelines.data.manifests import ImportManifest
from pipelines.data.settlement import Settlement, Settling
from pipelines.data.staging import Progress
from pipelines.data.store import ATTEMPTS, Store, open_ledger, publish
from pipelines.data.units import Committed, ImportOptions, Unit
from pipelines.data.writing import Writing, describe


def commit(
    units: Sequence[Unit],
    options: ImportOptions,
    *,
    store: Store,
    scratch: Path,
    arrivals: Mapping[str, Arrival] | None = None,
    gone: Sequence[str] = (),
    whole: bool = False,
    progress: Progress = lambda *_: None,
) -> Committed:
    """Make the units' rows current, and those of their files' earlier contents past.

    arrivals: further files that were looked at, whose content is current already.
    gone: names that hold nothing any more. scratch: a folder for what is in between.
    whole: commit nothing when a unit is refused.
    Raises Conflict when others keep changing the payments.
    """
    for number in range(ATTEMPTS):
        ledger, document = open_ledger(store, dry_run=options.dry_run)
        folder = scratch / f"attempt-{number}"
        folder.mkdir(parents=True)
        settling = Settling(ledger, store, options, folder)
        settlement = settling.settle(units, arrivals=arrivals or {}, gone=gone)
        if options.dry_run or (whole and settlement.refused):
            return _committed(settlement, _described(settlement, options, store))
        writing = Writing(settlement, store, options, folder, progress)
        with writing.removed_on_failure():
            after = writing.write()
            if after == ledger:
                return _committed(settlement, {})
            try:
                save_ledger(store.documents, after, replacing=document)
            except Conflict:
                writing.remove()
                continue
        publish(store)
        return _committed(settlement, writing.manifests)
    raise Conflict(
        "The payments keep changing while files are imported. Wait for the other imports, then "
        "run it again."
    )


def _committed(settlement: Settlement, manifests: Mapping[str, ImportManifest]) -> Committed:
    return Committed(
        imported=dict(manifests),
        known=dict(settlement.known),
        refused=dict(settlement.refused),
        retracted=settlement.released,
    )


def _described(
    settlement: Settlement, options: ImportOptions, store: Store
) -> dict[str, ImportManifest]:
    """What would be imported."""
    found = {}
    for unit in settlement.accepted:
        one = Import(
            id=settlement.ledger.next_id("dry-run"),
            sha256=unit.arrival.sha256,
            file=unit.label,
            rows=0,
            days=tuple(unit.staged.days),
            created=options.rules.now,
        )
        found[unit.name] = describe(unit, settlement, options, store, one)
    return found
