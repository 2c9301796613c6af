"""An endpoint's record, held against its document."""

from __future__ import annotations

from dataclasses import dataclass

from mlops.deploying.record import Written, read_entries, verify
from mlops.deployment import Deployment, load_deployment
from mlops.errors import NotFound
from mlops.objects import Documents


@dataclass(frozen=True)
class History:
    """Every revision on record, and what does not fit."""

    entries: tuple[Written, ...]
    problems: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.problems


def read_history(documents: Documents, endpoint: str) -> History:
    entries = tuple(read_entries(documents, endpoint))
    try:
        document = load_deployment(documents, endpoint)[0]
    except NotFound:
        document = None
    return History(entries, (*verify(entries), *_unmatched(entries, document)))


def _unmatched(entries: tuple[Written, ...], document: Deployment | None) -> list[str]:
    """One revision ahead the record may be: then the change is under way, or is completed by the
    next who looks after the endpoint."""
    if not entries:
        return []
    by_revision = {entry.revision: entry.document for entry in entries}
    newest = entries[-1].revision
    if document is None:
        return [] if newest == 1 else ["the document is gone"]
    if document.revision in by_revision and by_revision[document.revision] != document:
        return [f"the document of revision {document.revision} is not the one on record"]
    if document.revision not in (newest, newest - 1):
        return [f"the document is at revision {document.revision}, the record at {newest}"]
    return []
