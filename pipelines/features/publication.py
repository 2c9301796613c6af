"""Showing readers what the log says: stored columns, partitions, the view, in this order."""

from __future__ import annotations

from mlops.errors import Conflict
from mlops.objects import Document, Documents
from pipelines.features.buildlog import BuildLog, load_log, save_log
from pipelines.features.catalog import CatalogTable

_ATTEMPTS = 5


def publish(
    catalog: CatalogTable, documents: Documents, log: BuildLog, document: Document | None
) -> BuildLog:
    """Make the catalog what the log says; whatever is interrupted, the next run finishes.

    When the log changed meanwhile, the view that was just written may be behind it: again.
    """
    for _ in range(_ATTEMPTS):
        if log.shown != log.as_published().shown:
            catalog.add_columns(log)
        catalog.register(log.unpublished)
        catalog.replace_view(log)
        try:
            save_log(documents, log.as_published(), replacing=document)
        except Conflict:
            log, document = load_log(documents, catalog.table.name)
        else:
            return log.as_published()
    name = catalog.table.name
    raise Conflict(
        f"The build log of '{name}' keeps changing. Wait for the other builds, then run "
        f"'mlops features build {name}' again."
    )
