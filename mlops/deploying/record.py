"""The deployment record: every revision of an endpoint's document, who made it and why.

A revision is written here first, under a key that may not exist, and then as the document. So the
record is the truth: whoever finds a revision in it that the document lacks completes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from mlops.deployment import Deployment
from mlops.errors import Conflict, NotFound, Refused
from mlops.objects import Documents

PREFIX = "rollouts/"
BEGINNING = "0" * 64
"""What the first entry names as the hash before it."""


class Written(BaseModel):
    """One revision; the hashes chain it to the one before."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: str
    """What was done: 'approve', 'step', 'take back', 'rollback', …"""
    document: Deployment
    """The whole document as of this revision."""
    previous_hash: str
    hash: str

    @property
    def revision(self) -> int:
        return self.document.revision

    def compute_hash(self) -> str:
        return _digest(self.model_dump(mode="json", exclude={"hash"}))


def record_key(endpoint: str, revision: int) -> str:
    return f"{PREFIX}{endpoint}/{revision:08d}.json"


def chain(action: str, document: Deployment, previous: Written | None) -> Written:
    """The entry of a revision, after the one before it."""
    values = {
        "action": action,
        "document": document.model_dump(mode="json"),
        "previous_hash": previous.hash if previous else BEGINNING,
    }
    return Written.model_validate({**values, "hash": _digest(values)})


def verify(entries: Sequence[Written]) -> list[str]:
    """What is wrong with a record, one sentence each; empty when it holds.

    It may begin after revision 1, where an older release wrote the document without it.
    """
    problems, previous = [], None
    for entry in entries:
        if entry.compute_hash() != entry.hash:
            problems.append(f"revision {entry.revision} was changed: its hash does not fit")
        if previous and entry.revision != previous.revision + 1:
            problems.append(f"revision {previous.revision + 1} is missing")
        if entry.previous_hash != (previous.hash if previous else BEGINNING):
            problems.append(f"revision {entry.revision} does not continue the one before it")
        previous = entry
    return problems


def read_entry(documents: Documents, endpoint: str, revision: int) -> Written | None:
    """One revision; None where the record does not have it. Raises Refused when unreadable."""
    key = record_key(endpoint, revision)
    try:
        body = documents.get(key).body
    except NotFound:
        return None
    try:
        return Written.model_validate_json(body)
    except ValidationError as exc:
        raise Refused(
            f"{key} is unreadable: it was changed outside the platform. Restore its first version."
        ) from exc


def read_entries(documents: Documents, endpoint: str) -> Iterator[Written]:
    """Every revision on record, in order."""
    for key in documents.keys(f"{PREFIX}{endpoint}/"):
        entry = read_entry(documents, endpoint, int(key.rpartition("/")[2].removesuffix(".json")))
        if entry is not None:
            yield entry


def write_entry(documents: Documents, entry: Written) -> None:
    """Take the revision's place. Raises Conflict when it is another's."""
    document, body = entry.document, entry.model_dump_json(indent=1).encode()
    try:
        documents.create(record_key(document.endpoint, document.revision), body)
    except Conflict:
        # A retry inside boto3 meets its own first try where only the answer was lost.
        if read_entry(documents, document.endpoint, document.revision) != entry:
            raise


def _digest(values: dict[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
