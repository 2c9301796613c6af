"""What goes: files that are taken back by name, and what nobody reads any more."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel

from mlops.errors import Conflict, NotFound
from pipelines.data.commits import commit
from pipelines.data.ledger import Import, Ledger, load_ledger, save_ledger
from pipelines.data.schema import (
    IMPORTS_PREFIX,
    QUARANTINE_PREFIX,
    RAW_PREFIX,
    SHADOWED_PREFIX,
)
from pipelines.data.store import ATTEMPTS, Store, publish
from pipelines.data.units import ImportOptions

_ID = re.compile(r"(?:import_id=|/)(\d{8}-\w+)(?:/|\.)")


class Swept(BaseModel):
    """What was removed, or would be."""

    dry_run: bool
    imports: int
    """Retracted imports beyond their retention."""
    leftovers: int
    """Files of runs that were killed."""
    objects: int


def retract(files: Sequence[str], options: ImportOptions, *, store: Store) -> tuple[Import, ...]:
    """Take files back; returns the imports that readers see no longer, or would not.

    files: by name, or as an import calls them. Raises NotFound for those that are not current.
    """
    ledger, _ = load_ledger(store.documents)
    names = {file: _names(ledger, file) for file in files}
    unknown = [file for file, found in names.items() if not found]
    if unknown:
        raise NotFound(f"No current file is called {', '.join(unknown)}. See: mlops data history.")
    gone = [name for found in names.values() for name in found]
    with tempfile.TemporaryDirectory(prefix="mlops-retract-") as folder:
        done = commit([], options, store=store, scratch=Path(folder), gone=gone)
    return done.retracted


def _names(ledger: Ledger, file: str) -> list[str]:
    contents = {one.sha256 for one in ledger.current if one.file == file}
    return [name for name, held in ledger.files.items() if name == file or held.sha256 in contents]


def sweep(store: Store, *, before: datetime, dry_run: bool) -> Swept:
    """Remove imports that were retracted before a moment, and what killed runs left.

    The partitions go first, while the view still leaves them out; the ledger notes it last.
    """
    if not dry_run:
        publish(store)
    ledger, _ = load_ledger(store.documents)
    past = [one for one in ledger.imports if _is_past(one, before, ledger.published)]
    leftovers = list(_leftovers(store, ledger))
    keys = [key for one in past for key in _keys(store, one)]
    if not dry_run:
        store.table.unregister([p for one in past for p in one.partitions])
        for key in (*keys, *leftovers):
            store.documents.delete(key)
        _note(store, {one.id for one in past})
    return Swept(
        dry_run=dry_run,
        imports=len(past),
        leftovers=len(leftovers),
        objects=len(keys) + len(leftovers),
    )


def _is_past(one: Import, before: datetime, published: int) -> bool:
    return (
        one.retracted is not None
        and one.retracted < before
        and not one.visible_in(published)
        and not one.swept
    )


def _keys(store: Store, one: Import) -> Iterator[str]:
    """All but the manifest, which says what there was."""
    for partition in one.partitions:
        yield from store.documents.keys(partition.prefix)
    for prefix in (QUARANTINE_PREFIX, SHADOWED_PREFIX):
        yield from store.documents.keys(f"{prefix}{one.id}.parquet")


def _leftovers(store: Store, ledger: Ledger) -> Iterator[str]:
    """Files under ids that the ledger does not know and never will.

    An id begins with the number of the commit that its run tried for. Once that commit is made by
    another, the run has lost it; a run that may still win has a later number.
    """
    known = {one.id for one in ledger.imports}
    for prefix in (RAW_PREFIX, IMPORTS_PREFIX, QUARANTINE_PREFIX, SHADOWED_PREFIX):
        for key in store.documents.keys(prefix):
            found = _ID.search(key)
            if found and found[1] not in known and int(found[1][:8]) <= ledger.commits:
                yield key


def _note(store: Store, ids: set[str]) -> None:
    """Raises Conflict when others keep changing the payments."""
    for _ in range(ATTEMPTS if ids else 0):
        ledger, document = load_ledger(store.documents)
        imports = tuple(
            one.model_copy(update={"swept": True}) if one.id in ids else one
            for one in ledger.imports
        )
        try:
            after = ledger.replaced(imports=imports)
            save_ledger(store.documents, after, replacing=document)
        except Conflict:
            continue
        publish(store)
        return
    if ids:
        raise Conflict("The payments keep changing. Wait for the other imports, then sweep again.")
