"""Changing an endpoint: on the record first, in its document second, each by one conditional write.

Killed between the two, the next who changes or looks after the endpoint completes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mlops.deploying.record import chain, read_entry, write_entry
from mlops.deployment import Deployment, load_deployment, save_deployment
from mlops.errors import Conflict, NotFound
from mlops.objects import Document, Documents

ATTEMPTS = 10
"""How often a change is taken up again when others write meanwhile."""

Move = Callable[[Deployment | None], Deployment | None]
"""What the document becomes, as the next revision; None leaves it. May be called several times."""


@dataclass(frozen=True)
class Changed:
    """What a change made of what."""

    before: Deployment | None
    after: Deployment


@dataclass(frozen=True)
class Endpoints:
    """The endpoints of one environment, over the bucket of their documents and record."""

    documents: Documents

    def load(self, endpoint: str) -> Deployment:
        """The document as it is. Raises NotFound."""
        return load_deployment(self.documents, endpoint)[0]

    def change(self, endpoint: str, action: str, move: Move) -> Changed | None:
        """Make the move, and say of what it made what; None where it leaves all as it is.

        Raises Conflict when others write all the time; whatever the move raises goes through.
        """
        for _ in range(ATTEMPTS):
            try:
                return self._change_once(endpoint, action, move)
            except _ChangedMeanwhile:
                continue
        raise Conflict(
            f"Endpoint '{endpoint}' is changed all the time; nothing was done. Try again."
        )

    def complete(self, endpoint: str) -> bool:
        """Write the document of a revision that is on record and not yet in it, if there is one."""
        current, document = self._current(endpoint)
        revision = current.revision + 1 if current else 1
        entry = read_entry(self.documents, endpoint, revision)
        if entry is None:
            return False
        try:
            save_deployment(self.documents, entry.document, replacing=document)
        except Conflict:
            return False
        return True

    def _change_once(self, endpoint: str, action: str, move: Move) -> Changed | None:
        current, document = self._current(endpoint)
        after = move(current)
        if after is None:
            return None
        previous = (
            read_entry(self.documents, endpoint, current.revision) if current is not None else None
        )
        try:
            write_entry(self.documents, chain(action, after, previous))
        except Conflict as exc:
            self.complete(endpoint)
            raise _ChangedMeanwhile(str(exc)) from exc
        self._follow(after, document)
        return Changed(current, after)

    def _follow(self, after: Deployment, document: Document | None) -> None:
        """The revision is on record, so who wrote meanwhile wrote this very one, or a later."""
        try:
            save_deployment(self.documents, after, replacing=document)
        except Conflict as exc:
            found = self.load(after.endpoint)
            if found.revision < after.revision:
                raise Conflict(
                    f"The document of '{after.endpoint}' was written around its record: it is at "
                    f"revision {found.revision}, the record at {after.revision}. The next change "
                    "puts the record's back."
                ) from exc

    def _current(self, endpoint: str) -> tuple[Deployment | None, Document | None]:
        try:
            return load_deployment(self.documents, endpoint)
        except NotFound:
            return None, None


class _ChangedMeanwhile(Conflict):
    """Somebody else took the revision."""
