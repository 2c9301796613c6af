"""The approval record: append-only entries per model, chained by their hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from mlops.registry.versions import Status

BEGINNING = "0" * 64
"""What the first entry names as the hash before it."""


class Decision(BaseModel):
    """What was decided on a version, by whom and why; `at` is UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    model: str
    version: int
    action: Literal["approve", "reject"]
    at: datetime
    who: str
    """ARN as STS names the caller."""
    reason: str
    before: Status = Field(alias="from")
    after: Status = Field(alias="to")
    package_arn: str
    model_prefix: str
    manifest_sha256: str
    metrics: Mapping[str, FiniteFloat]


class Entry(Decision):
    """A decision at its place in the record."""

    sequence: int = Field(ge=1)
    previous_hash: str
    hash: str

    def compute_hash(self) -> str:
        """sha256 over the entry's canonical JSON without its own hash."""
        return _digest(self.model_dump(mode="json", by_alias=True, exclude={"hash"}))


class Records(Protocol):
    """Where entries are kept; nothing here changes or removes one."""

    def entries(self, model: str) -> list[Entry]:
        """Every entry of a model, in order."""

    def append(self, entry: Entry) -> None:
        """Add an entry whose place is free; adding it twice is no error. Raises Conflict."""


def chain(decision: Decision, entries: Sequence[Entry]) -> Entry:
    """The entry that holds the decision, after the entries that there are."""
    values = {
        **decision.model_dump(mode="json", by_alias=True),
        "sequence": entries[-1].sequence + 1 if entries else 1,
        "previous_hash": entries[-1].hash if entries else BEGINNING,
    }
    return Entry.model_validate({**values, "hash": _digest(values)})


def verify(model: str, entries: Sequence[Entry]) -> list[str]:
    """What is wrong with the chain, one sentence each; empty when it holds.

    Finds entries that were changed, removed from the beginning or the middle, put in, or
    swapped. The loss of the newest shows against the registry: see `unmatched`.
    """
    problems = []
    previous, expected = BEGINNING, 1
    for entry in entries:
        if entry.sequence != expected:
            problems.append(f"entry {expected} is missing: {entry.sequence} follows in its place")
        if entry.model != model:
            problems.append(f"entry {entry.sequence} belongs to model '{entry.model}'")
        if entry.compute_hash() != entry.hash:
            problems.append(f"entry {entry.sequence} was changed: its hash does not fit")
        if entry.previous_hash != previous:
            problems.append(f"entry {entry.sequence} does not continue the one before it")
        previous, expected = entry.hash, entry.sequence + 1
    return problems


def latest(entries: Iterable[Entry], version: int) -> Entry | None:
    """The decision that stands for a version."""
    return next((e for e in reversed(list(entries)) if e.version == version), None)


def standing_approvals(entries: Sequence[Entry]) -> list[Entry]:
    """The approvals that no later entry took back, the newest decision first."""
    decided = {entry.version: entry for entry in entries}
    approved = [entry for entry in decided.values() if entry.after is Status.APPROVED]
    return sorted(approved, key=lambda entry: entry.sequence, reverse=True)


def encode_entry(entry: Entry) -> str:
    return _canonical(entry.model_dump(mode="json", by_alias=True))


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(values).encode()).hexdigest()


def _canonical(values: Mapping[str, Any]) -> str:
    return json.dumps(
        values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
