"""Tells people that a registry was changed around its record: each finding once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from mlops.clock import Clock
from mlops.errors import Conflict, NotFound
from mlops.notices import Notices
from mlops.objects import Document, Documents
from mlops.registry.history import look
from mlops.registry.record import Records
from mlops.registry.versions import ModelRegistry

PREFIX = "bypasses/"
DEAD_AFTER = timedelta(seconds=60)
"""Who began to tell and has not told by then never will: a Lambda lives no longer."""
ATTEMPTS = 10


class Finding(BaseModel):
    """What is known of one version, or of a model's record or alias."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    problems: tuple[str, ...]
    at: datetime
    told: bool
    """False while somebody is about to tell."""

    def needs_telling(self, now: datetime) -> bool:
        return bool(self.problems) and not self.told and now - self.at >= DEAD_AFTER


@dataclass(frozen=True)
class Bypasses:
    """What somebody did around the record; safe to look for at any time and several times at once.

    A finding is noted before it is told and marked after, so that of two who find it at the same
    moment one tells, and of one who dies between the two the next does.
    """

    registry: ModelRegistry
    records: Records
    documents: Documents
    notices: Notices
    clock: Clock

    def look(self, model: str, version: int | None) -> tuple[str, ...]:
        """The problems of a version, or of None, of the model's alias; new ones are told.

        Raises Unavailable where they cannot be: look again.
        """
        found = look(self.registry, self.records, model, version)
        for what, problems in found.items():
            self._keep(model, f"{PREFIX}{model}/{what}.json", problems)
        return tuple(problem for problems in found.values() for problem in problems)

    def _keep(self, model: str, key: str, problems: tuple[str, ...]) -> None:
        for _ in range(ATTEMPTS):
            known, document = self._load(key)
            if not self._is_news(known, problems):
                return
            finding = Finding(problems=problems, at=self.clock.now(), told=not problems)
            try:
                noted = self._write(key, finding, document)
            except Conflict:
                continue
            if problems:
                self._tell(model, finding, noted)
            return
        raise Conflict(f"What is known of '{model}' changes all the time. Look again.")

    def _is_news(self, known: Finding | None, problems: tuple[str, ...]) -> bool:
        if known is None:
            return bool(problems)
        return known.problems != problems or known.needs_telling(self.clock.now())

    def _tell(self, model: str, finding: Finding, noted: Document) -> None:
        subject = f"Model '{model}' was changed around its record"
        facts = {
            "event": "bypassed",
            "model": model,
            "why": list(finding.problems),
            "at": finding.at,
            "see": "mlops models audit",
        }
        self.notices.publish(subject, facts)
        try:
            self._write(noted.key, finding.model_copy(update={"told": True}), noted)
        except Conflict:
            return  # another finding took its place, and is told by who found it

    def _load(self, key: str) -> tuple[Finding | None, Document | None]:
        try:
            document = self.documents.get(key)
        except NotFound:
            return None, None
        return Finding.model_validate_json(document.body), document

    def _write(self, key: str, finding: Finding, replacing: Document | None) -> Document:
        body = finding.model_dump_json().encode()
        if replacing is None:
            return self.documents.create(key, body)
        return self.documents.put(key, body, etag=replacing.etag)
