"""Importing one file of payments: check, stage, commit; whole or not at all.

The file is known by its checksum: the same content is imported once, whatever it is called.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from mlops.errors import InputError
from pipelines.data.commits import commit
from pipelines.data.ledger import Arrival, load_ledger
from pipelines.data.manifests import ImportManifest, read_manifest
from pipelines.data.reading import open_payments, sha256
from pipelines.data.staging import Progress, stage
from pipelines.data.store import Store
from pipelines.data.units import ImportOptions, Unit


class ImportReport(BaseModel):
    """What a run of the import did."""

    state: Literal["imported", "already imported", "dry run"]
    manifest: ImportManifest


def import_payments(
    path: Path, options: ImportOptions, *, store: Store, progress: Progress = lambda *_: None
) -> ImportReport:
    """Take a file's payments into the table.

    Raises InputError when the file is unreadable, lacks columns, or too much of it is bad.
    """
    file = open_payments(path)
    arrival = Arrival(sha256=sha256(path), size=path.stat().st_size)
    ledger, _ = load_ledger(store.documents)
    if (done := ledger.holding(arrival.sha256)) is not None:
        manifest = read_manifest(store.documents, done.id)
        return ImportReport(state="already imported", manifest=manifest)
    name = f"import:{arrival.sha256[:16]}/{path.name}"
    with tempfile.TemporaryDirectory(prefix="mlops-import-") as folder:
        staged = stage(file, options.rules, Path(folder) / "staged", progress)
        if not staged.rows_read:
            raise InputError(f"{path} holds no payments.")
        unit = Unit(path.name, {name: arrival}, staged, file.schema)
        done_ = commit(
            [unit], options, store=store, scratch=Path(folder) / "scratch", progress=progress
        )
    if name in done_.refused:
        raise done_.refused[name]
    if name in done_.known:
        manifest = read_manifest(store.documents, done_.known[name].id)
        return ImportReport(state="already imported", manifest=manifest)
    state: Literal["dry run", "imported"] = "dry run" if options.dry_run else "imported"
    return ImportReport(state=state, manifest=done_.imported[name])
