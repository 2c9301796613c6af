"""Ingesting what a warehouse hands over: every file once, whatever happens in between.

Files are staged one after the other and committed in groups. A file that is bad is refused and
told; the others come in. What a killed run had committed stays, and the next one does the rest.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from pipelines.data.ingestion.intake import IngestOptions, Intake
from pipelines.data.ingestion.runs import IngestRun, save_run
from pipelines.data.ingestion.sources import Source
from pipelines.data.staging import Progress
from pipelines.data.store import Store


def ingest(
    source: Source, options: IngestOptions, *, store: Store, progress: Progress = lambda *_: None
) -> IngestRun:
    """Take in every file of the source that is not known, and note the run.

    A bad file is in the report. Raises InputError where the source holds more than may be taken in
    at once or a control file is wrong, and whatever S3 or Athena fail with.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mlops-ingest-") as folder:
        intake = Intake(source, options, store, Path(folder), progress)
        intake.run()
    run = IngestRun(
        run=options.imports.run or "",
        source=source.uri,
        started_at=options.imports.rules.now,
        by=options.imports.imported_by,
        dry_run=options.imports.dry_run,
        seconds=round(time.monotonic() - started, 3),
        unchanged=intake.unchanged,
        files=tuple(intake.reports[path] for path in sorted(intake.reports)),
        retracted=intake.retracted,
    )
    if not run.dry_run:
        save_run(store.documents, run)
    return run
