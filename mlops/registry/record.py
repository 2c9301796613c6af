"""The approval record: append-only entries per model, chained by their hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from mlops.errors import InputError
from mlops.registry.principal import parse_principal
from mlops.registry.versions import Status

BEGINNING = "0" * 64
"""What the first entry names as the hash before it."""


class Check(BaseModel):
    """A rule and its outcome; `found` says what was seen, and where it fails, what to do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    passed: bool
    found: str


class Decision(BaseModel):
    """What was decided on a version, by whom and why; `at` is UTC.

    Fields that were added later are written only where they say something, so that the hashes of
    older entries stay what they are.
    """

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
    ticket: str = ""
    approval: int = Field(default=1, ge=1)
    """Which of the approvals that are needed this is."""
    approvals_needed: int = Field(default=1, ge=1)
    rules_sha256: str = ""
    """The approval rules that were in force."""
    checks: tuple[Check, ...] = ()
    """Their outcomes."""

    @property
    def decides(self) -> bool:
        """False for an approval that waits for another person's."""
        return self.action == "reject" or self.approval >= self.approvals_needed

    def is_of_same_files(self, other: Decision) -> bool:
        return (self.package_arn, self.model_prefix, self.manifest_sha256) == (
            other.package_arn,
            other.model_prefix,
            other.manifest_sha256,
        )

    @model_serializer(mode="wrap")
    def _without_silent_additions(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = dump(self)
        fields = type(self).model_fields
        silent = [n for n in _ADDED if n in found and getattr(self, n) == fields[n].default]
        return {name: value for name, value in found.items() if name not in silent}


_ADDED = frozenset({"ticket", "approval", "approvals_needed", "rules_sha256", "checks"})


class Entry(Decision):
    """A decision at its place in the record."""

    sequence: int = Field(ge=1)
    previous_hash: str
    hash: str

    def compute_hash(self) -> str:
        """sha256 over the entry's canonical JSON without its own hash."""
        return _digest(self.model_dump(mode="json", by_alias=True, exclude={"hash"}))


class Head(BaseModel):
    """How far a record reaches; written in one step with its newest entry."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int
    hash: str
    """Of the newest entry."""


class Records(Protocol):
    """Where entries are kept; nothing here changes or removes one."""

    def models(self) -> list[str]:
        """Every model that has a record."""

    def entries(self, model: str) -> list[Entry]:
        """Every entry of a model, in order."""

    def head(self, model: str) -> Head | None:
        """None where there is no record, or one of a release that wrote no heads."""

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
    swapped. The loss of the newest shows against the head: see `verify_end`.
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
        if problem := _unsupported(entry, entries):
            problems.append(problem)
        previous, expected = entry.hash, entry.sequence + 1
    return problems


def verify_end(entries: Sequence[Entry], head: Head | None) -> list[str]:
    """What is wrong with a record's end, which its head was read before; empty when it holds.

    Finds entries that were cut off, and a head that was removed. Whoever can do both can do so
    unseen here; the registry, which names the entry that it follows, still shows it.
    """
    if head is None:
        # Entries of earlier releases name no rules, and had no head.
        return ["its head is missing"] if any(entry.rules_sha256 for entry in entries) else []
    named = next((entry for entry in entries if entry.sequence == head.count), None)
    if named is None:
        kept = entries[-1].sequence if entries else 0
        return [f"entries {kept + 1} to {head.count} are missing from its end"]
    if named.hash != head.hash:
        return [f"entry {head.count} is not the one that its head names"]
    return []


def read_record(records: Records, model: str) -> tuple[list[Entry], list[str]]:
    """A model's entries, and what is wrong with them."""
    head, entries = records.head(model), records.entries(model)
    if head is None and entries:
        # Its first entries were added meanwhile, or its head is gone.
        head, entries = records.head(model), records.entries(model)
    problems = [*verify(model, entries), *verify_end(entries, head)]
    if head is not None and entries and entries[-1].sequence > head.count and not problems:
        # Added meanwhile, and then its head says so by now; or around the platform.
        problems = _unheaded(entries, records.head(model))
    return entries, problems


def _unheaded(entries: Sequence[Entry], head: Head | None) -> list[str]:
    last = entries[-1].sequence
    if head is not None and head.count >= last:
        return []
    return [f"entry {last} was added around the platform: its head does not know it"]


def _unsupported(entry: Entry, entries: Sequence[Entry]) -> str:
    """What an approval lacks that says it is the last of several."""
    if entry.action != "approve" or entry.approval == 1:
        return ""
    before = [e for e in entries if e.sequence < entry.sequence]
    others = others_who_approved(entry, before)
    if len(others) + 1 >= entry.approval:
        return ""
    return (
        f"entry {entry.sequence} says approval {entry.approval}, but {len(others)} came before it"
    )


def latest(entries: Iterable[Entry], version: int) -> Entry | None:
    """The decision that stands for a version; approvals that wait for others are none."""
    return next((e for e in reversed(list(entries)) if e.version == version and e.decides), None)


def endorsements(entries: Sequence[Entry], version: int) -> list[Entry]:
    """The approvals of a version that wait for other persons' since it was last decided on."""
    stands = latest(entries, version)
    since = stands.sequence if stands else 0
    return [e for e in entries if e.version == version and e.sequence > since]


def others_who_approved(decision: Decision, entries: Sequence[Entry]) -> list[str]:
    """The ARNs of other persons, each once, whose approvals of the same files wait."""
    found: list[str] = []
    for earlier in endorsements(entries, decision.version):
        known = [*found, decision.who]
        if decision.is_of_same_files(earlier) and not is_any_of(earlier.who, known):
            found.append(earlier.who)
    return found


def is_any_of(who: str, people: Iterable[str]) -> bool:
    """Whether an ARN stands for one of several persons."""
    return any(is_same_person(who, other) for other in people)


def is_same_person(one: str, other: str) -> bool:
    """Whether two ARNs stand for one person; equal texts do, whatever they are."""
    try:
        return one == other or parse_principal(one).is_same_person(parse_principal(other))
    except InputError:
        return False


def standing_approvals(entries: Sequence[Entry]) -> list[Entry]:
    """The approvals that no later entry took back, the newest decision first."""
    decided = {entry.version: entry for entry in entries if entry.decides}
    approved = [entry for entry in decided.values() if entry.after is Status.APPROVED]
    return sorted(approved, key=lambda entry: entry.sequence, reverse=True)


def head_of(entry: Entry) -> Head:
    """The head of a record whose newest entry this is."""
    return Head(count=entry.sequence, hash=entry.hash)


def encode_entry(entry: Entry) -> str:
    return _canonical(entry.model_dump(mode="json", by_alias=True))


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(values).encode()).hexdigest()


def _canonical(values: Mapping[str, Any]) -> str:
    return json.dumps(
        values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
